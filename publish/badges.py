"""``make badges REPO=owner/name``: buttons that open the lessons on Colab, Kaggle, Binder and Codespaces.

The course has no address of its own, so those who host it put theirs in. Again, the same address changes nothing,
another one takes its place, and ``REPO=`` takes all out. Each notebook gets two cells with the tag ``launch``: the
buttons, and a cell of code that fetches the course where it is missing. Tests, site and copies look past both.

The buttons are words and no pictures. A picture would be fetched from somebody's server whenever a page is opened, and
be missing where there is no network.
"""

import argparse
import dataclasses
import json
import os
import re
import sys
from pathlib import Path
from string import Template
from typing import TypeVar
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
FIRST = "notebooks/00_start_here.ipynb"
TAG = "launch"
Notebook = TypeVar("Notebook", bound=dict)
MARK = "<!-- make badges -->"  # at the end: behind a comment at its start, a line is no Markdown any more
LINE = re.compile(rf"^.*{MARK}\n\n", re.MULTILINE)
LAUNCH = Template("""\
# On Colab, Kaggle and the like, this fetches the course and what it needs. At home it does nothing.
try:
    from helpers import install
except ImportError:
    import os
    import subprocess
    import sys
    import tempfile
    from pathlib import Path

    address, branch, name = "$address", "$branch", "$name"
    here = Path.cwd() if os.access(".", os.W_OK) else Path.home()
    drive, uploaded = Path("/content/drive/MyDrive", name), Path("/kaggle/input").glob("*")
    places = [here, *here.parents, *here.glob("*"), drive, *uploaded]
    course = next((place for place in places if os.path.isfile(place / "helpers" / "install.py")), None)
    if course is None:
        print("Fetching the course ...", flush=True)
        with tempfile.TemporaryDirectory(dir=here) as partial:
            git = ["git", "clone", "--quiet", "--depth=1", f"--branch={branch}", address, f"{partial}/course"]
            done = subprocess.run(git, env=os.environ | {"GIT_TERMINAL_PROMPT": "0"}, capture_output=True, text=True)
            if done.returncode:
                raise ConnectionError(f"No network? (On Kaggle: Settings, Internet on.) {done.stderr}") from None
            course = Path(partial, "course").rename(here / name)
    sys.path.insert(0, str(course))
    from helpers import install
install.ready()""")


@dataclasses.dataclass(frozen=True)
class Host:
    """Where the course lies on GitHub.

    Raises:
        ValueError: that is no address of a repository, or no name of a branch.
    """

    repo: str
    branch: str = "main"

    def __post_init__(self):
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9._-]+", self.repo):
            raise ValueError(f"{self.repo!r} is no repository on GitHub: write REPO=owner/name, without spaces")
        if not re.fullmatch(r"[A-Za-z0-9][\w./-]*", self.branch):
            raise ValueError(f"{self.branch!r} is no branch: write BRANCH=main, without spaces")

    def buttons(self, notebook: str) -> str:
        """The buttons as one line of Markdown.

        Args:
            notebook: its path in the repository; a codespace opens the whole course.
        """
        file = f"{self.repo}/blob/{quote(self.branch)}/{quote(notebook)}"
        addresses = {
            "Colab": f"https://colab.research.google.com/github/{file}",
            "Kaggle": f"https://kaggle.com/kernels/welcome?src=https://github.com/{file}",
            "Binder": f"https://mybinder.org/v2/gh/{self.repo}/{quote(self.branch, '')}?labpath={quote(notebook, '')}",
            "Codespaces": f"https://codespaces.new/{self.repo}/tree/{quote(self.branch)}",
        }
        shown = " ".join(f"[<kbd>{name}</kbd>]({address})" for name, address in addresses.items())
        return f"Without installing anything, in the browser: {shown}"

    def launch(self) -> str:
        """The code that fetches the course."""
        name = self.repo.partition("/")[2]
        return LAUNCH.substitute(address=f"https://github.com/{self.repo}", branch=self.branch, name=name)


def launches(cell: dict) -> bool:
    """Whether a cell of a notebook is one of ours."""
    return TAG in cell["metadata"].get("tags", [])


def without(nb: Notebook) -> Notebook:
    """A notebook, changed in place, as it was before ``make badges``."""
    nb["cells"] = [cell for cell in nb["cells"] if not launches(cell)]
    return nb


def of_notebook(text: str, path: str, host: Host | None) -> str:
    """A notebook, as in its file, with buttons below its title and the fetching before all other code.

    Args:
        text: of the file. Nothing else in it changes, so it is read as JSON, and not as a notebook.
        path: of the notebook in the repository.
        host: None takes them out.
    """
    nb = without(json.loads(text))
    if host:
        cells, metadata = nb["cells"], {"tags": [TAG]}
        code = {"cell_type": "code", "execution_count": None, "id": "launch", "metadata": metadata, "outputs": []}
        words = {"cell_type": "markdown", "id": "launch-buttons", "metadata": metadata}
        first = next(index for index, cell in enumerate(cells) if cell["cell_type"] == "code")
        cells.insert(first, code | {"source": host.launch().splitlines(keepends=True)})
        cells.insert(1, words | {"source": [host.buttons(path)]})
    return json.dumps(nb, indent=1, ensure_ascii=False) + "\n"


def of_readme(text: str, host: Host | None) -> str:
    """The README with a line of buttons below its title, which open the first lesson; without, if there is no host."""
    title, rest = LINE.sub("", text).split("\n\n", 1)
    return f"{title}\n\n{host.buttons(FIRST)} {MARK}\n\n{rest}" if host else f"{title}\n\n{rest}"


def put(host: Host | None, root: Path = ROOT) -> list[str]:
    """Change the README and the notebooks of a course; returns the names of those that are not as they were."""
    texts = {root / "README.md": lambda text, name: of_readme(text, host)}
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        texts[path] = lambda text, name: of_notebook(text, name, host)
    changed = []
    for path, change in texts.items():
        name = path.relative_to(root).as_posix()
        before = path.read_text(encoding="utf-8")
        after = change(before, name)
        if after != before:
            partial = path.with_name(f".{path.name}.tmp")
            partial.write_text(after, encoding="utf-8", newline="\n")
            os.replace(partial, path)
            changed.append(name)
    return changed


def main() -> None:
    """Put in the buttons of the repository that is named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m publish.badges", description=__doc__.splitlines()[0])
    parser.add_argument("repo", help="owner/name on GitHub; empty to take the buttons out")
    parser.add_argument("branch", nargs="?", default="main")
    options = parser.parse_args()
    try:
        host = Host(options.repo, options.branch) if options.repo else None
    except ValueError as error:
        sys.exit(str(error))
    changed = put(host)
    print(f"{len(changed)} files changed." + (" Commit and push them, then try a button." if changed and host else ""))


if __name__ == "__main__":
    main()
