"""The sweep raises every seed, meets every condition, and counts what failed."""

import json

import pytest
from nbformat.v4 import new_code_cell, new_notebook

from tests import sweep
from tests.execute import normalise, write


@pytest.mark.parametrize(
    ("source", "raised"),
    [
        ("torch.manual_seed(0)", "torch.manual_seed(1000 + 0)"),
        ("rng = torch.Generator().manual_seed(seed)", "rng = torch.Generator().manual_seed(1000 + seed)"),
        ("train_arm(build, seed=3, steps=9)", "train_arm(build, seed=1000 + 3, steps=9)"),
        ("make_moons(9, random_state=0)", "make_moons(9, random_state=1000 + 0)"),
        ("f(seed=seed)", "f(seed=seed)"),
        ("reseed=1", "reseed=1"),
    ],
)
def test_every_seed_is_raised(source, raised):
    assert sweep.reseeded(source, 1000) == raised


def test_twelve_rounds_meet_every_condition_once():
    met = [sweep.conditions(k) for k in range(12)]
    assert len({(m["threads"], m["instructions"], m["busy"]) for m in met}) == 12
    assert len({m["seeds"] for m in met}) == 12


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """A notebook and a file of tests, and a place for what is found in them."""
    lesson = new_notebook(
        cells=[
            new_code_cell("import os, torch\nrng = torch.Generator().manual_seed(2)", id="setup"),
            new_code_cell("assert os.environ['OMP_NUM_THREADS'] == '1'", id="claim-l01", metadata={"tags": ["claim"]}),
            new_code_cell("assert rng.initial_seed() == 2", id="too-narrow"),
            new_code_cell("print(rng.initial_seed())", id="goes-on"),
        ]
    )
    normalise(lesson)
    write(lesson, tmp_path / "01_lesson.ipynb")
    monkeypatch.setattr(sweep, "FOUND", tmp_path / "found")
    monkeypatch.setattr(sweep, "UNITS", [tmp_path / "01_lesson.ipynb"])
    return tmp_path / "01_lesson.ipynb"


def test_a_cell_that_holds_for_one_seed_only_is_found_and_not_run_again(kept, monkeypatch):
    sweep.run(kept, 0)
    found = sweep.table()
    assert (found["runs"], found["cells"], found["claim cells"], found["cells that assert"]) == (1, 4, 1, 2)
    (failure,) = found["failures"]
    assert (failure["where"], failure["seeds"]) == ("too-narrow", 1000)
    assert "AssertionError" in failure["why"]

    def never(*_):
        raise AssertionError("it was run before")

    monkeypatch.setattr(sweep, "run_notebook", never)
    sweep.run(kept, 0)
    text = kept.read_text()
    kept.write_text(text + "\n")
    assert sweep.table()["runs"] == 1
    kept.write_text(text.replace("== 2", "== 1002"))  # what was found in other code does not count
    assert sweep.table()["runs"] == 0


def test_the_table_that_is_kept_has_no_failure():
    found = json.loads(sweep.TABLE.read_text(encoding="utf-8"))
    assert found["failures"] == []
    assert set(found["rounds"]) <= {path.name for path in sweep.UNITS}
