"""The copies for a class: no solution is left in a student's, and nothing later depends on what the student wrote."""

import ast
import builtins
import json
import symtable
from pathlib import Path

import nbformat
import pytest

from publish import copies
from publish.copies import student, teacher
from tests.execute import execute
from tests.test_notebooks import COURSE, NOTEBOOKS, ROOT, broken_links, code_cells, markdown_cells, read, rendered, tags

RUN = "    %run -i "


def expanded(nb: nbformat.NotebookNode, files: dict[str, str]) -> list[tuple[str, str]]:
    """The id and the code of each cell, with what it runs from a file in its place."""
    cells = []
    for cell in code_cells(nb):
        *before, last = cell.source.splitlines()
        source = files[last.removeprefix(RUN)] if last.startswith(RUN) else cell.source
        assert "%run" not in "\n".join(before)
        cells.append((cell.id, source))
    return cells


def used_and_assigned(source: str) -> tuple[set[str], set[str]]:
    """The notebook's names that a cell uses, in its functions too, and those that it gives a value."""
    table = symtable.symtable(source, "cell", "exec")
    tables, used = [table], set()
    while tables:
        inner = tables.pop()
        tables += inner.get_children()
        used |= {s.get_name() for s in inner.get_symbols() if (s.is_referenced() if inner is table else s.is_global())}
    assigned = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    return used, assigned


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_student_copy_never_goes_on_with_what_the_student_wrote(path):
    """After every exercise, whatever is used of it later is the course's, and nothing that is used is missing."""
    nb, files = student(read(path), path.stem)
    stubs = {cell.id for cell in code_cells(nb) if "exercise" in tags(cell)}
    known = {*dir(builtins), "__name__"}
    by_student: dict[str, str] = {}
    for id, source in expanded(nb, files):
        used, assigned = used_and_assigned(source)
        assert used - assigned <= known, f"{id} uses {used - assigned - known}, which nothing defines"
        if id in stubs:
            by_student |= dict.fromkeys(assigned, id)
        else:
            assert not (used - assigned) & by_student.keys(), f"{id} uses what the student wrote in an exercise"
            by_student = {name: stub for name, stub in by_student.items() if name not in assigned}
        known |= assigned


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_student_copy_gives_nothing_away(path):
    original = read(path)
    nb, _ = student(original, path.stem)
    nbformat.validate(nb)
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(nb))
    assert not any("solution" in tags(cell) for cell in nb.cells)
    text = "\n".join(cell.source for cell in code_cells(nb))
    for cell in code_cells(original):
        if "solution" in tags(cell):
            assert copies.split(cell.source)[0] not in text
    kept = [cell.source for cell in code_cells(original) if "solution" not in tags(cell)]
    assert [cell.source for cell in code_cells(nb) if not cell.id.startswith("go-on")] == kept


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_teacher_copy_is_the_lesson_with_its_solutions_open(path):
    original = read(path)
    nb = teacher(original)
    nbformat.validate(nb)
    assert not any(cell.metadata.get("jupyter", {}).get("source_hidden") for cell in nb.cells)
    extra = [cell for cell in code_cells(nb) if cell.id == "classroom"]
    assert nb.cells[nb.cells.index(extra[0]) - 1].id == "setup"
    assert [cell.source for cell in code_cells(nb) if cell not in extra] == [
        cell.source for cell in code_cells(original)
    ]
    assert [cell.outputs for cell in code_cells(nb) if cell not in extra] == [
        cell.outputs for cell in code_cells(original)
    ]


@pytest.mark.parametrize("kind", ["student", "teacher"])
def test_copies_are_written_whole_and_their_links_lead_somewhere(kind, tmp_path):
    folder = tmp_path / "build" / kind
    (folder / "old").mkdir(parents=True)
    copies.build(kind, NOTEBOOKS, folder)
    assert sorted(path.name for path in folder.glob("*.ipynb")) == [path.name for path in NOTEBOOKS]
    assert not (folder / "old").exists()
    assert [path.name for path in folder.parent.iterdir()] == [kind]
    for path in folder.glob("*.ipynb"):
        nb = nbformat.v4.reads(path.read_text(encoding="utf-8"))
        for cell in markdown_cells(nb):
            # As if the folder stood where `make` puts it; the lessons lie beside each other there as here.
            links = broken_links(rendered(cell.source), ROOT / "build" / kind)
            assert [link for link in links if Path(link.partition("#")[0]).stem not in COURSE] == []
        for cell in code_cells(nb):
            if RUN in cell.source:
                file = folder / cell.source.rpartition(RUN)[2]
                ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("answer", ["...", "2 * x", "3 * x"])
def test_an_unsolved_a_right_and_a_wrong_exercise_all_go_on(answer, tmp_path):
    check = (
        "from types import SimpleNamespace\n"
        "checks = SimpleNamespace(double=lambda f: SimpleNamespace(\n"
        "    status='well done' if f(2) == 4 else 'not yet'))\n"
        "WHOSE = 'ours'"
    )
    stub = f"def double(x):\n    global WHO\n    WHO = 'the student'\n    return {answer}\n\n\nchecks.double(double)"
    ours = "def double(x):\n    global WHO\n    WHO = WHOSE\n    return 2 * x\n\n\nchecks.double(double)"
    cells = [
        nbformat.v4.new_code_cell(check, id="setup"),
        nbformat.v4.new_code_cell(stub, id="exercise-double", metadata={"tags": ["exercise"]}),
        nbformat.v4.new_code_cell(ours, id="solution-double", metadata={"tags": ["solution"]}),
        nbformat.v4.new_code_cell("print(double(21), WHO)", id="later"),
    ]
    path = tmp_path / "00_x.ipynb"
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)), encoding="utf-8")
    copies.build("student", [path], tmp_path / "student")
    nb = nbformat.v4.reads((tmp_path / "student" / "00_x.ipynb").read_text(encoding="utf-8"))
    execute(nb, tmp_path / "student")
    (output,) = nb.cells[-1].outputs
    assert output.text == ("42 the student\n" if answer == "2 * x" else "42 ours\n")


def test_a_solution_that_nothing_needs_leaves_no_trace():
    cells = [
        nbformat.v4.new_code_cell("def f(x):\n    return ...\n\n\nchecks.f(f)", metadata={"tags": ["exercise"]}),
        nbformat.v4.new_code_cell("def f(x):\n    return x\n\n\nchecks.f(f)", metadata={"tags": ["solution"]}),
        nbformat.v4.new_code_cell("print('f')"),
    ]
    nb, files = student(nbformat.v4.new_notebook(cells=cells), "00_x")
    assert len(nb.cells) == 2
    assert files == {}
    assert "return x" not in json.dumps(nb)
