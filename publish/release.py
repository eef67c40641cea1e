"""``make release``: the tests, and then site, book and copies as archives in ``build/release``, ready to be tagged.

What is released is said once: the version in ``pyproject.toml``, and its section in ``CHANGELOG.md``.
"""

import re
import shutil
import subprocess
import sys
import tomllib

from publish import book, copies, site
from publish.lesson import BuildError

ROOT = site.ROOT
FOLDER = ROOT / "build" / "release"


def version() -> str:
    """The version of the course."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def problem(number: str, changelog: str, changed: str, tags: str) -> str | None:
    """What stands in the way of a release, as a sentence; None if nothing does.

    Args:
        number: the version to be released.
        changelog: the text of ``CHANGELOG.md``.
        changed: what ``git status --porcelain`` prints.
        tags: what ``git tag`` prints.
    """
    if changed.strip():
        return "There are changes that are not committed. Commit them first."
    if f"v{number}" in tags.split():
        return f"v{number} is released already. Raise the version in pyproject.toml."
    newest = re.search(r"^## (\S+)", changelog, re.MULTILINE)
    if newest is None or newest[1] != number:
        return f"The first section of CHANGELOG.md must be '## {number}', the version in pyproject.toml."
    return None


def main() -> None:
    """Test, build and pack; says which tag to set."""
    number = version()
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    sentence = problem(number, changelog, _git("status", "--porcelain"), _git("tag"))
    if sentence:
        sys.exit(sentence)
    tests = [sys.executable, "-m", "pytest", "-n", "auto", "--maxprocesses", "4", "--dist", "loadfile"]
    if subprocess.call([*tests, "--no-loadscope-reorder"], cwd=ROOT):
        sys.exit("The tests failed: nothing is released.")
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    name = f"one-prompt-many-pictures-{number}"
    try:
        site.build(ROOT / "build" / "site")
        book.build(FOLDER / f"{name}.pdf")
        for kind in ("student", "teacher"):
            copies.build(kind, sorted((ROOT / "notebooks").glob("*.ipynb")), ROOT / "build" / kind)
    except BuildError as error:
        sys.exit(str(error))
    for kind in ("site", "student", "teacher"):
        shutil.make_archive(str(FOLDER / f"{name}-{kind}"), "zip", ROOT / "build" / kind)
    print(f"In {FOLDER}:", *sorted(file.name for file in FOLDER.iterdir()), sep="\n  ")
    print(f"Now: git tag -a v{number} -m 'Version {number}' && git push origin v{number}")


def _git(*words: str) -> str:
    return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    main()
