"""Solved exercises are remembered where a frontend says which cell runs; nothing that a disk can do stops a lesson."""

import json
import os
from types import SimpleNamespace

import IPython
import pytest
from bs4 import BeautifulSoup

from helpers import progress
from helpers.checks import PASSED, check
from helpers.checks import start_here as checks

RIGHT = "a small black dog running in the city"


@pytest.fixture
def running(monkeypatch):
    """Lets a cell run, as far as a check can tell."""

    def run(cell, code=""):
        parent = {"metadata": {"cellId": cell} if cell else {}, "content": {"code": code}}
        monkeypatch.setattr(IPython, "get_ipython", lambda: SimpleNamespace(get_parent=lambda: parent))

    return run


@pytest.fixture
def file(tmp_path, monkeypatch):
    file = tmp_path / "cache" / "progress.json"
    monkeypatch.setattr(progress.record, "__defaults__", (file,))
    return file


def test_an_exercise_that_is_solved_in_its_cell_is_remembered(running, file):
    running("exercise-caption")
    assert checks.caption(...).status != PASSED
    assert checks.caption("a running dog").status != PASSED
    assert progress.solved(file) == {}
    assert checks.caption(RIGHT).status == PASSED
    assert progress.solved(file) == {"start_here": {"exercise-caption"}}
    assert [path.name for path in file.parent.iterdir()] == ["progress.json"]


def test_one_exercise_does_not_forget_another(running, file):
    for cell in ("exercise-a", "exercise-b", "exercise-a"):
        running(cell)
        progress.record("vae", file)
    progress.record("flow", file)
    assert progress.solved(file) == {"vae": {"exercise-a", "exercise-b"}, "flow": {"exercise-a"}}


@pytest.mark.parametrize("cell", ["solution-caption", "7f3a", ""])
def test_a_solution_that_is_only_run_does_not_count(running, file, cell):
    running(cell)
    assert checks.caption(RIGHT).status == PASSED
    assert not file.exists()


@pytest.mark.parametrize("named", ["", "vscode-notebook-cell:/course/00.ipynb#X1", "aB3dE"])
def test_where_no_cell_is_named_an_exercise_is_known_by_its_text(running, file, named):
    (notebook,) = (progress.ROOT / "notebooks").glob("*_start_here.ipynb")
    source = {c["id"]: "".join(c["source"]) for c in json.loads(notebook.read_text(encoding="utf-8"))["cells"]}
    for code in (source["solution-caption"], source["setup"], "checks.caption('a dog')", ""):
        running(named, code)
        assert checks.caption(RIGHT).status == PASSED
        assert not file.exists()
    running(named, source["exercise-caption"].replace("...", repr(RIGHT)) + "\n")
    assert checks.caption(RIGHT).status == PASSED
    assert progress.solved(file) == {"start_here": {"exercise-caption"}}


@pytest.mark.parametrize("path", sorted((progress.ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_every_exercise_can_be_told_from_the_others_and_from_its_solution(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    for cell in (cell for cell in cells if cell["cell_type"] == "code"):
        changed = "# mine\n" + "".join(cell["source"]) + "\n"
        if cell["id"].startswith(progress.KINDS):
            assert progress._known_by_text(changed, cells) == cell["id"]
        else:
            assert progress._known_by_text("".join(cell["source"]), cells) == ""


def test_nothing_is_kept_without_a_notebook(file):
    assert checks.caption(RIGHT).status == PASSED
    assert not file.exists()


@pytest.mark.parametrize("error", [PermissionError, OSError])
@pytest.mark.parametrize("call", ["mkdir", "write", "replace"])
def test_a_disk_that_refuses_stops_nobody(running, file, monkeypatch, call, error):
    def refuse(*_, **__):
        raise error("read-only")

    target = {"mkdir": (type(file), "mkdir"), "write": (type(file), "write_text"), "replace": (os, "replace")}[call]
    monkeypatch.setattr(*target, refuse)
    running("exercise-caption")
    assert checks.caption(RIGHT).status == PASSED


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"vae": 3}', "null"])
def test_a_file_that_is_broken_counts_as_none(running, file, text):
    file.parent.mkdir()
    file.write_text(text)
    assert progress.solved(file) == {}
    running("exercise-kl")
    progress.record("vae", file)
    assert progress.solved(file) == {"vae": {"exercise-kl"}}


def test_the_page_shows_what_is_solved_and_what_is_open(tmp_path):
    cells = [
        {"id": "title", "cell_type": "markdown", "source": ["# 5. A & B\n", "More."]},
        {"id": "exercise-intro", "cell_type": "markdown", "source": ["Two exercises and a step of the workshop."]},
        *({"id": id, "cell_type": "code", "source": []} for id in ("workshop-kl", "solution-kl", "exercise-mean")),
    ]
    (tmp_path / "05_a_b.ipynb").write_text(json.dumps({"cells": cells}))
    file = tmp_path / "progress.json"
    assert "0 of 2 exercises solved." in repr(progress.Page(tmp_path, file))
    file.write_text(json.dumps({"a_b": ["workshop-kl", "exercise-of-old"], "gone": ["exercise-x"]}))
    page = progress.Page(tmp_path, file)
    assert page.rows == [("05_a_b.ipynb", "5. A & B", ["kl"], ["mean"])]
    row = BeautifulSoup(page._repr_html_(), "html.parser").find_all("tr")[1]
    assert row.th.a["href"] == "05_a_b.ipynb"
    assert [cell.text for cell in row.find_all(["th", "td"])] == ["5. A & B", "1 of 2", "✓ kl", "mean"]
    assert "<caption>1 of 2 exercises solved.</caption>" in page._repr_html_()
    assert page._repr_html_().count('scope="col"') == 4


def test_the_page_of_the_course_lists_every_exercise():
    assert len(progress.page().rows) >= 11
    assert all(done or left for _, _, done, left in progress.page().rows)


def test_every_check_remembers_in_the_name_of_its_lesson(running, file):
    @check("well")
    def answer(value):
        pass

    running("exercise-answer")
    answer(1)
    assert progress.solved(file) == {"test_progress": {"exercise-answer"}}
