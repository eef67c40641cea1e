"""The rows that are measured, and those that are missing. Needs neither torch nor a peer."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.benchmarks.contestants import CONTESTANTS, Contestant

FILE = Path(__file__).parent / "results.json"
Row = dict[str, Any]


def load(file: Path = FILE) -> list[Row]:
    """The rows so far; none where there is no file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else []


def add(row: Row, file: Path = FILE) -> None:
    """Put a row into the table, in the place of an older or unfinished one of the same contestant and budget."""
    others = [old for old in load(file) if key(old) != key(row)]
    _store([*others, row], file)


def forget(name: str, file: Path = FILE) -> int:
    """Take all rows of a contestant out, so that they are measured again; returns how many there were."""
    rows = load(file)
    kept = [row for row in rows if row["name"] != name]
    _store(kept, file)
    return len(rows) - len(kept)


def missing(file: Path = FILE, contestants: Mapping[str, Contestant] = CONTESTANTS) -> list[tuple[str, int]]:
    """Which contestants have to be measured with which budget, in the order of the list.

    Our longest trainings come last: often a shorter one is already where the peer is at its end.
    """
    there = {key(row) for row in load(file) if row["done"]}
    wanted = [(name, seconds) for name, contestant in contestants.items() for seconds in contestant.budgets]
    wanted.sort(key=lambda pair: contestants[pair[0]].ours and pair[1] == max(contestants[pair[0]].budgets))
    return [pair for pair in wanted if pair not in there]


def key(row: Row) -> tuple[str, int]:
    """What tells a row from all others."""
    return row["name"], row["budget"]


def _store(rows: list[Row], file: Path) -> None:
    partial = file.with_suffix(".partial")
    partial.write_text("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8")
    os.replace(partial, file)
