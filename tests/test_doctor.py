"""The doctor finds what is wrong with a machine, says what to do, and is content with this one's packages."""

import webbrowser

import pytest

from helpers import doctor
from publish.lesson import slug
from tests.test_notebooks import rendered

TROUBLESHOOTING = rendered((doctor.ROOT / doctor.TROUBLESHOOTING).read_text(encoding="utf-8"))
SECTIONS = {slug(heading.get_text()) for heading in TROUBLESHOOTING.find_all("h3")}
INSTALLED = {"a": "2.14.1+cpu", "b": "10.0rc1", "c-d": "3"}


version_of = INSTALLED.get


@pytest.mark.parametrize(
    ("finding", "found", "advice"),
    [
        (doctor.python((3, 10, 9)), "3.10.9", "Install Python 3.11"),
        (doctor.cores(1), "1", "twice as long"),
        (doctor.main_memory(2.0, 1.5), "2 GB, 1.5 GB of them free", "Close other programs"),
        (doctor.main_memory(16.0, 0.4), "16 GB, 0.4 GB of them free", "Close other programs"),
        (doctor.disk(0.6), "1 GB", "Free at least 1 GB"),
        (doctor.threads(2, 2), "2 for torch, of 2 cores", "Import helpers before torch"),
        (doctor.packages({"a": "2.15"}, version_of), "a 2.14.1+cpu is older than 2.15", "python helpers/install.py"),
        (doctor.packages({"a": "2.9", "x": "1"}, version_of), "x is missing", "python helpers/install.py"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(finding, found, advice):
    assert not finding.fine
    assert found in finding.found
    assert advice in finding.advice
    report = doctor.Report((doctor.cores(2), finding))
    assert not report.ready
    assert advice in report.verdict
    assert "<td>✗</td>" in report._repr_html_()
    assert repr(report).count("NO ") == 1
    assert f"docs/troubleshooting.md#{finding.section}" in report.verdict
    assert finding.section in SECTIONS


@pytest.mark.parametrize(
    "finding",
    [
        doctor.python((3, 13, 0)),
        doctor.cores(2),
        doctor.main_memory(3.8, 2.0),
        doctor.disk(5.0),
        doctor.threads(1, 1),
        doctor.threads(1, 2),
        doctor.packages({"a": "2.9", "b": "10.0", "c-d": "2.5.1"}, version_of),
    ],
)
def test_what_will_do_is_fine(finding):
    assert doctor.Report((finding,)).verdict == "Your machine is ready."


def test_the_older_packages_of_a_host_are_named_and_left():
    finding = doctor.packages({"a": "2.15", "b": "1", "jupyterlab": "4"}, version_of, "Colab")
    assert finding.fine
    assert finding.found == "a 2.14.1+cpu is older than 2.15, as Colab has it"
    finding = doctor.packages({"a": "2.15", "x": "1"}, version_of, "Colab")
    assert not finding.fine
    assert finding.found == "x is missing; a 2.14.1+cpu is older than 2.15"
    assert finding.advice == "Run the first cell of code again."


def test_on_a_host_no_browser_is_looked_for(monkeypatch):
    monkeypatch.setattr(doctor.install, "host", lambda: "Colab")
    assert "browser" not in [finding.name for finding in doctor.examine().findings]


@pytest.mark.parametrize(
    ("seen", "card", "said"),
    [
        ("", False, "none, and none is needed"),
        ("", True, "this torch cannot use"),
        ("RTX", True, "RTX"),
        ("Apple's", False, "Apple's"),
    ],
)
def test_no_gpu_is_needed(seen, card, said):
    finding = doctor.accelerator(seen, card)
    assert finding.fine
    assert said in finding.found


def test_a_machine_without_a_browser_may_be_looked_at_from_another(monkeypatch):
    def no_browser(using=None):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", no_browser)
    assert "none on this machine; open the address" in doctor.browser().found
    monkeypatch.setattr(webbrowser, "get", lambda using=None: webbrowser.GenericBrowser("/usr/bin/firefox"))
    monkeypatch.setenv("BROWSER", "firefox")  # a window to open it in
    assert doctor.browser().found == "firefox"


def test_without_the_packages_nothing_else_is_asked(monkeypatch):
    monkeypatch.setattr(doctor.install, "lowest_versions", lambda: {"absent-package": "1"})
    report = doctor.examine()
    assert [finding.name for finding in report.findings] == ["Python", "packages"]
    assert report.verdict.startswith(
        "Not quite ready: Install them again with `python helpers/install.py`. More in docs/"
    )


def test_this_machine_is_examined():
    report = doctor.examine()
    looked_at = {finding.name: finding for finding in report.findings}
    assert {"Python", "packages", "cores", "memory", "free disk", "GPU", "browser"} <= looked_at.keys()
    assert looked_at["packages"].fine, looked_at["packages"].found
    assert all(finding.advice or finding.fine for finding in report.findings)
    assert {finding.section for finding in report.findings if finding.section} | {doctor.CARD} <= SECTIONS
    assert doctor.install.lowest_versions()["torch"] == "2.9"
