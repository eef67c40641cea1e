"""``make student`` and ``make teacher``: copies of the notebooks for a class, in ``build``.

A student's copy has no solutions and no outputs: nobody can look up what is to be predicted. What the rest of the
lesson needs of a solution is kept in the folder ``ours``, and the copy goes on with it where the student's own does not
pass its check yet; so nothing later depends on the student. A teacher's copy has the solutions open, the outputs as
committed, and letters that are read from the back row.
"""

import argparse
import ast
import copy
import os
import re
import shutil
import symtable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from publish import badges

ROOT = Path(__file__).resolve().parent.parent
OURS = "ours"
PASSED = "well done"  # helpers.checks.PASSED; a copy needs no torch to be made
GO_ON = """# Where your own does not pass its check yet, the lesson goes on with ours.
if {check}.status != "{passed}":
    %run -i {file}"""
CLASSROOM = """# Letters and lines for the back row. Leave it out for the ordinary size.
from helpers import figures

figures.classroom()"""
OUTSIDE = re.compile(r"(\]\(|src=\"|href=\")\.\./")  # a link of a notebook to what is not a notebook


def tags(cell: NotebookNode) -> list[str]:
    """The tags of a cell."""
    return cell.metadata.get("tags", [])


def student(nb: NotebookNode, name: str) -> tuple[NotebookNode, dict[str, str]]:
    """The copy for students.

    Args:
        nb: the notebook; left as it is.
        name: of the lesson.

    Returns:
        The copy, and the Python files that it needs beside it, by their path.
    """
    nb = copy.deepcopy(nb)
    cells, files = [], {}
    for index, cell in enumerate(nb.cells):
        if "solution" not in tags(cell):
            cells.append(cell)
            continue
        if "workshop" in tags(cell):  # its step falls back to the course's own code
            continue
        code, check = split(cell.source)
        if needed(code, [later.source for later in nb.cells[index + 1 :] if later.cell_type == "code"]):
            file = f"{OURS}/{name}/{cell.id.removeprefix('solution-')}.py"
            files[file] = code + "\n"
            source = GO_ON.format(check=check, passed=PASSED, file=file)
            cells.append(nbformat.v4.new_code_cell(source, id=cell.id.replace("solution", "go-on")))
    nb.cells = cells
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return _moved(nb), files


def teacher(nb: NotebookNode) -> NotebookNode:
    """The copy for teachers; ``nb`` is left as it is."""
    nb = copy.deepcopy(nb)
    for cell in nb.cells:
        cell.metadata.pop("jupyter", None)
    setup = next(index for index, cell in enumerate(nb.cells) if cell.id == "setup")
    nb.cells.insert(setup + 1, nbformat.v4.new_code_cell(CLASSROOM, id="classroom"))
    return _moved(nb)


def split(solution: str) -> tuple[str, str]:
    """A solution, and the call of its check, which is its last line."""
    *body, check = ast.parse(solution).body
    lines = solution.splitlines()
    return "\n".join(lines[: body[-1].end_lineno]), ast.unparse(check)


def needed(solution: str, later: list[str]) -> bool:
    """Whether code that comes later uses a name that a solution defines."""
    table = symtable.symtable(solution, "solution", "exec")
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()}
    return any(
        isinstance(node, ast.Name) and node.id in names for source in later for node in ast.walk(ast.parse(source))
    )


def _moved(nb: NotebookNode) -> NotebookNode:
    """With links that lead where they led, from a folder that lies one deeper."""
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = OUTSIDE.sub(r"\1../../", cell.source)
    return nb


def build(kind: str, notebooks: list[Path], folder: Path) -> None:
    """Write the copies of one kind, in a folder beside first, which then takes the place of the old one.

    Args:
        kind: ``"student"`` or ``"teacher"``.
        notebooks: to copy.
        folder: of the copies; what was in it is gone afterwards.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    for path in notebooks:
        nb = badges.without(nbformat.v4.reads(path.read_text(encoding="utf-8")))
        made, files = student(nb, path.stem) if kind == "student" else (teacher(nb), {})
        for file, code in files.items():
            (temporary / file).parent.mkdir(parents=True, exist_ok=True)
            (temporary / file).write_text(code, encoding="utf-8")
        (temporary / path.name).write_text(nbformat.writes(made) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def main() -> None:
    """Make the copies of the kind named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m publish.copies", description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("student", "teacher"))
    kind = parser.parse_args().kind
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    build(kind, notebooks, ROOT / "build" / kind)
    print(f"{len(notebooks)} notebooks are in {ROOT / 'build' / kind}.")


if __name__ == "__main__":
    main()
