"""A notebook in parts that a page and a deck of slides are put together from. Nothing is executed."""

import base64
import dataclasses
import html
import io
import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from PIL import Image
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import get_lexer_by_name

from publish import badges

CHINESE = re.compile(r"[\u3400-\u9fff](?:[\u3000-\u9fff]*[\u3400-\u9fff])?")
TEXT_NODE = re.compile(r">([^<]+)<")
PLACEHOLDER = re.compile(r"\ue000(\d+)\ue001")  # private characters, which no text of ours holds
READING = re.compile(r"about (\d+) minutes of reading")
DATA = re.compile(r"data:image/(\w+);base64,(.*)", re.DOTALL)
MARKED = [  # what style.css sets off from the rest
    (re.compile(r"<p>(<strong>Predict\.</strong>)"), r'<p class="predict">\1'),
    (re.compile(r"<p>(<strong>(?:Exercise|Step \d)\.</strong>)"), r'<p class="exercise">\1'),
    (re.compile(r"<p>(You need|You will be able to|Time):"), r'<p class="fact"><b>\1:</b>'),
    (re.compile(r"<p>(<strong>(References\.|Next:)</strong>)"), r'<p class="end">\1'),
    (re.compile(r"<table>.*?</table>", re.DOTALL), r'<div class="table">\g<0></div>'),
    (re.compile("<th></th>"), "<td></td>"),
    (re.compile("<th>"), '<th scope="col">'),
]
ROLES = ("solution", "exercise", "claim", "widget", "static-strip")
RENDER_MATH = """
const katex = require('katex');
const formulas = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const shown = formulas.map(({tex, display}) => {
    try {
        return katex.renderToString(tex, {displayMode: display, strict: false});
    } catch (error) {
        console.error(`${tex}\\n${error.message}`);
        process.exit(1);
    }
});
console.log(JSON.stringify(shown));
"""


class BuildError(Exception):
    """Why something cannot be built, as a sentence for the one who asked for it."""


class Formulas:
    """All formulas of the site. They are collected first and rendered together, since starting Node takes a moment."""

    def __init__(self):
        self._found: dict[tuple[str, bool], int] = {}

    def add(self, tex: str, display: bool) -> str:
        """Note a formula; gives what stands in its place until ``rendered``."""
        return f"\ue000{self._found.setdefault((tex.strip(), display), len(self._found))}\ue001"

    def rendered(self, packages: Path) -> Callable[[str], str]:
        """A function that puts the formulas into a text, as HTML with MathML in it. No script is needed to show them.

        Args:
            packages: the folder whose ``node_modules`` hold KaTeX.

        Raises:
            BuildError: a formula is not TeX that KaTeX knows.
        """
        asked = json.dumps([{"tex": tex, "display": display} for tex, display in self._found])
        run = subprocess.run(
            ["node", "-e", RENDER_MATH], input=asked, capture_output=True, encoding="utf-8", cwd=packages, check=False
        )
        if run.returncode:
            raise BuildError(f"a formula cannot be shown: {run.stderr.strip()}")
        shown = json.loads(run.stdout)
        return lambda text: PLACEHOLDER.sub(lambda found: shown[int(found[1])], text)


class _Renderer(IPythonRenderer):
    """Markdown as JupyterLab reads it, with formulas put aside and code in colours."""

    def __init__(self, formulas: Formulas):
        super().__init__(escape=False, exclude_anchor_links=True)
        self._formulas = formulas

    def block_math(self, body: str) -> str:
        return self._formulas.add(body, display=True)

    def inline_math(self, body: str) -> str:
        return self._formulas.add(body, display=False)

    def latex_environment(self, name: str, body: str) -> str:
        return self._formulas.add(rf"\begin{{{name}}}{body}\end{{{name}}}", display=True)

    def block_code(self, code: str, info: str | None = None) -> str:
        return boxed("code", html.escape(code.rstrip()))

    def heading(self, text: str, level: int, **attributes) -> str:
        return f'<h{level} id="{slug(text)}">{text}</h{level}>\n'


def boxed(kind: str, shown: str) -> str:
    """Code or print, as HTML; the style is told how many letters its longest line has."""
    columns = max(len(html.unescape(re.sub(r"<[^>]*>", "", line))) for line in shown.splitlines() or [""])
    return f'<pre class="{kind}" style="--columns: {max(columns, 1)}"><code>{shown}</code></pre>'


@dataclasses.dataclass
class Output:
    """What a cell showed. ``kind`` is ``figure``, ``printed``, ``claim`` or ``other``."""

    kind: str
    html: str


@dataclasses.dataclass
class Part:
    """A cell, ready to be shown.

    ``role`` is ``text``, ``setup``, ``code`` or one of ``ROLES``; ``html`` the text, or the code in colours; ``source``
    what stands in the notebook.
    """

    id: str
    role: str
    html: str
    source: str
    outputs: list[Output] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Lesson:
    """A notebook, ready to be shown. ``minutes`` of reading is None where its first cell does not say."""

    name: str
    title: str
    promise: str
    minutes: int | None
    parts: list[Part]


def slug(heading: str) -> str:
    """The name of a heading in an address, made as GitHub makes it."""
    text = html.unescape(re.sub(r"<[^>]+>", "", heading)).lower()
    return re.sub(r"[^\w\- ]", "", text).strip().replace(" ", "-")


def markdown(text: str, formulas: Formulas) -> str:
    """Markdown as HTML, formulas put aside, Chinese marked as such: its letters and its voice are not the English."""
    shown = MarkdownWithMath(renderer=_Renderer(formulas)).render(text)
    for plain, marked in MARKED:
        shown = plain.sub(marked, shown)
    return TEXT_NODE.sub(lambda node: ">" + CHINESE.sub(r'<span lang="zh-Hant">\g<0></span>', node[1]) + "<", shown)


def coloured(code: str) -> str:
    """Python with a class for each kind of word, as ``style.css`` knows them."""
    return boxed("code", highlight(code, get_lexer_by_name("ipython3"), HtmlFormatter(nowrap=True)).rstrip())


def read(path: Path, formulas: Formulas, pictures: Path) -> Lesson:
    """The parts of a notebook.

    Args:
        path: of the notebook.
        formulas: where its formulas are noted.
        pictures: the folder that its pictures are written to; pages find it as ``pictures/``.
    """
    notebook = badges.without(nbformat.v4.reads(path.read_text(encoding="utf-8")))
    parts = [_part(cell, path.stem, formulas, pictures) for cell in notebook.cells]
    opening = notebook.cells[0].source
    title = re.search(r"^# (.+)$", opening, re.MULTILINE)
    promise = re.search(r"^\*\*(.+)\*\*$", opening, re.MULTILINE)
    minutes = READING.search(opening)
    return Lesson(
        name=path.stem,
        title=title[1] if title else path.stem,
        promise=promise[1] if promise else "",
        minutes=int(minutes[1]) if minutes else None,
        parts=parts,
    )


def _part(cell: NotebookNode, lesson: str, formulas: Formulas, pictures: Path) -> Part:
    if cell.cell_type == "markdown":
        return Part(cell.id, "text", markdown(cell.source, formulas), cell.source)
    tags = [tag.replace("workshop", "exercise") for tag in cell.metadata.get("tags", [])]
    role = "setup" if cell.id == "setup" else next((role for role in ROLES if role in tags), "code")
    outputs = [
        shown
        for number, output in enumerate(cell.outputs)
        if (shown := _output(output, role, f"{lesson}-{cell.id}-{number}", pictures))
    ]
    return Part(cell.id, role, coloured(cell.source), cell.source, outputs)


def _output(output: NotebookNode, role: str, name: str, pictures: Path) -> Output | None:
    if output.output_type == "stream":
        text = html.escape(output.text.rstrip("\n"))
        if role == "claim":
            claim, _, says = text.partition(": ")
            return Output("claim", f'<p class="claim"><b>{claim}:</b> {says}</p>')
        return Output("printed", boxed("printed", text)) if text else None
    data = output.get("data", {})
    if "text/html" not in data:
        return Output("printed", boxed("printed", html.escape(data.get("text/plain", ""))))
    tree = BeautifulSoup(data["text/html"], "html.parser")
    for element in tree.select("[role=status]"):
        del element["role"]  # a page does not change, so there is nothing to announce
    for number, image in enumerate(tree.find_all("img")):
        _to_file(image, f"{name}-{number}", pictures)
    for number, still in enumerate(tree.find_all("source")):  # what is shown instead of an animation
        (pictures / f"{name}-{number}-still.png").write_bytes(base64.b64decode(DATA.match(still["srcset"])[2]))
        still["srcset"] = f"pictures/{name}-{number}-still.png"
    for element in tree.select("figure"):
        del element["style"]
    for fold in tree.select("details"):
        if fold.find("img"):
            fold["class"] = "animation"
    for table in tree.find_all("table"):
        table.wrap(tree.new_tag("div", attrs={"class": "table"}))
    return Output("figure" if tree.find(["img", "audio"]) else "other", str(tree))


def _to_file(image, name: str, pictures: Path) -> None:
    """Move the bytes of an ``<img>`` into a file: so a page is light, and its pictures come when they are needed."""
    found = DATA.match(image.get("src", ""))
    if not found:
        return
    content = base64.b64decode(found[2])
    file = pictures / f"{name}.{found[1]}"
    file.write_bytes(content)
    width, height = Image.open(io.BytesIO(content)).size
    image.attrs = {
        "src": f"pictures/{file.name}",
        "alt": image["alt"],
        "width": width,
        "height": height,
        "loading": "lazy",
    }
