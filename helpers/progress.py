"""Which exercises are solved: kept in a small file, safe to delete, and shown on the first page of the course.

An exercise counts once its check passes in the exercise's own cell. So opening and running the solution does not count.
JupyterLab and Notebook say which cell they run. Elsewhere, as on Colab and in VS Code, a cell is known by its text: it
calls the check of an exercise, and it is not our solution to the letter.
"""

import html
import json
import os
from pathlib import Path

ROOT = Path(__file__).parent.parent
LEFT = 'style="text-align: left"'
KINDS = ("exercise-", "workshop-")  # how the ids of cells begin that can be solved
FILE = Path(os.environ.get("COURSE_PROGRESS", ROOT / "data" / "cache" / "progress.json"))


def record(lesson: str, file: Path = FILE) -> None:
    """Note that the exercise whose cell is running now is solved.

    Args:
        lesson: the notebook without its number, such as ``"vae"``.

    Never raises for what a disk can refuse: a learner who has solved an exercise shall read "well done".
    """
    cell = _running_cell(lesson)
    if not cell.startswith(KINDS):
        return
    found = solved(file)
    found.setdefault(lesson, set()).add(cell)
    partial = file.with_suffix(".partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(json.dumps({name: sorted(cells) for name, cells in sorted(found.items())}, indent=1))
        os.replace(partial, file)
    except OSError:
        pass


def solved(file: Path = FILE) -> dict[str, set[str]]:
    """The cells of the solved exercises, by lesson; nothing where the file is missing or not what we wrote."""
    try:
        return {str(lesson): {str(cell) for cell in cells} for lesson, cells in json.loads(file.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


class Page:
    """A table of the notebooks: how many of the exercises of each are solved, and which. Shows itself in a notebook."""

    def __init__(self, folder: Path = ROOT / "notebooks", file: Path = FILE):
        found = solved(file)
        self.rows = []  # (notebook, title, solved exercises, open exercises)
        for path in sorted(folder.glob("*.ipynb")):
            cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
            title = "".join(cells[0]["source"]).partition("\n")[0].removeprefix("# ")
            exercises = [c["id"] for c in cells if c["id"].startswith(KINDS) and c["cell_type"] == "code"]
            done = found.get(path.stem.partition("_")[2], set())
            names = [[c.partition("-")[2] for c in exercises if (c in done) is wanted] for wanted in (True, False)]
            self.rows.append((path.name, title, *names))

    @property
    def sentence(self) -> str:
        """How far one is, in words."""
        done = sum(len(names) for _, _, names, _ in self.rows)
        count = done + sum(len(names) for _, _, _, names in self.rows)
        return f"{done} of {count} exercises solved."

    def __repr__(self) -> str:
        lines = [f"{title:45} {len(done)} of {len(done) + len(left)}" for _, title, done, left in self.rows]
        return "\n".join([*lines, self.sentence])

    def _repr_html_(self) -> str:
        rows = "".join(
            f'<tr><th scope="row" {LEFT}><a href="{name}">{html.escape(title)}</a></th>'
            f"<td>{len(done)} of {len(done) + len(left)}</td>"
            f"<td {LEFT}>{', '.join(f'✓ {exercise}' for exercise in done)}</td><td {LEFT}>{', '.join(left)}</td></tr>"
            for name, title, done, left in self.rows
        )
        heads = "".join(f'<th scope="col" {LEFT}>{head}</th>' for head in ("notebook", "exercises", "solved", "open"))
        return f"<table><caption>{self.sentence}</caption><tr>{heads}</tr>{rows}</table>"


def page() -> Page:
    """How far one is in the course."""
    return Page()


def _running_cell(lesson: str) -> str:
    """The id of the exercise whose cell runs now, or of another cell; empty where it cannot be told."""
    try:
        from IPython import get_ipython

        request = get_ipython().get_parent()
        named, code = str(request["metadata"].get("cellId", "")), request["content"]["code"]
        if named.startswith(KINDS):
            return named
        (path,) = (ROOT / "notebooks").glob(f"[0-9][0-9]_{lesson}.ipynb")
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    except (ImportError, AttributeError, KeyError, TypeError, OSError, ValueError):
        return ""
    return named if any(cell["id"] == named for cell in cells) else _known_by_text(code, cells)


def _known_by_text(code: str, cells: list[dict]) -> str:
    """The id of the exercise among the cells of a notebook that this code is a try at; empty if there is none."""
    texts = {cell["id"]: "".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"}
    if code.strip() in [text for id, text in texts.items() if not id.startswith(KINDS)]:
        return ""
    lines = [line.strip() for line in code.splitlines()]
    calls = {id: text.splitlines()[-1] for id, text in texts.items() if id.startswith(KINDS)}
    return next((id for id, call in calls.items() if call in lines), "")
