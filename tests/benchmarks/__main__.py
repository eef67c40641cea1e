"""``python -m tests.benchmarks``: measure what is missing; ``again NAME`` to measure anew; ``report`` for the table."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks import table
from tests.benchmarks.contestants import CONTESTANTS, Contestant

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "build" / "peers-venv"
PYTHON = FOLDER / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
READY = FOLDER / "ready"


def install() -> None:
    """Make the environment of the peers, unless it is there: the course, and what ``requirements.txt`` pins."""
    requirements = Path(__file__).parent / "requirements.txt"
    if READY.exists() and READY.read_text(encoding="utf-8") == requirements.read_text(encoding="utf-8"):
        return
    venv.create(FOLDER, with_pip=True)
    subprocess.run([PYTHON, "-m", "pip", "install", "-e", ROOT, "-r", requirements], check=True)
    READY.write_text(requirements.read_text(encoding="utf-8"), encoding="utf-8")


def run(file: Path = table.FILE, contestants: Mapping[str, Contestant] = CONTESTANTS) -> list[str]:
    """Measure all rows that are missing, each in a process of its own; returns what failed."""
    failed = []
    for name, seconds in table.missing(file, contestants):
        with tempfile.TemporaryDirectory() as folder:
            row = Path(folder) / "row.json"
            words = [PYTHON, "-m", "tests.benchmarks.measure", name, str(seconds), row]
            variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
            if subprocess.run(words, cwd=ROOT, env=variables).returncode:
                failed.append(f"{name}, {seconds} s")
                continue
            table.add(json.loads(row.read_text(encoding="utf-8")), file)
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    again = commands.add_parser("again", help="forget what was measured of a contestant, and measure it anew")
    again.add_argument("name", choices=CONTESTANTS)
    commands.add_parser("report", help="write the plot, and print the README's section")
    options = parser.parse_args(arguments)
    if options.command == "report":
        from tests.benchmarks import report

        report.write()
        return
    if options.command == "again":
        table.forget(options.name)
    install()
    if failed := run():
        sys.exit(f"not measured: {'; '.join(failed)}. The same command tries again")


if __name__ == "__main__":
    main()
