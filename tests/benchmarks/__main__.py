"""``python -m tests.benchmarks``: measure what is missing, then ``report``; ``again NAME`` measures anew."""

import argparse
import os
import subprocess
import sys
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
        words = [PYTHON, "-m", "tests.benchmarks.measure", name, str(seconds), file]
        variables = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        if subprocess.run(words, cwd=ROOT, env=variables).returncode:
            failed.append(f"{name}, {seconds} s")
    return failed


def main(arguments: list[str] | None = None) -> None:
    """Do what the command line asks."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    some = commands.add_parser("only", help="measure what is missing of some contestants")
    some.add_argument("name", nargs="+", choices=CONTESTANTS)
    again = commands.add_parser("again", help="forget what was measured of some contestants, and measure it anew")
    again.add_argument("name", nargs="+", choices=CONTESTANTS)
    commands.add_parser("report", help="write the plot and the table of docs/performance.md")
    options = parser.parse_args(arguments)
    if options.command == "report":
        from tests.benchmarks import report

        report.write()
        return
    if options.command == "again":
        for name in options.name:
            table.forget(name)
    install()
    chosen = options.name if options.command else CONTESTANTS
    if failed := run(contestants={name: CONTESTANTS[name] for name in chosen}):
        sys.exit(f"not measured: {'; '.join(failed)}. The same command tries again")


if __name__ == "__main__":
    main()
