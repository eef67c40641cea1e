"""The logic of the benchmarks: what is kept, what is missing, and how seconds are compared. No peer is needed."""

import sys

import pytest
from PIL import Image

from tests.benchmarks import __main__ as command
from tests.benchmarks import report, table
from tests.benchmarks.contestants import CONTESTANTS, Contestant
from tests.test_notebooks import ROOT

FEW = {
    "ours": Contestant("flow", "ours:Ours", "as shipped", budgets=(10, 40), marks=(), ours=True),
    "slow": Contestant("flow", "peers:Slow", "as documented", budgets=(40,), marks=(10,)),
}


def row(name="ours", budget=10, points=((10, 100.0),), **other):
    found = [{"seconds": s, "steps": 5, "fd": fd, "valid": 0.5, "pictures_per_second": 1234.4} for s, fd in points]
    cost = {"trained_per_second": 7.31, "parameters": 2_340_000, "megabytes": 1234.0, "share": 0.514}
    where = {"machine": "a machine, 2 cores", "torch": "2.9.0+cpu", "date": "2026-01-01"}
    return {"name": name, "budget": budget, "done": True, "points": found, **cost, **where, **other}


# ---- What is kept ----


def test_what_is_measured_is_not_missing_any_more(tmp_path):
    file = tmp_path / "results.json"
    assert table.missing(file, FEW) == [("ours", 10), ("slow", 40), ("ours", 40)]  # our longest training comes last
    table.add(row("slow", 40), file)
    table.add(row("ours", 10), file)
    assert table.missing(file, FEW) == [("ours", 40)]
    assert [table.key(one) for one in table.load(file)] == [("slow", 40), ("ours", 10)]


def test_a_new_row_takes_the_place_of_the_old_one(tmp_path):
    file = tmp_path / "results.json"
    for share in (0.1, 0.2):
        table.add(row("ours", 10, share=share), file)
    assert [one["share"] for one in table.load(file)] == [0.2]


def test_an_unfinished_row_is_measured_anew(tmp_path):
    file = tmp_path / "results.json"
    table.add(row("slow", 40, done=False), file)
    assert ("slow", 40) in table.missing(file, FEW)
    table.add(row("slow", 40), file)
    assert table.load(file) == [row("slow", 40)]


def test_what_is_forgotten_is_missing_again(tmp_path):
    file = tmp_path / "results.json"
    for one in (row("ours", 10), row("ours", 40), row("slow", 40)):
        table.add(one, file)
    assert table.forget("ours", file) == 2
    assert table.missing(file, FEW) == [("ours", 10), ("ours", 40)]


def test_a_table_is_never_half_written(tmp_path, monkeypatch):
    file = tmp_path / "results.json"
    table.add(row(), file)
    monkeypatch.setattr(table.os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        table.add(row("slow", 40), file)
    assert table.load(file) == [row()]


# ---- One process a row ----

MEASURE = """
import pathlib, sys
from tests.benchmarks import table
name, seconds, file = sys.argv[1:]
if name == "slow":
    sys.exit("not installed")
table.add({"name": name, "budget": int(seconds), "done": True}, pathlib.Path(file))
"""


@pytest.fixture
def asked(monkeypatch):
    """What is measured, by something that takes no time and fails for one contestant."""
    asked, run = [], command.subprocess.run

    def measure(words, **options):
        asked.append((words[3], int(words[4])))
        assert words[1:3] == ["-m", "tests.benchmarks.measure"]
        assert options["env"]["OMP_NUM_THREADS"] == "1"
        return run([sys.executable, "-c", MEASURE, *words[3:]], cwd=ROOT, stderr=command.subprocess.DEVNULL)

    monkeypatch.setattr(command.subprocess, "run", measure)
    return asked


def test_a_row_that_fails_is_named_and_the_others_are_kept(tmp_path, asked):
    file = tmp_path / "results.json"
    assert command.run(file, FEW) == ["slow, 40 s"]
    assert asked == [("ours", 10), ("slow", 40), ("ours", 40)]
    assert [table.key(one) for one in table.load(file)] == [("ours", 10), ("ours", 40)]


def test_a_broken_run_goes_on_where_it_stopped(tmp_path, asked):
    file = tmp_path / "results.json"
    table.add(row("ours", 10), file)
    command.run(file, FEW)
    assert asked == [("slow", 40), ("ours", 40)]
    assert table.load(file)[0] == row("ours", 10)


def test_every_contestant_has_settings_and_a_peer_has_one_of_ours_to_compare_with():
    for contestant in CONTESTANTS.values():
        assert len(contestant.settings) > 40
        assert any(other.ours and other.family == contestant.family for other in CONTESTANTS.values())
        assert contestant.family in report.COLOURS


# ---- Seconds to the same quality ----


def test_between_two_points_the_way_is_straight_in_logarithms():
    seconds, at_once = report.reach([(10, 400.0), (40, 100.0)], 200.0)
    assert (seconds, at_once) == (pytest.approx(20), False)
    assert report.reach([(10, 400.0), (40, 100.0)], 100.0) == (pytest.approx(40), False)


def test_a_setback_changes_nothing():
    down = [(10, 400.0), (40, 100.0), (160, 25.0)]
    back = [(10, 400.0), (20, 500.0), (40, 100.0), (80, 300.0), (160, 25.0)]
    for target in (300.0, 100.0, 50.0, 25.0):
        assert report.reach(back, target) == report.reach(down, target)


def test_who_is_there_at_the_first_look_may_have_been_earlier():
    assert report.reach([(10, 50.0), (40, 20.0)], 60.0) == (10, True)


def test_what_is_never_reached_is_said_to_be_so():
    assert report.reach([(10, 400.0), (40, 100.0)], 99.0) is None


def test_the_race_goes_to_the_end_of_the_worse():
    ours, theirs = [(10, 400.0), (40, 100.0), (160, 25.0)], [(40, 400.0), (240, 200.0)]
    won = report.race(ours, theirs)
    assert (won.target, won.ours, won.theirs) == (200.0, pytest.approx(20), pytest.approx(240))
    assert (won.times, won.bound) == (pytest.approx(12), "")
    lost = report.race(theirs, ours)
    assert (lost.target, lost.times) == (200.0, pytest.approx(1 / 12))


def test_a_race_that_was_won_before_the_first_look_is_a_bound():
    ours, theirs = [(10, 50.0), (40, 20.0)], [(40, 400.0), (240, 100.0)]
    won, lost = report.race(ours, theirs), report.race(theirs, ours)
    assert (won.ours, won.times, won.bound) == (10, pytest.approx(24), ">")
    assert (lost.times, lost.bound) == (pytest.approx(1 / 24), "<")


def test_the_curve_of_ours_is_made_of_all_its_trainings():
    rows = [row(budget=40, points=[(41, 50.0)]), row("slow", 40, [(9, 1.0)]), row(budget=10, points=[(10, 90.0)])]
    assert report.curve(rows, "ours") == [(10, 90.0), (41, 50.0)]


# ---- The report ----

ROWS = [
    row(budget=10, points=[(10, 400.0)]),
    row(budget=40, points=[(40, 100.0)]),
    row("slow", 240, points=[(40, 400.0), (240, 200.0)], share=0.2),
]


def test_the_table_says_what_was_measured():
    first, second = report.markdown(ROWS, FEW).splitlines()[2:]
    assert first == "| flow | **ours** | 100.0 (40 s) | 50% |  |  | 7.3 | 1,234 | 2.3 M | 1.2 GB | 51% |"
    after = "20 s (200.0, there after 240 s) | 12.0"
    assert second == f"|  | slow | 200.0 (240 s) | 50% | {after} | 7.3 | 1,234 | 2.3 M | 1.2 GB | 20% |"


def test_a_contestant_that_was_not_measured_is_left_out():
    assert len(report.markdown(ROWS[:1], FEW).splitlines()) == 3


def test_the_report_draws_writes_and_prints(tmp_path, capsys):
    file, picture, document = tmp_path / "results.json", tmp_path / "peers.png", tmp_path / "performance.md"
    table.add(row("flow", 10, [(10, 400.0)]), file)
    table.add(row("normflows", 240, [(40, 400.0), (240, 200.0)]), file)
    document.write_text(f"Before. {report.MARKS[0]} old {report.MARKS[1]} After.\n", encoding="utf-8")
    report.write(file, picture, document)
    assert Image.open(picture).width > 200
    section = report.section(table.load(file))
    assert section.startswith("a machine, 2 cores, torch 2.9.0, 2026-01-01:\n")
    assert "|  | normflows |" in section
    expected = f"Before. {report.MARKS[0]}\n{section}\n{report.MARKS[1]} After.\n"
    assert document.read_text(encoding="utf-8") == expected
    assert CONTESTANTS["normflows"].settings in capsys.readouterr().out


def test_the_document_holds_the_table():
    assert report.section(table.load()) in report.DOCUMENT.read_text(encoding="utf-8")
