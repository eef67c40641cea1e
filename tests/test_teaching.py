"""The plans for classes: every cell that they name exists, the minutes add up, and one can start where they say."""

import builtins
import dis
import re
from pathlib import Path
from types import CodeType

import pytest

from tests.test_notebooks import NOTEBOOKS, ROOT, code_cells, python, read, tags

PLANS = dict(re.findall(r"^## \d.*\n\n`(\w+)`((?:.|\n(?!## ))*)", (ROOT / "TEACHING.md").read_text(), re.MULTILINE))
ROW = re.compile(r"^\| `([\w-]+)` \| (\d+) \| (\d+) \|", re.MULTILINE)
PREDICT = re.compile(r"^\*\*Predict\.\*\*", re.MULTILINE)
START = re.compile(r"^Start at `([\w-]+)`: first run ((?:.|\n(?!\n|Start))*)", re.MULTILINE)
STARTS = [
    (notebook, start, tuple(re.findall(r"`([\w-]+)`", first)))
    for notebook, plan in PLANS.items()
    for start, first in START.findall(plan)
]


def notebook(name):
    return read(ROOT / "notebooks" / f"{name}.ipynb")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_notebook_has_a_plan(path):
    assert path.stem in PLANS


@pytest.mark.parametrize("name", PLANS)
def test_every_cell_named_in_a_plan_exists(name):
    named = re.findall(r"`([\w-]+)`", PLANS[name])
    assert set(named) - {cell.id for cell in notebook(name).cells} == set()


@pytest.mark.parametrize("name", PLANS)
def test_the_parts_stand_in_the_order_of_the_notebook_and_their_minutes_add_up(name):
    parts, short, long = zip(*ROW.findall(PLANS[name]), strict=True)
    ids = [cell.id for cell in notebook(name).cells]
    assert sorted(parts, key=ids.index) == list(parts)
    assert sum(map(int, short)) == 50
    assert sum(map(int, long)) == 90


@pytest.mark.parametrize("name", PLANS)
def test_every_prediction_of_a_notebook_is_in_its_plan(name):
    asked = [cell.id for cell in notebook(name).cells if PREDICT.search(cell.source)]
    listed = re.findall(r"^- `([\w-]+)`, then", PLANS[name], re.MULTILINE)
    assert listed == asked


def names(source: str) -> tuple[set[str], set[str]]:
    """The notebook's names that a cell makes, and those that it needs to have been made before it."""
    code = compile(source, "cell", "exec")
    made, needed = set(), set()
    for instruction in dis.get_instructions(code):
        if instruction.opname == "STORE_NAME":
            made.add(instruction.argval)
        elif instruction.opname == "LOAD_NAME" and instruction.argval not in made:
            needed.add(instruction.argval)
    return made, (needed | (globals_of(code) - made)) - set(dir(builtins))


def globals_of(code: CodeType) -> set[str]:
    """The global names that the functions in a code use."""
    functions = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    used = {i.argval for function in functions for i in dis.get_instructions(function) if i.opname == "LOAD_GLOBAL"}
    return used.union(*map(globals_of, functions))


TRAINED = re.compile(r"training\.train\((\w+)|optim\.\w+\((\w+)\.parameters\(\)")


def missing(cells, start, first):
    """What is not there when the cells named in ``first`` have run, then all from ``start`` on: (cell, name).

    A network that is there and has not been trained counts as missing.
    """
    begin = [cell.id for cell in cells].index(start)
    there, untrained, absent = set(), set(), []
    for place, cell in enumerate(cells):
        made, needed = names(python(cell))
        if place < begin and cell.id not in first:
            untrained |= set(filter(None, sum(TRAINED.findall(cell.source), ()))) - made
        elif "exercise" not in tags(cell):
            absent += [(cell.id, name) for name in sorted((needed - there) | (needed & untrained))]
            there |= made
            untrained -= made
    return absent


@pytest.mark.parametrize(("name", "start", "first"), STARTS)
def test_one_can_start_where_the_plan_says(name, start, first):
    assert missing(code_cells(notebook(name)), start, first) == []


@pytest.mark.parametrize(("name", "start", "first"), STARTS)
def test_no_cell_is_to_be_run_first_for_nothing(name, start, first):
    cells = code_cells(notebook(name))
    assert [cell for cell in first if not missing(cells, start, set(first) - {cell})] == []


def test_a_network_that_was_not_trained_is_missing():
    trained = next(first for name, start, first in STARTS if (name, start) == ("01_one_to_many", "two-answers"))
    found = missing(code_cells(notebook("01_one_to_many")), "two-answers", set(trained) - {"one-answer-training"})
    assert ("one-answer-judged", "one_answer") in found


def test_every_notebook_can_be_started_in_the_middle():
    assert {name for name, _, _ in STARTS} == set(PLANS)


@pytest.mark.parametrize(
    ("source", "made", "needed"),
    [
        ("x = 1\ny = x + z", {"x", "y"}, {"z"}),
        ("x = x + 1", {"x"}, {"x"}),
        ("import torch\nprint([t for t in torch.ones(n)])", {"torch"}, {"n"}),
        ("def f(a):\n    def g():\n        return K + a\n    return g\nf(1)", {"f"}, {"K"}),
        ("for i in range(3): total = i", {"i", "total"}, set()),
    ],
)
def test_what_a_cell_makes_and_needs(source, made, needed):
    found = names(source)
    assert found[0] - {"t"} == made
    assert found[1] == needed


PATH = re.compile(r"^\| \d+ \| \[[^]]+\]\(notebooks/(\w+)\.ipynb\) \|.*\| (\d+) \| (\d+) \| (.*) ?\|$", re.MULTILINE)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_path_in_the_readme_says_what_the_first_cell_says(path):
    rows = {row[0]: row[1:] for row in PATH.findall((ROOT / "README.md").read_text(encoding="utf-8"))}
    reading, machine, before = rows[path.stem]
    first = read(path).cells[0].source
    assert f"about {reading} minutes of reading" in first
    assert re.search(rf"the machine works for (about|less than) {machine} minutes? of them", first)
    needed = re.search(r"^You need: (.*)$", first, re.MULTILINE)[1]
    assert set(re.findall(r"\d+", before)) == set(re.findall(r"\d+", re.sub(r"\(\S*?\)", "", needed)))


def test_the_plan_is_found_from_the_readme():
    assert "(TEACHING.md)" in Path(ROOT / "README.md").read_text(encoding="utf-8")
