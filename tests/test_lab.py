"""``make lab``, typed in a fresh copy of the course, opens JupyterLab for anyone, and a lesson stays unchanged."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import time
import urllib.error
import urllib.request
import webbrowser
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from helpers import lab
from tests.test_browser import BROWSER, FLAGS

ROOT = Path(__file__).parent.parent
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)/\S+\?token=[0-9a-f]{32}")
READY = 120  # seconds, by far more than it takes
posix_make = pytest.mark.skipif(os.name == "nt" or shutil.which("make") is None, reason="no make on this machine")


def python_for(user):
    """A Python that this user may run, of the version whose packages are here."""
    version = "{}.{}".format(*sys.version_info[:2])
    asked = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"
    for python in (sys.executable, f"/usr/bin/python{version}", "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            run = subprocess.run([python, "-c", asked], user=user, cwd="/", capture_output=True, text=True)
            if run.stdout.strip() == version:
                return python
    return None


@pytest.fixture
def course():
    """Makes copies of what git has or would take, in a folder with a space and 漢字, set up without installing."""
    with contextlib.ExitStack() as stack:

        def copy(user=None):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
            made = folder / "my course 漢字"
            listed = subprocess.run(
                ["git", "ls-files", "-zco", "--exclude-standard"], cwd=ROOT, capture_output=True, check=True
            )
            for name in listed.stdout.decode().rstrip("\0").split("\0"):
                if (ROOT / name).is_file():
                    (made / name).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(ROOT / name, made / name)
            python = python_for(user)
            subprocess.run([python, "-m", "venv", "--without-pip", made / ".venv"], cwd="/", check=True)
            (packages,) = (made / ".venv").glob("lib/python*/site-packages")  # and not lib64, which is a link to it
            # Python reads this file in the encoding of the locale, which may lack 漢字.
            borrowed = f"import sys; sys.path.append({sysconfig.get_path('purelib')!a})"
            (packages / "those_of_the_tests.pth").write_text(f"{borrowed}\n../../../..\n")
            code = "import install, json; print(json.dumps(install.state([], install.version_there())))"
            stamp = subprocess.run([python, "-c", code], cwd=made / "helpers", capture_output=True, check=True)
            (made / ".venv" / "ready").write_bytes(stamp.stdout)
            if user:
                subprocess.run(["chown", "-R", user, folder], check=True)
            return made, python

        yield copy


@contextlib.contextmanager
def typed(made, python, user=None, ends=signal.SIGINT, **environment):
    """``make lab``, in a session of its own; yields what it has printed up to the address, the address, and the file.

    Args:
        ends: the signal that ends it; ``SIGINT`` is what Ctrl-C sends, ``SIGHUP`` what a closed terminal does.
    """
    environment = {
        "PATH": os.environ["PATH"],
        "JUPYTERLAB_DIR": f"{sys.prefix}/share/jupyter/lab",  # where the borrowed packages have what they show
        "JUPYTER_PATH": f"{sys.prefix}/share/jupyter",
    } | environment
    with tempfile.TemporaryFile("w+", encoding="utf-8") as written:
        command = ["make", "lab", f"PYTHON={python}"]
        options = {"stdout": written, "stderr": subprocess.STDOUT, "start_new_session": True, "user": user}
        process = subprocess.Popen(command, cwd=made, env=environment, **options)
        try:
            until = time.monotonic() + READY
            while True:
                printed = all_of(written)
                if found := ADDRESS.search(printed):
                    break
                assert process.poll() is None, printed
                assert time.monotonic() < until, printed
                time.sleep(0.1)
            yield printed, found[0], written
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, ends)
            process.wait(60)


def all_of(file):
    """What stands in an open file by now. Reading leaves the place where another process goes on writing."""
    return os.pread(file.fileno(), 1_000_000, 0).decode()


def status(address):
    """The status of the answer, redirections not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    try:
        return urllib.request.build_opener(Stay).open(address, timeout=30).status
    except urllib.error.HTTPError as error:
        return error.code


@posix_make
@pytest.mark.parametrize("ends", ["SIGINT", "SIGHUP"])
def test_make_lab_opens_for_every_user_and_leaves_nothing_behind(course, tmp_path, ends):
    made, python = course()
    with typed(made, python, ends=getattr(signal, ends), HOME=str(tmp_path)) as (printed, address, _):
        assert status(address) == 200
        assert status(address.partition("?")[0]) == 302  # to the page that asks for the token
        assert printed.count(address) == 1
        assert printed.rstrip().endswith(address)
        assert "Ctrl-C" in printed
        base, _, token = address.partition("/lab/")
        url = f"{base}/api/kernels?{token.partition('?')[2]}"
        kernel = json.load(urllib.request.urlopen(url, data=b"{}", timeout=READY))["id"]
        folder = made / "data" / "cache" / "jupyter"
        assert list(folder.rglob(f"kernel-{kernel}.json")), "a browser from a snap sees no hidden folder"
        assert folder.stat().st_mode & 0o077 == 0, "another user could read the token"
    until = time.monotonic() + READY
    while list(folder.rglob("*.json")):  # make does not wait for a server that outlives the terminal
        assert time.monotonic() < until, sorted(folder.rglob("*"))
        time.sleep(0.1)
    with pytest.raises(OSError, match="refused"):
        status(address)


@posix_make
@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become somebody else")
def test_make_lab_opens_for_a_user_whose_home_cannot_be_written(course, tmp_path):
    if python_for("nobody") is None:
        pytest.skip("no Python here that another user may run")
    made, python = course("nobody")
    with typed(made, python, "nobody", HOME="/nonexistent", LANG="C", LC_ALL="C") as (_, address, _):
        assert status(address) == 200
        theirs = tmp_path / "home"  # of another user, as after su
        theirs.mkdir(mode=0o700)
        with typed(made, python, "nobody", HOME=str(theirs)) as (_, another, _):  # it finds the port of the first taken
            assert ADDRESS.match(another)[1] != ADDRESS.match(address)[1]
            assert status(another) == status(address) == 200


@posix_make
@pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
def test_a_lesson_that_is_opened_is_not_changed(course, tmp_path):
    made, python = course()
    lesson = made / "notebooks" / "00_start_here.ipynb"
    before = lesson.read_bytes()
    with typed(made, python, HOME=str(tmp_path)) as (printed, address, written), sync_playwright() as playwright:
        page = playwright.chromium.launch(executable_path=BROWSER, args=FLAGS).new_page()
        page.goto(address)
        page.get_by_text("| Idle").first.wait_for(timeout=1000 * READY)
        page.wait_for_timeout(1000)  # what the kernel says of itself is written into the notebook now
        assert page.locator(".jp-mod-dirty").count() == 0
        assert lesson.read_bytes() == before
        assert all_of(written) == printed, "no news of Jupyter or of the kernel is for a learner"
        page.keyboard.press("Control+s")
        page.wait_for_timeout(2000)
    assert json.loads(lesson.read_bytes()) == json.loads(before)


@posix_make
@pytest.mark.skipif(not Path(sys.prefix, "bin", "python").exists(), reason="no environment to borrow")
def test_a_copy_with_a_borrowed_environment_uses_its_own_helpers_and_installs_nothing(course, tmp_path):
    made, _ = course()
    shutil.rmtree(made / ".venv")
    (made / ".venv").symlink_to(sys.prefix)
    asked = tmp_path / "asked.mk"
    code = "import helpers; print(helpers.__file__)"
    asked.write_text(f'where: tests\n\t@cd notebooks && ../$(BIN)/python -c "{code}"\n')
    command = ["make", "-f", "Makefile", "-f", str(asked), "where"]
    bare = {"PATH": os.environ["PATH"]}  # a make around these tests would hand on its own options
    run = subprocess.run(command, cwd=made, env=bare, capture_output=True, text=True, encoding="utf-8", check=True)
    assert run.stdout.splitlines() == [str(made.resolve() / "helpers" / "__init__.py")]


OURS = {"JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR", "MPLCONFIGDIR"}


def test_what_can_be_kept_at_home_is_kept_there(tmp_path, monkeypatch):
    monkeypatch.setattr(lab, "ROOT", tmp_path / "course")
    home = tmp_path / "home"
    home.mkdir()
    assert lab.folders({}, home, tmp_path).keys() == {"JUPYTER_RUNTIME_DIR"}
    assert lab.folders({}, tmp_path / "none", tmp_path).keys() == {"JUPYTER_RUNTIME_DIR", *OURS}
    assert lab.folders({"IPYTHONDIR": "/mine"}, tmp_path / "none", tmp_path).keys() == {
        "JUPYTER_RUNTIME_DIR",
        *OURS - {"IPYTHONDIR"},
    }
    (home / ".jupyter").touch()  # no folder can be made there
    assert lab.folders({}, home, tmp_path).keys() == {"JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR"}


def test_where_the_course_cannot_be_written_to_a_spare_folder_serves(tmp_path, monkeypatch):
    (tmp_path / "data").touch()  # no folder can be made there
    monkeypatch.setattr(lab, "ROOT", tmp_path)
    kept = lab.folders({}, tmp_path / "none", tmp_path / "spare")
    assert {Path(folder).parent for folder in kept.values()} == {tmp_path / "spare"}


@pytest.mark.parametrize(
    ("environment", "system", "found"),
    [
        ({}, "linux", False),
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"BROWSER": "firefox"}, "linux", True),
        ({}, "darwin", True),
        ({"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.7 22"}, "darwin", False),
        ({}, "win32", True),
    ],
)
def test_a_browser_needs_a_window(monkeypatch, environment, system, found):
    monkeypatch.setattr(webbrowser, "get", lambda: None)
    assert lab.browser_here(environment, system) is found

    def none_here():
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none_here)
    assert not lab.browser_here(environment, system)


def test_from_elsewhere_the_way_in_is_told():
    said = lab.elsewhere({"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.7 22", "USER": "ada"}, 8890)
    assert "ssh -L 8890:127.0.0.1:8890 ada@10.0.0.7" in said
    assert "Ports" in lab.elsewhere({"CODESPACES": "true"}, 8888)


@pytest.mark.parametrize(("option", "said"), [("--port=none", "port"), ("--ServerApp.ip=0.0.0.0", "ip")])
def test_an_error_of_jupyter_is_seen(option, said):
    run = subprocess.run([sys.executable, "-m", "helpers.lab", option], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode != 0
    assert said in run.stderr
    assert "token=" not in run.stdout
