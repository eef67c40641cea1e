"""Slides of a lesson, cut from its cells: what is asked, what is shown, and what there is to see in it.

A heading begins a stack of slides. A question to predict ends its slide, so that the answer is not seen with it. A
figure comes first and the words about it at the next press of a key. Definitions are shown as code, exercises as their
question. Solutions, set-up, references and the code of figures are left to the lesson.
"""

import ast
import dataclasses
import math
import re

from bs4 import BeautifulSoup, NavigableString, Tag

from publish.lesson import PLACEHOLDER, Lesson, Output, Part, coloured

ROOM = 90  # words on a slide that are read from the back row
BESIDE, BELOW, BELOW_STRIP = 60, 48, 75  # words beside a figure, below one, and below one that is a mere strip
WIDE, STRIP = 1.75, 3.2  # how much wider than high a figure is that has its words below it, and a strip
FORMULA = 14  # a displayed formula takes the room of so many words
LINES = 20  # of code
ROWS = 8  # of a table
END = re.compile(r"(?<=[.?!])\s+(?=[A-Z]|$)")  # of a sentence


@dataclasses.dataclass
class Slide:
    """One slide. ``kind`` is a class of ``slides.css``; ``running`` the heading that it stands under."""

    kind: str
    running: str
    html: str


def cut(lesson: Lesson) -> list[list[Slide]]:
    """The slides of a lesson, a list for each of its headings."""
    cutter = _Cutter()
    for part in lesson.parts:
        cutter.take(part)
    cutter.flush()
    return [stack for stack in cutter.stacks if stack]


class _Cutter:
    """Fills one slide after the other. A figure or a print waits in ``_shown`` for the words about it."""

    def __init__(self):
        self.stacks: list[list[Slide]] = []
        self._heading = self._running = ""
        self._begin_slide()

    def _begin_slide(self) -> None:
        self._text: list[str] = []
        self._words = 0
        self._shown: Output | None = None

    def take(self, part: Part) -> None:
        """Put one cell on slides."""
        if part.role == "text":
            for element in BeautifulSoup(part.html, "html.parser").find_all(recursive=False):
                self._take_element(element)
        elif part.role in ("code", "claim", "static-strip", "widget"):
            if part.role == "code":
                self._take_code(part)
            for output in part.outputs:
                self._take_output(output)

    def flush(self) -> None:
        """End the slide that is being filled."""
        text = "".join(self._text)
        if self._shown:
            kind = f"{self._shown.kind} {'below' if _shape(self._shown) > WIDE else 'beside'}"
            kind = kind if text else self._shown.kind
            words = f'<div class="words fragment">{text}</div>' if text else ""
            self._add(kind, f'<div class="pair"><div class="shown">{self._shown.html}</div>{words}</div>')
        elif text:
            self._add("text", text)
        self._begin_slide()

    def _add(self, kind: str, content: str) -> None:
        self.stacks[-1].append(Slide(kind, self._running, content))
        self._running = self._heading

    def _take_element(self, element: Tag) -> None:
        classes = element.get("class", [])
        for link in element.find_all("a"):
            link.unwrap()  # on a slide there is nothing to follow
        if element.name in ("h1", "h2"):
            self.flush()
            self.stacks.append([])
            self._heading, self._running = element.decode_contents(), ""
            self._put(f"<{element.name}>{self._heading}</{element.name}>", 0)
        elif "end" in classes or ("fact" in classes and not element.text.startswith("You will")):
            self.flush()
        elif "exercise" in classes or element.find("p", class_="exercise") or "fact" in classes:
            self.flush()
            self._put(str(element), 0)
            self.flush()
        elif element.name == "p":
            self._take_paragraph(list(_sentences(element)), classes)
        elif "table" in classes:
            self._take_table(element)
        else:
            self._put(str(element), count(element.text))

    def _take_paragraph(self, sentences: list[str], classes: list[str]) -> None:
        if "predict" in classes and self._shown:
            self.flush()  # it asks about what comes next
        words = sum(map(count, sentences))
        if self._words + words > self._room() and self._text and self._words > 20:
            self.flush()
        over = words > self._room() and len(sentences) > 1
        parts = 1 if not over else math.ceil(words / self._room())
        head = [sentences[0]]
        rest = sentences[1:]
        while rest and (not over or sum(map(count, [*head, rest[0]])) <= words / parts + 8):
            head.append(rest.pop(0))
        self._put(f'<p class="{" ".join(classes)}">{" ".join(head)}</p>', sum(map(count, head)))
        if rest or "predict" in classes:
            self.flush()
        if rest:
            self._take_paragraph(rest, classes)

    def _take_table(self, element: Tag) -> None:
        self.flush()
        rows = element.select("tbody tr")
        for first in range(0, len(rows), ROWS):
            body = "".join(map(str, rows[first : first + ROWS]))
            self._add("table", f"<table>{element.find('thead') or ''}<tbody>{body}</tbody></table>")

    def _take_code(self, part: Part) -> None:
        """Show what a cell defines, without what it does with it."""
        defined = _defined(part.source)
        if not defined:
            return
        self.flush()
        code = "\n\n".join(defined.values())
        if sum(bool(line.strip()) for line in code.splitlines()) <= LINES:
            self._add("code", coloured(code))
        else:
            names = ", ".join(f"<code>{name}</code>" for name in defined)
            self._put(f"<p>The code of {names} stands in the lesson.</p>", 10)

    def _take_output(self, output: Output) -> None:
        if output.kind == "claim":
            self._put(output.html, count(output.html))
        elif output.kind != "other":
            self.flush()
            self._shown = output
            if output.kind == "explorer":
                self.flush()

    def _put(self, piece: str, words: int) -> None:
        if self._text and self._words + words > self._room():
            self.flush()
        self._text.append(piece)
        self._words += words

    def _room(self) -> int:
        if self._shown is None:
            return ROOM
        shape = _shape(self._shown)
        return BELOW_STRIP if shape > STRIP else BELOW if shape > WIDE else BESIDE


def count(text: str) -> int:
    """Words of a text, with formulas counted by the room that they take."""
    text = re.sub(r"<[^>]*>", "", text).strip()
    return FORMULA if PLACEHOLDER.fullmatch(text) else len(text.split())


def _sentences(paragraph: Tag):
    """The sentences of a paragraph, as HTML. Nothing is cut inside a tag."""
    sentence = ""
    for child in paragraph.children:
        if not isinstance(child, NavigableString):
            sentence += str(child)
            continue
        first, *others = END.split(child.output_ready())
        sentence += first
        for other in others:
            yield sentence
            sentence = other
    if sentence.strip():
        yield sentence


def _shape(output: Output) -> float:
    """How much wider than high its picture is; a print takes a few lines and counts as a strip."""
    image = BeautifulSoup(output.html, "html.parser").find("img")
    return int(image["width"]) / int(image["height"]) if image else math.inf


def _defined(source: str) -> dict[str, str]:
    """The functions and classes that a cell defines, each with its code."""
    nodes = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
    lines = source.splitlines()
    starts = [min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1 for node in nodes]
    return {node.name: "\n".join(lines[at : node.end_lineno]) for at, node in zip(starts, nodes, strict=True)}
