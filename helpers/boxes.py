"""Block diagrams, drawn with a few signs from a few words.

A box is learned, a dashed box is computed and not learned, a pill holds a value, a die is chance, an arrow says what
goes into what, and a bar across an arrow stops the gradient. A diagram is written as it looks, in the signs
``learned``, ``[computed]``, ``(value)``, ``<chance>`` and ``{picture}``, with its arrows below::

    # Drawing
    .   | (caption) | .
    <z> | decoder   | {picture}

    caption -> decoder
    z -> decoder -> picture

``.`` is an empty place, and ``=`` belongs to the box before it. No two boxes of a part have one name; an apostrophe at
the end tells them apart and is not shown. An arrow may say what flows, ``a -what flows-> b``, or stop the gradient,
``a -|-> b``. ``some words: a & b`` draws a frame around boxes.

Sizes are in inches, for letters of the usual size.
"""

import itertools
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from torch import Tensor

Points = Sequence[tuple[float, float]]

SIGNS = {"[": "computed", "(": "value", "<": "chance", "{": "picture"}
WIDTH = {"learned": 1.18, "computed": 1.18, "value": 1.08, "chance": 0.4, "picture": 0.62}
HEIGHT = WIDTH | {"learned": 0.56, "computed": 0.56, "value": 0.46}
COLUMN, ROW = 1.5, 1.1  # from one box to the next
LETTERS = 14  # of a line of text
INK, LINE, PALE = "#222222", "#555555", "#9a9a9a"


@dataclass(frozen=True)
class Box:
    """One thing in its place: its centre ``x``, ``y`` and its edges. What is below a die or a picture belongs to it."""

    kind: str
    text: str
    x: float
    y: float
    left: float
    right: float
    bottom: float
    top: float


@dataclass(frozen=True)
class Arrow:
    """An arrow along its corners, with what is written beside it; ``"|"`` stands for a stopped gradient."""

    start: str
    end: str
    text: str
    points: Points


@dataclass(frozen=True)
class Part:
    """A part of a diagram: its heading, its boxes by name, its arrows, and the names of the boxes in each frame."""

    heading: str
    boxes: dict[str, Box]
    arrows: list[Arrow]
    frames: dict[str, list[str]]


def read(text: str) -> list[Part]:
    """The parts of a diagram; y is 0 at the top of each and falls.

    Args:
        text: as described above.

    Raises:
        KeyError: an arrow from or to a box that is not there.
        ValueError: two boxes of one name, or an arrow that would have to cross a box.
    """
    parts = []
    for written in re.split(r"^# ", text.strip(), flags=re.MULTILINE)[1:]:
        heading, *lines = (line.strip() for line in written.splitlines() if line.strip())
        rows = [line.split(" | ") for line in lines if " | " in line]
        boxes, arrows = placed([[cell.strip() for cell in row] for row in rows]), []
        for line in lines:
            chain = re.split(r" -(?:([^>]*)-)?> ", line)
            for start, said, end in zip(chain[:-2:2], chain[1::2], chain[2::2], strict=True):
                arrows.append(Arrow(start, end, said or "", way(start, end, boxes)))
        framed = (line.split(": ") for line in lines if " | " not in line and "-> " not in line)
        parts.append(Part(heading, boxes, arrows, {words: names.split(" & ") for words, names in framed}))
    return parts


def placed(rows: list[list[str]]) -> dict[str, Box]:
    """The boxes of rows of cells, by name."""
    boxes = {}
    for row, cells in enumerate(rows):
        for column, cell in enumerate(cells):
            if cell in (".", "="):
                continue
            kind = SIGNS.get(cell[0], "learned")
            name = cell if kind == "learned" else cell[1:-1]
            if name in boxes:
                raise ValueError(f"two boxes are called {name!r}: tell them apart by an apostrophe")
            span = 1 + len(list(itertools.takewhile(lambda cell: cell == "=", cells[column + 1 :])))
            text = wrapped(name.rstrip("'")) if span == 1 else name
            x, y = COLUMN * (column + span / 2), -ROW * (row + 0.5)
            half, high = WIDTH[kind] / 2 + COLUMN * (span - 1) / 2, HEIGHT[kind] / 2
            below = 0.06 + 0.17 * len(text.splitlines()) if kind in ("chance", "picture") else 0
            boxes[name] = Box(kind, text, x, y, x - half, x + half, y - high - below, y + high)
    return boxes


def wrapped(text: str) -> str:
    """Text in as few lines as fit, all of them about as long."""
    fewest = len(textwrap.wrap(text, LETTERS, break_on_hyphens=False))
    lines = (textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False) for width in range(1, 99))
    return "\n".join(next(found for found in lines if len(found) <= fewest))


def way(start: str, end: str, boxes: Mapping[str, Box]) -> Points:
    """The simplest of: straight, round a corner, round two, below all that is between; or back into itself."""
    a, b = boxes[start], boxes[end]
    if a == b:
        return [(a.left, a.y - 0.14), (a.left - 0.2, a.y - 0.14), (a.left - 0.2, a.y + 0.14), (a.left, a.y + 0.14)]
    x = a.x if a.right - a.left <= b.right - b.left else b.x
    leave, arrive = (a.right, b.left) if b.x > a.x else (a.left, b.right)
    sink, land = (a.bottom, b.top) if b.y < a.y else (a.top, b.bottom)
    gap, beside = b.left - 0.2, b.y + (0.16 if a.y > b.y else -0.16)
    between = [box for box in boxes.values() if min(a.x, b.x) - 0.1 < box.x < max(a.x, b.x) + 0.1]
    under = min(box.bottom for box in between) - 0.22
    ways = [
        [(leave, a.y), (arrive, a.y)] if a.y == b.y else [],
        [(x, sink), (x, land)] if max(a.left, b.left) < x < min(a.right, b.right) else [],
        [(leave, a.y), (b.x, a.y), (b.x, land)],
        [(a.x, sink), (a.x, b.y), (arrive, b.y)],
        [(leave, a.y), (gap, a.y), (gap, beside), (arrive, beside)] if gap > a.right else [],
        [(a.x, a.bottom), (a.x, under), (b.x, under), (b.x, b.bottom)],
    ]
    others = [box for name, box in boxes.items() if name not in (start, end)]
    free = (points for points in ways if points and not any(crossed(points, box) for box in others))
    if (found := next(free, None)) is None:
        raise ValueError(f"no way from {start!r} to {end!r}: every one crosses a box")
    return found


def crossed(points: Points, box: Box, gap: float = 0.05) -> bool:
    """Whether a way along rows and columns comes near a box."""
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        beside = max(x0, x1) < box.left - gap or min(x0, x1) > box.right + gap
        if not (beside or max(y0, y1) < box.bottom - gap or min(y0, y1) > box.top + gap):
            return True
    return False


def words(part: Part) -> str:
    """What a part shows: for each box what goes into it."""
    into = {}
    for arrow in part.arrows:
        start = "itself" if arrow.start == arrow.end else arrow.start.rstrip("'")
        besides = {"": "", "|": " (no gradient comes back)"}.get(arrow.text, f" ({arrow.text})")
        into.setdefault(arrow.end, []).append(start + besides)
    alone = part.boxes.keys() - into.keys() - {arrow.start for arrow in part.arrows}
    said = [
        f"{' and '.join(what)} {'go' if what[1:] else 'goes'} into {end.rstrip(chr(39))}" for end, what in into.items()
    ]
    said += [*sorted(alone), *(f"{text}: {' and '.join(inside)}" for text, inside in part.frames.items())]
    return f"{part.heading}: {'; '.join(said)}."


def drawn(parts: Sequence[Part], colours: Mapping[str, str], pictures: Mapping[str, Tensor]) -> MatplotlibFigure:
    """The parts of a diagram below each other.

    Args:
        parts: from the top.
        colours: of boxes by name; ``""`` for all other learned ones.
        pictures: ``(3, s, s)`` in [0, 1], by name.
    """
    scale = plt.rcParams["font.size"] / 11  # larger letters come with larger boxes, and nothing overlaps
    edges = []
    for part in parts:
        ways = [y for arrow in part.arrows for _, y in arrow.points]
        top, low = max(box.top for box in part.boxes.values()), min(box.bottom for box in part.boxes.values())
        edges.append((max(top, *ways) + 0.42, min(low, *ways) - 0.2))
    wide, high = max(box.right for part in parts for box in part.boxes.values()) + 0.16, sum(t - b for t, b in edges)
    figure, above = plt.figure(figsize=(scale * wide, scale * high), layout="none"), high
    for part, (top, low) in zip(parts, edges, strict=True):
        above -= top - low
        axes = figure.add_axes((0, above / high, 1, (top - low) / high))
        _frames(axes, part, colours[""], scale)
        for arrow in part.arrows:
            _arrow(axes, arrow, scale)
        for name, box in part.boxes.items():
            colour = colours.get(name, colours[""] if box.kind == "learned" else "")
            _box(axes, name, box, colour, pictures.get(name), scale)
        _text(axes, 0.16, top - 0.1, part.heading, 10.5 * scale, ha="left", va="top", weight="bold")
        axes.set(xlim=(0, wide), ylim=(low, top), aspect="auto")
        axes.axis("off")
    return figure


def _frames(axes: Axes, part: Part, colour: str, scale: float) -> None:
    for text, names in part.frames.items():
        inside = [part.boxes[name] for name in names]
        left, right = min(box.left for box in inside) - 0.12, max(box.right for box in inside) + 0.12
        bottom, top = min(box.bottom for box in inside) - 0.12, max(box.top for box in inside) + 0.12
        shape = FancyBboxPatch((left, bottom), right - left, top - bottom, "round,pad=0,rounding_size=0.14")
        axes.add_patch(shape).set(fc=_thinned(colour, 0.08), ec=_thinned(colour, 0.5), lw=scale)
        _text(axes, (left + right) / 2, top + 0.05, text, 9 * scale, va="bottom")


def _arrow(axes: Axes, arrow: Arrow, scale: float) -> None:
    shape = FancyArrowPatch(path=_rounded(arrow.points), arrowstyle="-|>", mutation_scale=11 * scale)
    axes.add_patch(shape).set(color=LINE, linewidth=1.4 * scale, joinstyle="miter", capstyle="butt")
    lines = itertools.pairwise(arrow.points)
    (x0, y0), (x1, y1) = max(lines, key=lambda line: abs(line[1][0] - line[0][0]) + abs(line[1][1] - line[0][1]))
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    if arrow.text == "|":
        bar = ([x - 0.04] * 2, [y - 0.13, y + 0.13]) if y0 == y1 else ([x - 0.13, x + 0.13], [y + 0.04] * 2)
        axes.plot(*bar, color=INK, linewidth=3.5 * scale, solid_capstyle="butt")
    elif y0 == y1:
        _text(axes, x, y + 0.04, arrow.text, 9 * scale, va="bottom")
    else:
        _text(axes, x + 0.07, y, arrow.text, 9 * scale, ha="left")


def _box(axes: Axes, name: str, box: Box, colour: str, picture: Tensor | None, scale: float) -> None:
    half = HEIGHT[box.kind] / 2
    bottom, wide = box.y - half, box.right - box.left
    corner = {"value": half, "chance": 0.08, "picture": 0}.get(box.kind, 0.1)
    shape = FancyBboxPatch((box.left, bottom), wide, 2 * half, f"round,pad=0,rounding_size={corner}", zorder=2)
    axes.add_patch(shape).set(
        facecolor="none" if box.kind == "picture" else _thinned(colour, 0.25) if colour else "white",
        edgecolor=colour or {"value": PALE, "picture": PALE, "chance": INK}.get(box.kind, LINE),
        linestyle=(0, (3.5, 2)) if box.kind == "computed" else "-",
        linewidth={"learned": 2, "value": 1, "picture": 1}.get(box.kind, 1.5) * scale,
    )
    if box.kind in ("chance", "picture"):
        _text(axes, box.x, bottom - 0.05, box.text, 9 * scale, va="top", gid=name)
    else:
        _text(axes, box.x, box.y, box.text, 9.5 * scale, gid=name)
    if box.kind == "picture":
        extent = (box.left, box.right, bottom, bottom + 2 * half)
        axes.imshow(picture.clamp(0, 1).movedim(0, -1).numpy(), extent=extent, interpolation="nearest", zorder=1)
    if box.kind == "chance":
        for across, up in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
            axes.add_patch(Circle((box.x + 0.1 * across, box.y + 0.1 * up), 0.036, color=INK, zorder=3))


def _text(axes: Axes, x: float, y: float, text: str, size: float, ha: str = "center", va: str = "center", **more):
    axes.text(x, y, text, fontsize=size, ha=ha, va=va, color=INK, linespacing=1.2, zorder=4, **more)


def _thinned(colour: str, share: float) -> tuple[float, ...]:
    """A colour mixed with white."""
    return tuple(1 - share * (1 - part) for part in to_rgb(colour))


def _rounded(points: Points, radius: float = 0.09) -> Path:
    """A way along these points, with its corners rounded off."""
    corners = torch.tensor(points, dtype=torch.float64)
    vertices, codes = [corners[0]], [Path.MOVETO]
    for before, corner, after in zip(corners[:-2], corners[1:-1], corners[2:], strict=True):
        sides = [(end - corner) / (end - corner).norm() for end in (before, after)]
        vertices += [corner + radius * sides[0], corner, corner + radius * sides[1]]
        codes += [Path.LINETO, Path.CURVE3, Path.CURVE3]
    return Path(torch.stack([*vertices, corners[-1]]).numpy(), [*codes, Path.LINETO])
