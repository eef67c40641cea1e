"""Tables of long measurements, kept under ``data/``: the plan they were made by, and a row for each measurement."""

import json
import os
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def load(file: Path, plan: dict[str, Any], command: str) -> Rows:
    """The rows of a table.

    Args:
        file: of the table.
        plan: that it must have been made by.
        command: that makes it, to be named where it is missing or of another plan.

    Raises:
        FileNotFoundError, ValueError: there is no table, or it is of another plan.
    """
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; `{command}` makes it")
    table = json.loads(file.read_text())
    if table["plan"] != plan:
        raise ValueError(f"{file} is of another plan, {table['plan']}; delete it, and `{command}`")
    return table["rows"]


def store(file: Path, plan: dict[str, Any], rows: Rows) -> None:
    """Keep a table, under a temporary name first, so that a broken run loses no row."""
    partial = file.with_suffix(".partial")
    lines = ",\n".join(json.dumps(row) for row in rows)
    partial.write_text(f'{{"plan": {json.dumps(plan)},\n"rows": [\n{lines}\n]}}\n')
    os.replace(partial, file)
