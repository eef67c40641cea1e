"""The challenge: the same rules for everyone, and a sentence for whatever breaks them."""

import json

import pytest

from helpers import challenge, challenger
from helpers.checkpoints import RECIPES, Stage
from helpers.tables import Table

FEW = {"steps": 2, "batch": 4}
MODEL = """
import torch
from torch import nn
from helpers import challenger
BUDGET = {"lr": 1e-3, "steps": 99999}
"""


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(challenge, "STEPS", FEW["steps"])
    monkeypatch.setattr(challenge, "BATCH", FEW["batch"])
    monkeypatch.setitem(challenge.RULES, "seeds", [0, 1])


def row(entry, seed, fd_dogs, file=""):
    return {"entry": entry, "file": file, "seed": seed, "fd_dogs": fd_dogs, "parameters": 1000} | dict.fromkeys(
        ("valid", "faithful", "coverage"), 0.5
    )


def test_the_template_takes_part(tmp_path, quick, monkeypatch, capsys):
    monkeypatch.setattr(challenge, "OWN", Table(tmp_path / "cache" / "own.json", challenge.RULES, "run"))
    monkeypatch.setattr(challenge, "COURSE", Table(tmp_path / "course.json", challenge.RULES, "course"))
    challenge.COURSE.store([row("vae", seed, 2.0) for seed in (0, 1)])
    file = tmp_path / "my_model.py"
    challenge.main(["template", str(file)])
    assert file.read_text(encoding="utf-8").count("\n") <= 60
    challenge.main(["run", str(file)])
    rows = challenge.OWN.rows()
    assert [(r["entry"], r["seed"], r["steps"]) for r in rows] == [("my_model", 0, 2), ("my_model", 1, 2)]
    assert rows[0]["fd_dogs"] != rows[1]["fd_dogs"]
    shown = capsys.readouterr().out.splitlines()[-2:]
    assert "1. vae" in shown[0]
    assert f"2. my_model {rows[0]['file']}" in shown[1]
    before = challenge.OWN.file.read_text()
    challenge.main(["run", str(file)])  # nothing new
    assert challenge.OWN.file.read_text() == before
    file.write_text(file.read_text(encoding="utf-8") + "\n# a new version\n", encoding="utf-8")
    challenge.main(["run", str(file)])
    assert len({r["file"] for r in challenge.OWN.rows()}) == 2
    with pytest.raises(SystemExit, match="is there already"):
        challenge.main(["template", str(file)])


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("BUDGET = {}", "has no build"),
        ("def build(rng): ...", "has no BUDGET"),
        (MODEL + "BATCH = 64\nbuild = challenger.build", "from 1 to 4"),
        (MODEL + "def build(rng):\n    return nn.Linear(2000, 2000)", "4,002,000 weights"),
        (
            MODEL + "class Small(challenger.Challenger):\n    def sample(self, captions, z=None, rng=None):\n"
            "        return torch.zeros(len(captions), 3, 8, 8)\n\ndef build(rng):\n    return Small()",
            r"sample gives \(2, 3, 8, 8\)",
        ),
    ],
)
def test_what_breaks_the_rules_is_said(source, said, tmp_path, quick):
    file = tmp_path / "wrong.py"
    file.write_text(source, encoding="utf-8")
    with pytest.raises(challenge.RulesError, match=said):
        list(challenge.entry_of(file).measured(0))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(challenge.RulesError, match="cannot be read"):
        challenge.entry_of(tmp_path / "absent.py")


def test_nobody_has_more_steps(tmp_path, quick):
    file = tmp_path / "greedy.py"
    file.write_text(MODEL + "build = challenger.build", encoding="utf-8")
    (found,) = challenge.entry_of(file).measured(0)
    assert found["steps"] == FEW["steps"]


def test_the_board_is_in_the_order_of_the_distance_and_leaves_out_what_is_not_whole():
    seeds = challenge.RULES["seeds"]
    rows = [row("far", seed, 90.0 + seed) for seed in seeds] + [row("near", seed, 10.0) for seed in seeds]
    rows += [row("broken off", 0, 1.0)]
    lines = challenge.standings(rows).splitlines()[1:]
    assert [line.split()[1] for line in lines] == ["near", "far"]
    assert "91.0" in lines[1]
    assert "90 … 92" in lines[1]


def test_a_class_is_collected(tmp_path):
    for name in ("ada", "bo"):
        Table(tmp_path / f"{name}.json", challenge.RULES, "").store([row("mine", 0, 5.0, "1234")])
    assert [found["entry"] for found in challenge.collect(tmp_path)] == ["ada: mine", "bo: mine"]
    (tmp_path / "cy.json").write_text(json.dumps({"plan": {"steps": 9}, "rows": []}))
    with pytest.raises(ValueError, match=r"cy\.json is of another plan"):
        challenge.collect(tmp_path)
    (tmp_path / "cy.json").write_text("[]")
    with pytest.raises(ValueError, match=r"cy\.json is no board"):
        challenge.collect(tmp_path)


def test_the_course_keeps_the_rules():
    entries = challenge.course_entries()
    assert [entry.name for entry in entries] == [*RECIPES, "the template"]
    for entry in entries:
        assert challenge.weights(entry.build(None)) <= challenge.PARAMETERS
        assert entry.stage.batch <= challenge.BATCH
    assert isinstance(entries[-1].stage, Stage)
    assert entries[-1].build is challenger.build


def test_the_board_of_the_course_is_whole():
    rows = challenge.COURSE.rows()
    shown = challenge.standings(rows)
    assert len(shown.splitlines()) == 1 + len(challenge.course_entries())
    page = (challenge.DATA.parent / "docs" / "challenge.md").read_text(encoding="utf-8")
    assert shown in page, "docs/challenge.md shows another board; `python -m helpers.challenge board` prints it"
