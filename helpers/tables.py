"""Tables of long measurements, kept under ``data/``: the plan they were made by, and a row for each measurement."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table that takes long to make. A broken run goes on where it stopped, and repeats nothing.

    Attributes:
        file: of the table.
        plan: that it must have been made by; ``plan["threads"]`` are those of torch.
        command: that makes it, to be named where it is missing or of another plan.
    """

    file: Path
    plan: dict[str, Any]
    command: str

    def rows(self) -> list[Row]:
        """What was measured.

        Raises:
            FileNotFoundError, ValueError: there is no table, or it is of another plan.
        """
        if not self.file.exists():
            raise FileNotFoundError(f"{self.file} is missing; `{self.command}` makes it")
        table = json.loads(self.file.read_text())
        if table["plan"] != self.plan:
            raise ValueError(f"{self.file} is of another plan, {table['plan']}; delete it, and `{self.command}`")
        return table["rows"]

    def fill(self, cells: Iterable[Row], measure: Callable[..., Iterable[Row]]) -> None:
        """Measure whatever the table does not have yet.

        Args:
            cells: what is to be measured, such as a family and a seed.
            measure: called with what is in a cell, gives the rest of each of its rows.
        """
        torch.set_num_threads(self.plan["threads"])
        rows = self.rows() if self.file.exists() else []
        for cell in cells:
            if not any(cell.items() <= row.items() for row in rows):
                new = [cell | rest for rest in measure(**cell)]
                rows += new
                self.store(rows)
                for row in new:
                    print(*(f"{key} {value}" for key, value in row.items() if key in cell or key == "steps"), end=": ")
                    print(f"FD-dogs {row['fd_dogs']:.0f}", flush=True)

    def store(self, rows: list[Row]) -> None:
        """Keep rows, under a temporary name first, so that a broken run loses none."""
        partial = self.file.with_suffix(".partial")
        lines = ",\n".join(json.dumps(row) for row in rows)
        partial.write_text(f'{{"plan": {json.dumps(self.plan)},\n"rows": [\n{lines}\n]}}\n')
        os.replace(partial, self.file)
