"""``make links``: every address outside the course, once, with the files where it stands; needs no network.

Links inside the course that lead nowhere are named first, and end it with exit code 1; the tests look for them too.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from bs4 import BeautifulSoup

from publish import badges
from tests.test_notebooks import DOCUMENTS, NOTEBOOKS, ROOT, broken_links, markdown_cells, read, rendered, shown

BARE = re.compile(r"https?://[^\s<>\"'`)\]]+[^\s<>\"'`)\].,;:!?]")  # an address that stands in the text as it is


def pages() -> dict[Path, list[BeautifulSoup]]:
    """What is read of each Markdown file and notebook: its text, and outputs in HTML."""
    found = {path: [rendered(badges.of_readme(path.read_text(encoding="utf-8"), None))] for path in DOCUMENTS}
    for path in NOTEBOOKS:
        nb = read(path)
        outputs = [shown(output, "text/html") for cell in nb.cells for output in cell.get("outputs", [])]
        found[path] = [rendered(cell.source) for cell in markdown_cells(nb)]
        found[path] += [BeautifulSoup(output, "html.parser") for output in outputs]
    return found


def addresses(tree: BeautifulSoup) -> set[str]:
    """The addresses outside the course that a text links to, loads or names."""
    named = [element[kind] for kind in ("href", "src") for element in tree.find_all(attrs={kind: True})]
    return {name for name in named if urlsplit(name).scheme in ("http", "https")} | {*BARE.findall(tree.get_text(" "))}


def external(trees: Mapping[str, list[BeautifulSoup]]) -> dict[str, list[str]]:
    """Each address outside the course, with the names of the files where it stands, both in alphabetical order."""
    stands = {name: set().union(*map(addresses, some)) for name, some in trees.items()}
    return {
        address: sorted(name for name, there in stands.items() if address in there)
        for address in sorted(set().union(*stands.values()))
    }


def main() -> None:
    """Print what leads nowhere, and then all that leads out."""
    trees_of = pages()
    names = {path: path.relative_to(ROOT).as_posix() for path in trees_of}
    broken = [
        f"{names[path]}: {link} leads nowhere"
        for path, trees in trees_of.items()
        for tree in trees
        for link in broken_links(tree, path.parent)
    ]
    print(*broken, sep="\n", end="\n\n" if broken else "")
    for address, files in external({names[path]: trees for path, trees in trees_of.items()}).items():
        print(address, *files, sep="\n    ")
    sys.exit(bool(broken))


if __name__ == "__main__":
    main()
