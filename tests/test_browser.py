"""The course as a learner sees it: JupyterLab in a real browser, with the network out of reach."""

import json
import os
import re
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import nbformat
import pytest
from playwright.sync_api import expect, sync_playwright

from helpers import quiz
from publish.chromium import BROWSER, FLAGS

ROOT = Path(__file__).parent.parent
STDERR = ".jp-RenderedText[data-mime-type='application/vnd.jupyter.stderr']"

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("lab")


@pytest.fixture(scope="module")
def lab(folder):
    """A JupyterLab with settings of its own, so that it neither sees nor touches the user's."""
    news = folder / "settings" / "@jupyterlab" / "apputils-extension"
    news.mkdir(parents=True)
    (news / "notification.jupyterlab-settings").write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))
    course = folder / "course"
    shutil.copytree(ROOT / "notebooks", course / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = secrets.token_hex(8)
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
        "COURSE_PROGRESS": str(folder / "progress.json"),
    }
    arguments = ["--no-browser", "--allow-root", "--ip=127.0.0.1", f"--port={port}", "--ServerApp.port_retries=0"]
    arguments += [f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={course}"]
    with (folder / "lab.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        base = f"http://127.0.0.1:{port}"
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{base}/api?token={token}", timeout=2)
                break
            except OSError:
                assert server.poll() is None, (folder / "lab.log").read_text()
                time.sleep(0.5)
        yield base, token
        server.terminate()
        server.wait(30)


@pytest.fixture
def page(tmp_path):
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(tmp_path / "profile"),
            executable_path=BROWSER,
            headless=True,
            args=FLAGS,
            viewport={"width": 1280, "height": 900},
        )
        yield context.pages[0]
        context.close()


def open_and_run_all(page, lab, notebook):
    base, token = lab
    page.goto(f"{base}/lab/tree/notebooks/{notebook}.ipynb?token={token}&reset")
    # The kernel's dot is "idle" before there is a kernel; the text of the status bar is not.
    page.get_by_text("| Idle").first.wait_for(timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def wait_until_done(page, seconds=300):
    """Until no cell waits and the kernel has rested for some seconds: on a busy machine it rests between cells, too."""
    panel, rested = page.locator(".jp-WindowedPanel-outer").first, 0
    for _ in range(2 * seconds):
        panel.evaluate("element => element.scrollTo(0, element.scrollHeight)")  # cells far away are not rendered
        waits = "*" in page.locator(".jp-CodeCell .jp-InputPrompt").last.inner_text()
        rests = "| Idle" in page.locator("#jp-main-statusbar").inner_text()
        rested = rested + 1 if rests and not waits else 0
        if rested == 8:
            panel.evaluate("element => element.scrollTo(0, 0)")
            return
        page.wait_for_timeout(500)
    raise TimeoutError(f"the notebook was still running after {seconds} s")


def visit_every_cell(page):
    """JupyterLab renders what is near the window; scroll through so that all of it is there to be looked at."""
    panel = page.locator(".jp-WindowedPanel-outer").first
    height = panel.evaluate("element => element.scrollHeight")
    for top in range(0, height, 700):
        panel.evaluate("(element, top) => element.scrollTo(0, top)", top)
        page.wait_for_timeout(100)
        assert page.locator(STDERR).count() == 0, page.locator(STDERR).first.inner_text()
    panel.evaluate("element => element.scrollTo(0, 0)")


def test_the_first_lesson_runs_and_its_widget_answers_the_keyboard(page, lab):
    elsewhere, complaints = [], []
    page.on(
        "request", lambda r: elsewhere.append(r.url) if r.url.startswith("http") and "127.0.0.1" not in r.url else None
    )
    page.on("pageerror", lambda error: complaints.append(str(error)))
    open_and_run_all(page, lab, "01_one_to_many")
    sentence = page.locator(".jp-OutputArea-output [role=status]").first
    expect(sentence).to_contain_text("192 of 192", timeout=120_000)
    wall = page.locator("img[alt^='The wall of all answers.']")
    before = wall.get_attribute("src")

    wait_until_done(page)  # while cells run, the notebook takes the keyboard back after each of them
    direction = page.locator(".widget-slider .noUi-handle").first
    direction.focus()
    page.wait_for_timeout(500)  # a notebook that still moves may take the focus back
    direction.focus()
    page.keyboard.press("ArrowRight")
    expect(sentence).to_contain_text("96 of 192", timeout=30_000)
    page.keyboard.press("Tab")  # to the slider's label, which can be typed in
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    expect(sentence).to_contain_text("24 of 192")
    assert wall.get_attribute("src") != before
    assert "24 of 192" in wall.get_attribute("alt")

    # How fast is printed for `make bench` and not asserted: machines differ.
    print(f"\nwidget: {describe(widget_latencies(page))}")
    answer_by_keyboard(page)
    visit_every_cell(page)
    assert elsewhere == []
    assert complaints == []


def test_an_exercise_counts_when_it_is_solved_and_not_when_the_solution_is_run(page, lab, folder):
    nb = nbformat.read(ROOT / "notebooks" / "00_start_here.ipynb", as_version=4)
    cells = {cell.id: cell for cell in nb.cells}
    nb.cells = [cells[id] for id in ("setup", "exercise-caption", "solution-caption", "progress")]
    for cell in nb.cells:
        cell.outputs = []
    nbformat.write(nb, folder / "course" / "notebooks" / "unsolved.ipynb")
    cells["exercise-caption"].source = cells["solution-caption"].source
    nbformat.write(nb, folder / "course" / "notebooks" / "solved.ipynb")
    for name, sentence in (("unsolved", "0 of"), ("solved", "1 of")):
        open_and_run_all(page, lab, name)
        expect(page.locator("caption").first).to_contain_text(sentence, timeout=120_000)
    assert json.loads((folder / "progress.json").read_text()) == {"start_here": ["exercise-caption"]}


def answer_by_keyboard(page):
    """Answers the first of the closing questions wrongly, then rightly, with the keyboard alone."""
    page.locator(".jp-WindowedPanel-outer").first.evaluate("element => element.scrollTo(0, element.scrollHeight)")
    buttons = page.locator(".widget-toggle-buttons").first.locator("button")
    buttons.first.wait_for()
    # The mathematics of the question is drawn, not spelled out.
    assert page.locator(".widget-htmlmath mjx-container").count() > 0
    question = quiz.read_closing("01_one_to_many")[0]
    reply = page.locator(".widget-htmlmath [role=status]").first
    right = next(place for place, option in enumerate(question.options) if option.right)
    buttons.first.focus()
    for place, option in enumerate(question.options[: right + 1]):
        if place:
            page.keyboard.press("Tab")
        page.keyboard.press("Space")
        expect(reply).to_contain_text(option.feedback)
    expect(reply).to_contain_text("✓ Yes")
    expect(page.get_by_text(re.compile("^1 of 4 right"))).to_be_visible()


def widget_latencies(page, choices: int = 60) -> list[float]:
    """Milliseconds from the press of a key to the changed picture, as the browser sees it, at the focused slider."""
    page.evaluate(
        """() => {
            const area = document.querySelector("img[alt^='The wall of all answers.']").closest('.widget-vbox');
            window.answered = null;
            new MutationObserver(() => {
                if (area.querySelector("img[alt^='The wall of all answers.']").src !== window.shown) {
                    window.answered = performance.now();
                }
            }).observe(area, {subtree: true, childList: true, attributes: true});
        }"""
    )
    found = []
    for press in range(choices):
        page.evaluate(
            """() => {
                window.answered = null;
                window.shown = document.querySelector("img[alt^='The wall of all answers.']").src;
                document.addEventListener(
                    'keydown', () => { window.asked = performance.now(); }, {once: true, capture: true});
            }"""
        )
        page.keyboard.press("ArrowRight" if press % 6 < 3 else "ArrowLeft")
        page.wait_for_function("() => window.answered !== null", timeout=10_000)
        found.append(page.evaluate("() => window.answered - window.asked"))
    return found


def describe(latencies: list[float]) -> str:
    """Median and 95th percentile in words."""
    slow = statistics.quantiles(latencies, n=20)[-1]
    return f"median {statistics.median(latencies):.0f} ms, 95th percentile {slow:.0f} ms"
