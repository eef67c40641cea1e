"""``make site``: the whole course as pages and slides that open from a USB stick, in any browser, without a network.

The pages are made from what the notebooks hold when they are committed; nothing is executed. What comes from elsewhere
(mathematics, slides, typefaces) is fetched from npm once, into ``build/npm``, in the versions that
``assets/package-lock.json`` names, and copied beside the pages.
"""

import dataclasses
import html
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jinja2
from bs4 import BeautifulSoup, Tag
from PIL import Image

from publish import frames, slides
from publish.lesson import PLACEHOLDER, BuildError, Formulas, Lesson, markdown, read

ROOT = Path(__file__).resolve().parent.parent
ASSETS = Path(__file__).parent / "assets"
PACKAGES = ROOT / "build" / "npm"
FRAMES = ROOT / "build" / "frames"
VENDORED = {  # what of each package the site needs, and where it goes
    "katex": ("dist/katex.min.css", "dist/fonts/*.woff2", "LICENSE"),
    "reveal.js": ("dist/reveal.css", "dist/reveal.js", "LICENSE"),
    "@fontsource-variable/noto-sans-tc": ("wght.css", "files/*-wght-normal.woff2", "LICENSE"),
    "@fontsource-variable/source-sans-3": ("files/source-sans-3-latin-wght-*.woff2", "LICENSE"),
    "@fontsource-variable/source-serif-4": ("files/source-serif-4-latin-wght-*.woff2", "LICENSE"),
}
HEADING = re.compile(r'<h2 id="([^"]*)">(.*?)</h2>')
PICTURE = {".png", ".jpg", ".jpeg", ".gif", ".svg", ".webp"}


def fetch_packages() -> Path:
    """The folder with the npm packages, fetched if they are not there yet.

    Raises:
        BuildError: there is no npm, or it could not fetch them.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        raise BuildError("The site needs Node.js, which brings npm along: see nodejs.org, or `apt install nodejs npm`.")
    PACKAGES.mkdir(parents=True, exist_ok=True)
    lock = (ASSETS / "package-lock.json").read_bytes()
    fetched = PACKAGES / "fetched.json"
    if fetched.exists() and fetched.read_bytes() == lock:
        return PACKAGES
    for name in ("package.json", "package-lock.json"):
        shutil.copy(ASSETS / name, PACKAGES)
    run = subprocess.run(
        [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"],
        cwd=PACKAGES,
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise BuildError(f"npm could not fetch its packages. The first `make site` needs a network.\n{run.stderr}")
    fetched.write_bytes(lock)
    return PACKAGES


@dataclasses.dataclass
class Card:
    """One lesson on the map: its picture, as HTML, and its question."""

    lesson: Lesson
    picture: str
    question: str


class Site:
    """The pages of one build.

    Args:
        notebooks: the lessons, in their order.
        documents: Markdown files that become pages of their own, by the name of the page.
        packages: the folder with the npm packages.
        shown: the folder with the pictures of widgets, as ``publish.frames`` leaves it; it may be empty.
        folder: an empty folder for the pages.
    """

    def __init__(
        self, notebooks: Iterable[Path], documents: dict[str, Path], packages: Path, shown: Path, folder: Path
    ):
        self._notebooks = list(notebooks)
        self._documents = documents
        self._packages, self._frames, self._folder = packages, shown, folder
        self._pages = {path.resolve(): f"{path.stem}.html" for path in self._notebooks}
        self._pages |= {path.resolve(): f"{name}.html" for name, path in documents.items()}
        loader = jinja2.FileSystemLoader(ASSETS)
        self._templates = jinja2.Environment(
            loader=loader, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
        )

    def build(self) -> None:
        """Write everything."""
        self._copy_assets()
        formulas = Formulas()
        lessons = [self._lesson(path, formulas) for path in self._notebooks]
        documents = {name: self._document(path, formulas) for name, path in self._documents.items()}
        fill = formulas.rendered(self._packages)
        readme = documents["about"]
        self._write_search(lessons, documents)
        start, cards = self._map(readme, lessons)
        self._write("index.html", "index.html.j2", fill, start=start, cards=cards, title=readme.title)
        for name, document in documents.items():
            self._write(f"{name}.html", "document.html.j2", fill, document=document, title=document.title)
        for before, lesson, after in zip([None, *lessons], lessons, [*lessons[1:], None], strict=False):
            self._write(
                f"{lesson.name}.html",
                "lesson.html.j2",
                fill,
                lesson=lesson,
                headings=headings(lesson),
                before=before,
                after=after,
                changes=changes(documents.get("changelog"), lesson),
                title=lesson.title,
            )
            self._write(
                f"slides/{lesson.name}.html",
                "slides.html.j2",
                lambda text: re.sub(r'src(set)?="pictures/', r'src\1="../pictures/', fill(text)),
                lesson=lesson,
                stacks=slides.cut(lesson),
                title=lesson.title,
            )

    def book(self) -> Path:
        """Write one page with all lessons, to be printed; returns it."""
        self._copy_assets()
        formulas = Formulas()
        lessons = [self._lesson(path, formulas) for path in self._notebooks]
        about = self._document(self._documents["about"], formulas)
        fill = formulas.rendered(self._packages)
        for lesson in lessons:
            for part in lesson.parts:
                part.html = self._in_book(part.html, lesson.name)
                for output in part.outputs:
                    output.html = self._in_book(output.html, lesson.name)
        start, _ = self._map(about, lessons)
        for file in (self._folder / "pictures").glob("*.png"):
            with Image.open(file) as picture:  # the first frame of an animation is its still
                if getattr(picture, "n_frames", 1) > 1:
                    picture.convert("RGB").save(file)
        self._write("book.html", "book.html.j2", fill, start=start, lessons=lessons, title=about.title)
        return self._folder / "book.html"

    def _in_book(self, text: str, name: str) -> str:
        """A piece of a lesson whose names, and the links to them, are told from those of the other lessons."""
        tree = BeautifulSoup(text, "html.parser")
        for element in tree.find_all(id=True):
            element["id"] = f"{name}-{element['id']}"
        for link in tree.find_all("a", href=True):
            url = urlsplit(link["href"])
            target = name if not url.path else url.path.removesuffix(".html")
            if url.scheme:
                continue
            if f"{target}.html" in self._pages.values() and target not in self._documents:
                link["href"] = f"#{target}-{url.fragment}" if url.fragment else f"#{target}"
            else:
                link.unwrap()
        return str(tree)

    def _copy_assets(self) -> None:
        for name in ("pictures", "slides"):
            (self._folder / name).mkdir()
        for asset in ("style.css", "slides.css", "course.js", "slides.js"):
            shutil.copy(ASSETS / asset, self._folder)
        for package, patterns in VENDORED.items():
            source = self._packages / "node_modules" / package
            for pattern in patterns:
                for file in sorted(source.glob(pattern)):
                    to = self._folder / "vendor" / package.rpartition("/")[2] / file.relative_to(source)
                    to.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(file, to)

    def _lesson(self, path: Path, formulas: Formulas) -> Lesson:
        lesson = read(path, formulas, self._folder / "pictures")
        for part in lesson.parts:
            if part.role == "text":
                part.html = self._linked(BeautifulSoup(part.html, "html.parser"), path.parent)
            for output in part.outputs:
                if output.kind == "other":
                    output.html = self._linked(BeautifulSoup(output.html, "html.parser"), path.parent)
            if part.role == "widget":
                part.outputs = frames.explorer(self._frames / lesson.name / part.id, self._folder / "pictures")
        return lesson

    def _document(self, path: Path, formulas: Formulas) -> "Document":
        tree = BeautifulSoup(markdown(path.read_text(encoding="utf-8"), formulas), "html.parser")
        for table in tree.find_all("table"):
            if not table.find("th", string=True):
                table["role"] = "presentation"  # it only sets words side by side
        title = tree.find("h1").get_text()
        return Document(title, self._linked(tree, path.parent))

    def _linked(self, tree: BeautifulSoup, folder: Path) -> str:
        """The tree with its links and pictures leading to pages and files of the site."""
        for link in tree.find_all("a", href=True):
            target = self._target(link["href"], folder)
            if target is None:
                link.unwrap()
            else:
                link["href"] = target
        for image in tree.find_all("img", src=True):
            image["src"] = self._target(image["src"], folder)
            image["width"], image["height"] = Image.open(self._folder / unquote(image["src"])).size
            image["loading"] = "lazy"
        return str(tree)

    def _target(self, address: str, folder: Path) -> str | None:
        """Where a link of a source leads on the site; None where it leads to nothing that the site has."""
        url = urlsplit(address)
        if url.scheme or url.netloc or not url.path:
            return address
        file = (folder / unquote(url.path)).resolve()
        fragment = f"#{url.fragment}" if url.fragment else ""
        if file in self._pages:
            return self._pages[file] + fragment
        if not file.is_file() or not file.is_relative_to(ROOT):
            return None
        name = file.relative_to(ROOT).as_posix()
        to = f"pictures/{file.name}" if file.suffix in PICTURE else f"files/{name}.txt"
        (self._folder / to).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, self._folder / to)
        return to

    def _map(self, readme: "Document", lessons: list[Lesson]) -> tuple[str, list[Card]]:
        """The opening of the README, and a card for each lesson: picture and question come from its map."""
        tree = BeautifulSoup(readme.html, "html.parser")
        rows = {
            link["href"]: row for row in tree.select("tr") if (link := row.find("a")) and link["href"].endswith(".html")
        }
        cards = []
        for lesson in lessons:
            row = rows.get(f"{lesson.name}.html")
            picture = row.find("img") if row else None
            question = row.find_all("td")[2].decode_contents() if row else html.escape(lesson.promise)
            cards.append(Card(lesson, str(picture or ""), question))
        start = [element for element in tree.find("h2").previous_siblings if isinstance(element, Tag)]
        return "".join(str(element) for element in reversed(start) if element.name != "h1"), cards

    def _write_search(self, lessons: list[Lesson], documents: dict[str, "Document"]) -> None:
        """Every section of the course as a script, since a page on a USB stick may not fetch data."""
        texts = [
            (lesson.name, lesson.title, "".join(p.html for p in lesson.parts if p.role == "text")) for lesson in lessons
        ]
        texts += [(name, document.title, document.html) for name, document in documents.items()]
        found = [section for text in texts for section in sections(*text)]
        (self._folder / "search.js").write_text(
            f"window.COURSE = {json.dumps(found, ensure_ascii=False)};\n", encoding="utf-8"
        )

    def _write(self, page: str, template: str, fill: Callable[[str], str], **values) -> None:
        values |= {"documents": self._documents, "page": page}
        text = fill(self._templates.get_template(template).render(**values))
        (self._folder / page).write_text(text, encoding="utf-8")


@dataclasses.dataclass
class Document:
    """A Markdown file of the repository as HTML."""

    title: str
    html: str


def changes(changelog: Document | None, lesson: Lesson) -> list[tuple[str, str]]:
    """What changed in a lesson, newest first: the version, and each entry that begins with a link to it."""
    found, version = [], ""
    for element in BeautifulSoup(changelog.html, "html.parser").find_all(["h2", "li"]) if changelog else ():
        if element.name == "h2":
            version = element.get_text()
            continue
        first = element.find("a", recursive=False)
        if first and first["href"] == f"{lesson.name}.html" and element.contents[0] is first:
            first.extract()
            found.append((version, element.decode_contents().lstrip(": ")))
    return found


def sections(name: str, title: str, text: str) -> list[dict[str, str]]:
    """What a search looks through: the words under each heading of a page, and the address of the heading."""
    found = []
    for element in BeautifulSoup(text, "html.parser").find_all(True, recursive=False):
        words = " ".join(PLACEHOLDER.sub(" ", element.get_text(" ")).split())
        if element.name in ("h1", "h2", "h3") or not found:
            address = f"{name}.html" + (f"#{element['id']}" if element.name in ("h2", "h3") else "")
            found.append({"page": address, "title": title, "heading": words, "text": ""})
        else:
            found[-1]["text"] += f" {words}"
    return found


def headings(lesson: Lesson) -> list[tuple[str, str]]:
    """The headings of a lesson under its title: what an address calls them, and their text."""
    return [heading for part in lesson.parts if part.role == "text" for heading in HEADING.findall(part.html)]


def documents() -> dict[str, Path]:
    """The Markdown files of the repository that are pages of the site, by the name of the page."""
    found = {path.stem.lower(): path for path in [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]}
    return {"about": found.pop("readme"), **found, "data": ROOT / "data" / "README.md"}


def build(folder: Path, notebooks: Iterable[Path] | None = None, shown: Path = FRAMES) -> None:
    """Build the site, in a folder beside it first: meanwhile, readers see the old site or the new one.

    Args:
        folder: of the site.
        notebooks: the lessons; by default all of the course.
        shown: the pictures of widgets that ``make frames`` has stored.

    Raises:
        BuildError: a package or a formula is in the way.
    """
    packages = fetch_packages()
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    lessons = sorted((ROOT / "notebooks").glob("*.ipynb")) if notebooks is None else notebooks
    Site(lessons, documents(), packages, shown, temporary).build()
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)


def main() -> None:
    """Build the site into ``build/site``."""
    folder = ROOT / "build" / "site"
    try:
        build(folder)
    except BuildError as error:
        sys.exit(str(error))
    print(f"Open {folder / 'index.html'} in a browser, or copy the folder {folder} to a USB stick.")


if __name__ == "__main__":
    main()
