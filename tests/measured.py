"""Numbers in prose are those of the stored outputs: finds each that a reader takes for measured, and checks it.

A number in digits is recognised where a number that was printed near it rounds to it, or where it stands in the
notebook's code. What stands in formulas and references, a year, the number of a notebook: none is a measurement.
A number in words is looked at where it measures: "seven in ten", "a third of", "twice as", "sixty nats", "hardly any".

What is not recognised is marked under ``numbers``, in the metadata of its cell or, in a quiz, in its question:

    {"seven in ten": "= [normal-measured: shuffled ... decoded #]", "0.18215": "that of Stable Diffusion"}

After ``=`` stands a formula that must come to what is said. In brackets it quotes an output: the id of the cell (of
another notebook's, ``07_diffusion/id``; of a file, ``data/README.md``), then what stands there, with ``#`` in the place
of the number, ``*`` of a word, ``...`` of more. All else is a reason, for human readers. So a mark stays as it is
when an output changes. It fails when the two no longer agree, or when its number no longer stands in the cell.
"""

import ast
import math
import re
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal

from bs4 import BeautifulSoup
from nbformat import NotebookNode

ONES = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
WORDS = {word: n for n, word in enumerate(f"{ONES} eighteen nineteen".split(), start=1)}
WORDS |= {word: 10 * n for n, word in enumerate(TENS.split(), start=2)}
WORDS |= {"hundred": 100, "thousand": 1000, "twice": 2, "doubles": 2, "halves": 0.5}
PARTS = {"half": 2, "third": 3, "quarter": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10, "twentieth": 20}

COUNT = f"(?:{'|'.join(sorted(WORDS, key=len, reverse=True))})(?:-(?:{'|'.join(ONES.split()[:9])}))?"
PART = "|".join(PARTS)
NUMBER = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?(?: ?%)?"
SAID = re.compile(
    rf"(?P<ratio>\b{COUNT}(?: (?:caption|dog|number|picture|pixel|sample)s?)? (?:in|out of) (?:a )?(?!one){COUNT}\b"
    rf"|\b{COUNT} of (?:ten|twenty|a hundred)\b)"
    rf"|(?P<part>\b(?:a|(?!four quarters){COUNT}) (?:{PART})s?(?= of| as| less| lower| smaller| larger| to|[.,;:)])"
    r"|(?<!upper )(?<!lower )\bhalf(?= of| as)|(?<=than )half\b|(?<=nearly )half\b|(?<=about )half\b)"
    rf"|(?P<times>\b(?:{COUNT} times|twice)(?= as| more| the| slower| faster)|\b(?:doubles|halves)\b|\b{COUNT}fold\b"
    rf"|(?<=factor of )(?:more than )?(?:a )?{COUNT}\b|(?<=by more than ){COUNT}(?=[.,;:]))"
    rf"|(?P<unit>\b{COUNT}(?: and a half)? (?:bit|nat|per cent|second|minute|hour)s?\b)"
    rf"|(?P<large>\b{COUNT} (?:hundred|thousand)\b)"
    r"|(?P<none>\bhardly any\b)"
    rf"|(?P<digits>(?<![\w.,^_/-]){NUMBER}(?![\w^]))",
    re.IGNORECASE,
)
MORE = re.compile(r"(?:more than|at least|over|above)(?: an?| the)? $", re.IGNORECASE)
LESS = re.compile(r"(?:less than|fewer than|at most|up to|below|under|within|not)(?: an?)? $", re.IGNORECASE)
NO_PROSE = re.compile(
    r"```.*?```|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$|<[^>]*>|^\**(?:References|Next|Time)\b[^\n]*|^#+ \d+\.|\*"
    r"|\[\d+\]\([^)]*\)|\]\([^)]*\)|\b(?:notebooks?|homework) \[?\d+(?:(?:,| and| to) \[?\d+)*|\b(?:19|20)\d\d\b",
    re.IGNORECASE | re.DOTALL | re.MULTILINE,
)
BASE64 = re.compile(r"base64,[A-Za-z0-9+/=\s]+")
Lookup = Callable[[str], Mapping[str, str]]


def read(number: str) -> float:
    """The value of a number in digits; 39 % are 0.39."""
    return float(number.rstrip(" %").replace(",", "")) / (100 if "%" in number else 1)


def value(said: re.Match) -> float:
    """What a number in prose is, as a number."""
    if said.lastgroup == "digits":
        return read(said[0])
    words = re.findall(rf"\b(?:{PART}|{COUNT})(?=s?\b|fold)", said[0].lower())
    counts = [sum(WORDS[part] for part in word.split("-")) for word in words if word not in PARTS] or [1]
    if said.lastgroup == "large":
        return counts[0] * counts[1]
    divisor = {"ratio": counts[-1], "part": PARTS.get(words[-1])}.get(said.lastgroup, 1)
    return counts[0] / divisor + ("and a half" in said[0]) / 2


def tolerance(said: re.Match) -> float:
    """How far the truth may be: half of the last digit that counts, or of one in ten; for other words a tenth."""
    stated = value(said)
    if said.lastgroup != "digits":
        unit = re.search(r"\b(ten|hundred|thousand)$", said[0].lower()) if said.lastgroup == "ratio" else None
        return 0.5 / WORDS[unit[1]] if unit else stated / 10
    number = Decimal(said[0].rstrip(" %").replace(",", ""))
    last = (number if "." in said[0] else number.normalize()).as_tuple().exponent
    half = 0.5 * 10.0**last / (100 if "%" in said[0] else 1)
    return min(half, stated / 20) if last > 0 else half  # the zeros of 1,500 do not count, but 1,200 is not 1,000


def agrees(said: re.Match, true: float) -> bool:
    """Whether what is measured may be called so."""
    if said.lastgroup == "none":
        return 0 < true <= 0.1
    stated, before = value(said), said.string[: said.start()]
    if MORE.search(before) or "more than" in said[0]:
        return stated <= true <= 2 * stated
    return true <= stated if LESS.search(before) else abs(true - stated) <= tolerance(said) * (1 + 1e-9)


def prose(markdown: str) -> str:
    """What of a text is read as prose, on one line."""
    return " ".join(NO_PROSE.sub(" ", markdown).split())


def typed(python: str) -> str:
    """The prose in code: strings of some words, such as alt texts. What is filled in is right by itself."""
    nodes = list(ast.walk(ast.parse(python)))
    docstrings_and_parts = {
        part for node in nodes if isinstance(node, ast.Expr | ast.JoinedStr) for part in ast.iter_child_nodes(node)
    }
    strings = [node.value for node in nodes if isinstance(node, ast.Constant) and node not in docstrings_and_parts]
    return prose("\n".join(text for text in strings if isinstance(text, str) and len(text.split()) > 3))


def constants(python: str) -> set[float]:
    """The numbers in code: sizes, budgets, settings."""
    found = (node.value for node in ast.walk(ast.parse(python)) if isinstance(node, ast.Constant))
    return {float(number) for number in found if isinstance(number, int | float)}


def outputs(nb: NotebookNode) -> dict[str, str]:
    """What each cell has printed, by id. The questions of a quiz are prose, and so is the line of a claim."""
    printed = {}
    for cell in nb.cells:
        if cell.cell_type == "code" and "quiz" not in cell.metadata.get("tags", []):
            lines = "\n".join(map(printed_by, cell.outputs)).splitlines()
            printed[cell.id] = "\n".join(line for line in lines if "holds: " not in line)
    return printed


def printed_by(output: NotebookNode) -> str:
    """The text of an output, of a page without its alt texts."""
    data = {"text/plain": output.get("text", "")} | output.get("data", {})
    if "text/html" not in data:
        return data["text/plain"]
    return BeautifulSoup(BASE64.sub("", data["text/html"]), "html.parser").get_text(" ")


def evaluated(formula: str, lookup: Lookup) -> float:
    """What a formula comes to, without its ``=``.

    Raises:
        ValueError: nothing like what it quotes has been printed.
    """

    def quoted(bracket: re.Match) -> str:
        place, _, text = bracket[1].partition(": ")
        source, _, cell = place.rpartition("/")
        pattern = r"\s+".join(map(re.escape, text.split()))
        for sign, meaning in ((r"\.\.\.", ".*?"), (r"\*", r"\S*?"), (r"\#", f"({NUMBER})")):
            pattern = pattern.replace(sign, meaning)
        found = re.search(pattern, lookup(source).get(cell, ""))
        if not found:
            raise ValueError(f"no output has {bracket[0]}")
        return repr(read(found[1]))

    return eval(re.sub(r"\[(.*?)\]", quoted, formula), {"__builtins__": {}} | vars(math))


def complaints(
    text: str, marks: Mapping[str, str], known: Iterable[str], coded: set[float], lookup: Lookup
) -> list[str]:
    """What is wrong with the numbers in a piece of prose.

    Args:
        text: the prose.
        marks: formulas and reasons of numbers, each by how the number stands in the text.
        known: printed texts that numbers in digits may come from.
        coded: numbers of the code.
        lookup: from the name of a notebook, ``"data"``, or ``""`` for this one, to its outputs, or files, by name.
    """
    numbers, wrong = list(SAID.finditer(text)), []
    for mark, reason in marks.items():
        spans = [place.span() for place in re.finditer(re.escape(mark), text)]
        marked = [n for n in numbers if any(start < n.end() and n.start() < end for start, end in spans)]
        numbers = [n for n in numbers if n not in marked]
        if not marked:
            wrong.append(f"{mark!r} is marked and does not stand here as a number")
        elif reason.startswith("="):
            try:
                true = evaluated(reason[1:].strip(), lookup)
                wrong += [f"{mark!r} is {true:.4g} by the outputs" for n in marked if not agrees(n, true)]
            except (ValueError, SyntaxError, NameError) as error:
                wrong.append(f"{mark!r}: {error}")
    measured = [(read(number), "%" in number) for each in known for number in re.findall(NUMBER, each)]
    for n in numbers:
        if n.lastgroup in ("digits", "large"):
            stated, far, share = value(n), tolerance(n) * (1 + 1e-9), "%" in n[0]
            if (stated in coded and not share) or any(
                abs(true - stated) <= far and kind == share for true, kind in measured
            ):
                continue
        around = text[max(0, n.start() - 25) : n.end() + 25]
        wrong.append(f"{n[0]!r} in {around!r} is in no output: correct it, or mark it under numbers")
    return wrong
