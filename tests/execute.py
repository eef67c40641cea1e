"""Execute notebooks and write them back as they are committed: ``python -m tests.execute [notebook ...]``.

A run leaves traces of the machine and the day: versions, timings, progress bars, widgets that are dead
without a kernel. They are taken out, so that a diff shows only what changed in the course.
"""

import argparse
import contextlib
import itertools
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode, ValidationError

from publish import badges

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SECONDS_PER_CELL = 300
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
WIDGET = "application/vnd.jupyter.widget-view+json"
TERMINAL_CODE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
PROGRESS_BAR = re.compile(r".*\d\S* \[\d+:\d\d(:\d\d)?[<,].*\]\s*")


class RunError(Exception):
    """A notebook that did not run cleanly. The message names the cell and says why."""


def read(path: Path) -> NotebookNode:
    """The notebook in a file, as format 4.5.

    Raises:
        RunError: it is not a valid notebook. Nothing is repaired: a repaired cell id would be a random one.
    """
    try:
        nb = nbformat.v4.reads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise RunError(f"not a notebook (a merge conflict?): {error}") from error
    nb.nbformat_minor = 5
    _validate(nb)
    return nb


@contextlib.contextmanager
def kernel_for(nb: NotebookNode, folder: Path, timeout: int = SECONDS_PER_CELL, **environment: str):
    """A client whose new kernel, of the Python that runs this, stands ready in ``folder`` to execute the cells of nb.

    Args:
        timeout: seconds that one cell may take.
        environment: variables that the kernel finds beside those of this process.
    """
    # An installed kernelspec may belong to another Python; with no folder to look in, only ours is found.
    only_ours = KernelSpecManager(kernel_dirs=[])
    client = NotebookClient(
        nb,
        km=AsyncKernelManager(kernel_name="python3", kernel_spec_manager=only_ours),
        timeout=timeout,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        extra_arguments=["--log-level=ERROR"],  # else every kernel warns that it talks to us unencrypted
    )
    # The person who runs this may have solved exercises; the notebook as committed shows a course not yet begun.
    environment = os.environ | {"COURSE_PROGRESS": str(folder / ".none.json")} | environment
    with client.setup_kernel(cleanup_kc=True, env=environment):
        yield client


def execute(nb: NotebookNode, folder: Path, timeout: int = SECONDS_PER_CELL) -> dict[str, float]:
    """Run every cell of ``nb`` in place, in a new kernel started in ``folder``.

    Returns:
        The seconds that each cell took, by cell id.

    Raises:
        RunError: a cell failed, took too long, ended the kernel, or wrote to stderr more than progress bars.
    """
    seconds = {}
    with kernel_for(nb, folder, timeout) as client:
        for index, cell in enumerate(nb.cells):
            start = time.perf_counter()
            try:
                client.execute_cell(cell, index)
            except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
                raise RunError(f"cell {cell.id} failed.\n{TERMINAL_CODE.sub('', str(error))}") from error
            seconds[cell.id] = time.perf_counter() - start
            _check_stderr(cell)
    return seconds


def normalise(nb: NotebookNode) -> None:
    """Take out of an executed notebook, in place, what differs from run to run.

    Cell metadata keep ``tags``, ``numbers`` and ``jupyter.source_hidden`` only; stderr leaves the outputs, and so do
    widgets, but for what a widget shows without a kernel; code cells are counted 1, 2, ... n, without those of a host.
    """
    nb.metadata = NotebookNode(kernelspec=KERNELSPEC, language_info={"name": "python"})
    for cell in nb.cells:
        cell.metadata = _lasting(cell.metadata)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    for cell in filter(badges.launches, code):
        cell.execution_count, cell.outputs = None, []
    for count, cell in enumerate(itertools.filterfalse(badges.launches, code), start=1):
        cell.execution_count = count
        cell.outputs = _joined(output for output in cell.outputs if not _is_passing(output))
        for output in cell.outputs:
            if WIDGET in output.get("data", {}):
                del output.data[WIDGET]
            if output.output_type == "execute_result":
                output.execution_count = count
    _validate(nb)


def write(nb: NotebookNode, path: Path) -> None:
    """Write a notebook in one step: meanwhile, readers of ``path`` see the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(nbformat.writes(nb) + "\n", encoding="utf-8", newline="\n")
    os.replace(temporary, path)


def main() -> None:
    """Run the notebooks named on the command line, or all. One that fails stays as it was; exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.execute", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="notebook", help="default: all")
    paths = parser.parse_args().notebooks or sorted(NOTEBOOKS.glob("*.ipynb"))
    for path in paths:
        if not path.is_file():
            parser.error(f"there is no notebook {path}")

    failed = []
    for path in paths:
        print(f"{path.name} ... ", end="", flush=True)
        try:
            before = path.read_bytes()
            nb = read(path)
            seconds = execute(nb, path.parent)
            normalise(nb)
            if path.read_bytes() != before:
                raise RunError("somebody edited it meanwhile. Run it again.")
            write(nb, path)
        except RunError as error:
            failed.append(path.name)
            print(f"failed, left as it was\n{path.name}: {error}", flush=True)
        else:
            slowest = max(seconds, key=seconds.get)
            print(f"{sum(seconds.values()):.0f} s (longest: {slowest}, {seconds[slowest]:.0f} s)", flush=True)
    if failed:
        sys.exit(f"{len(failed)} of {len(paths)} notebooks failed: {', '.join(failed)}")


def _validate(nb: NotebookNode) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nbformat repairs ids that are missing or double, and only warns
        try:
            nbformat.validate(nb)
        except (ValidationError, Warning) as error:
            raise RunError(f"not a valid notebook: {error}") from error


def _stderr(cell: NotebookNode) -> str:
    return "".join(output.text for output in cell.get("outputs", []) if output.get("name") == "stderr")


def _check_stderr(cell: NotebookNode) -> None:
    lines = re.split(r"[\r\n]+", TERMINAL_CODE.sub("", _stderr(cell)))
    foreign = [line for line in lines if line.strip() and not PROGRESS_BAR.fullmatch(line)]
    if foreign:
        raise RunError(
            f"cell {cell.id} wrote to stderr. A learner would see it too: remove its cause.\n" + "\n".join(foreign)
        )


def _lasting(metadata: NotebookNode) -> NotebookNode:
    kept = NotebookNode({key: metadata[key] for key in ("tags", "numbers") if metadata.get(key)})
    if metadata.get("jupyter", {}).get("source_hidden"):
        kept.jupyter = NotebookNode(source_hidden=True)
    return kept


def _is_passing(output: NotebookNode) -> bool:
    data = output.get("data", {})
    return output.get("name") == "stderr" or (WIDGET in data and "text/html" not in data)


def _joined(outputs) -> list[NotebookNode]:
    """Where a kernel flushes its text is chance; so text that stands together becomes one output."""
    joined = []
    for output in outputs:
        if joined and output.output_type == joined[-1].output_type == "stream":
            joined[-1].text += output.text
        else:
            joined.append(output)
    return joined


if __name__ == "__main__":
    main()
