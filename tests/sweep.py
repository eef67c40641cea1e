"""Do the claims hold on other machines? ``make sweep`` runs every notebook, and every test that trains, in many rounds.

Each round has other seeds, another number of threads, other instructions of the processor, a busy neighbour or none.
What was run is kept in ``build/sweep``, so a sweep that is broken off goes on where it stopped; what a file that has
changed since once gave does not count. ``python -m tests.sweep table`` counts, and keeps the table in
``tests/sweep.json``.
"""

import argparse
import contextlib
import hashlib
import itertools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

import torch
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from tqdm.auto import tqdm

from tests.execute import NOTEBOOKS, kernel_for, read

ROOT = NOTEBOOKS.parent
FOUND, TABLE = ROOT / "build" / "sweep", ROOT / "tests" / "sweep.json"
UNITS = [  # the longest first, so that no process is left alone with one at the end
    *sorted(NOTEBOOKS.glob("*.ipynb")),
    *sorted(path for path in (ROOT / "tests").glob("test_*.py") if "train(" in path.read_text(encoding="utf-8")),
]
THREADS = ("1", "2")
INSTRUCTIONS = {
    "all it has": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"},
    "the oldest": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41"},
}
CONDITIONS = list(itertools.product(THREADS, INSTRUCTIONS, (False, True)))  # twelve rounds meet each of them once
SEED = re.compile(r"manual_seed\(|\bseed=(?=\d)|\brandom_state=(?=\d)")  # what is named stays as it is


def conditions(round_: int) -> dict:
    """What is different in a round, counted from 0."""
    threads, instructions, busy = CONDITIONS[5 * round_ % 12]  # 5 and 12 have no divisor in common
    return {"seeds": 1000 * (round_ + 1), "threads": threads, "instructions": instructions, "busy": busy}


def reseeded(source: str, by: int) -> str:
    """A source in which every seed is raised."""
    return SEED.sub(lambda found: f"{found[0]}{by} + ", source)


@contextlib.contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """A process that never rests, or none."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if process:
            process.kill()
            process.wait()


def run_notebook(path: Path, by: int, environment: dict[str, str]) -> dict:
    """Every cell of a notebook, whatever becomes of those before it."""
    nb = read(path)
    cells = [cell for cell in nb.cells if cell.cell_type == "code"]
    asserting = [cell for cell in cells if "assert " in cell.source and "exercise" not in cell.metadata.get("tags", [])]
    claims = [cell for cell in cells if "claim" in cell.metadata.get("tags", [])]
    failed = {}
    with kernel_for(nb, path.parent, timeout=1800, **environment) as client:
        for index, cell in enumerate(nb.cells):
            cell.source = reseeded(cell.source, by) if cell.cell_type == "code" else cell.source
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                failed[cell.id] = str(error).strip().splitlines()[-1][:300]
    return {"cells": len(cells), "claims": len(claims), "asserting": len(asserting), "failed": failed}


def run_tests(path: Path, by: int, environment: dict[str, str]) -> dict:
    """The tests of a file, from a copy of the tests in which every seed is raised."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for beside in ROOT.iterdir():
            if beside.name not in ("tests", "build", ".git"):
                (copy / beside.name).symlink_to(beside)
        shutil.copytree(ROOT / "tests", copy / "tests", ignore=shutil.ignore_patterns("__pycache__"))
        tested = copy / "tests" / path.name
        tested.write_text(reseeded(tested.read_text(encoding="utf-8"), by), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={copy / 'found.xml'}"]
        paths = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
        environment = os.environ | environment | {"PYTHONPATH": paths}
        subprocess.run([*command, f"tests/{path.name}"], cwd=copy, env=environment, capture_output=True, check=False)
        cases = ElementTree.parse(copy / "found.xml").findall(".//testcase")
    failures = {case.get("name"): case.find("failure") or case.find("error") for case in cases}
    failed = {name: found.get("message", "")[:300] for name, found in failures.items() if found is not None}
    return {"tests": len([case for case in cases if case.find("skipped") is None]), "failed": failed}


def digest(path: Path) -> str:
    """Changes with the code of a notebook or of a file of tests."""
    if path.suffix == ".ipynb":
        code = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "code")
    else:
        code = path.read_text(encoding="utf-8")
    return hashlib.sha256(code.encode()).hexdigest()[:12]


def run(path: Path, round_: int) -> None:
    """One notebook or file of tests in one round, unless that was done before."""
    kept = FOUND / f"{path.stem}-{round_}-{digest(path)}.json"
    if kept.exists():
        return
    under = conditions(round_)
    environment = {"OMP_NUM_THREADS": under["threads"], **INSTRUCTIONS[under["instructions"]]}
    with neighbour(under["busy"]):
        found = (run_notebook if path.suffix == ".ipynb" else run_tests)(path, under["seeds"], environment)
    FOUND.mkdir(parents=True, exist_ok=True)
    partial = kept.with_suffix(".partial")
    partial.write_text(json.dumps({"file": path.name, **under, "machine": machine(), **found}, indent=1))
    os.replace(partial, kept)


def machine() -> str:
    """What computes here: processor, its best instructions as torch sees them, and the version of torch."""
    model = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return f"{model}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__.split('+')[0]}"


def table() -> dict:
    """Count what was run of the files as they are now, on this machine and on those whose results lie beside them."""
    digests = {path.name: digest(path) for path in UNITS}
    rows = [(path, json.loads(path.read_text())) for path in sorted(FOUND.glob("*.json"))]
    rows = [row for path, row in rows if path.stem.endswith(digests.get(row["file"], "none"))]
    failures = [
        {"file": row["file"], "where": where, "why": why, **{key: row[key] for key in conditions(0)}}
        for row in rows
        for where, why in row["failed"].items()
    ]
    return {
        "machines": sorted({row["machine"] for row in rows}),
        "runs": len(rows),
        "rounds": {name: sum(row["file"] == name for row in rows) for name in digests},
        "cells": sum(row.get("cells", 0) for row in rows),
        "claim cells": sum(row.get("claims", 0) for row in rows),
        "cells that assert": sum(row.get("asserting", 0) for row in rows),
        "tests": sum(row.get("tests", 0) for row in rows),
        "failures": failures,
    }


def main() -> None:
    """Sweep, and keep the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.sweep", description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", choices=["run", "table"], default="run")
    parser.add_argument("--rounds", type=int, default=12, help="twelve meet every condition once")
    parser.add_argument("--first", type=int, default=0, help="the round to begin with")
    parser.add_argument("--jobs", type=int, default=1, help="how many to run at once")
    parser.add_argument("--only", nargs="*", default=[""], help="parts of the names of files")
    options = parser.parse_args()
    if options.what == "run":
        chosen = [path for path in UNITS if any(part in path.name for part in options.only)]
        work = [(path, k) for k in range(options.first, options.first + options.rounds) for path in chosen]
        with ThreadPoolExecutor(options.jobs) as pool:
            for _ in tqdm(pool.map(lambda of: run(*of), work), total=len(work), desc="sweeping", unit="run"):
                pass
    counted = table()
    TABLE.write_text(json.dumps(counted, indent=1) + "\n")
    print(json.dumps({key: value for key, value in counted.items() if key != "rounds"}, indent=1))


if __name__ == "__main__":
    main()
