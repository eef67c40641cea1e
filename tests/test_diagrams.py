"""Diagrams: every sign in its place, nothing on top of anything else, and words for those who cannot see them."""

import itertools
import json
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg

from helpers import boxes, comparison, diagrams, figures
from tests.test_notebooks import ROOT

WRITTEN = diagrams.DIAGRAMS | {"legend": diagrams.LEGEND}
TOLERANCE = 1e-6


@pytest.fixture(params=["usual", "classroom"])
def style(request):
    with plt.rc_context():
        if request.param == "classroom":
            figures.classroom()
        yield request.param


@pytest.fixture
def painted(monkeypatch):
    """Gives the matplotlib figure of a diagram."""
    kept, drawn = [], diagrams.drawn
    monkeypatch.setattr(diagrams, "drawn", lambda *given: kept.append(drawn(*given)) or kept[-1])

    def paint(name):
        diagrams.draw("vae" if name == "legend" else name, legend=name == "legend")
        return kept[-1]

    return paint


def on_the_edge(point, box):
    (x, y) = point
    beside = min(abs(x - box.left), abs(x - box.right)) < TOLERANCE and box.bottom - TOLERANCE < y < box.top + TOLERANCE
    above = min(abs(y - box.bottom), abs(y - box.top)) < TOLERANCE and box.left - TOLERANCE < x < box.right + TOLERANCE
    return beside or above


def written_texts(figure):
    """Each text with its place in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()  # its own canvas went when it was closed
    return [(text, text.get_window_extent(renderer)) for axes in figure.axes for text in axes.texts if text.get_text()]


@pytest.mark.parametrize("name", WRITTEN)
def test_no_text_lies_on_another_or_leaves_its_box(name, style, painted):
    figure = painted(name)
    texts = written_texts(figure)
    for (one, a), (other, b) in itertools.combinations(texts, 2):
        assert not a.overlaps(b), f"{one.get_text()!r} lies on {other.get_text()!r}"
    width, height = figure.canvas.get_width_height()
    for text, place in texts:
        within = 0 <= place.x0 < place.x1 <= width and 0 <= place.y0 < place.y1 <= height
        assert within, f"{text.get_text()!r} leaves the figure"
    written = diagrams.DIAGRAMS["vae"] + diagrams.LEGEND if name == "legend" else WRITTEN[name]
    for axes, part in zip(figure.axes, boxes.read(written), strict=True):
        labels = {text.get_gid(): place for text, place in texts if text.axes is axes and text.get_gid()}
        assert labels.keys() == part.boxes.keys()
        for label, box in part.boxes.items():
            sides = (box.left, box.right)
            if box.kind in ("chance", "picture"):  # what is below may be as wide as a column
                sides = (box.x - boxes.COLUMN / 2, box.x + boxes.COLUMN / 2)
            (left, bottom), (right, top) = axes.transData.transform(
                [(sides[0] + 0.03, box.bottom), (sides[1] - 0.03, box.top)]
            )
            place = labels[label]
            assert left < place.x0 < place.x1 < right, f"{label!r} is too wide"
            assert bottom < place.y0 < place.y1 < top, f"{label!r} is too high"


@pytest.mark.parametrize("name", WRITTEN)
def test_no_arrow_runs_through_words(name, style, painted):
    figure = painted(name)
    written = diagrams.DIAGRAMS["vae"] + diagrams.LEGEND if name == "legend" else WRITTEN[name]
    for axes, part in zip(figure.axes, boxes.read(written), strict=True):
        places = [(text, place) for text, place in written_texts(figure) if text.axes is axes]
        for arrow in part.arrows:
            for line in itertools.pairwise(axes.transData.transform(arrow.points)):
                (left, bottom), (right, top) = np.minimum(*line), np.maximum(*line)
                for text, place in places:
                    apart = right < place.x0 or left > place.x1 or top < place.y0 or bottom > place.y1
                    assert apart, f"{arrow.start} -> {arrow.end} runs through {text.get_text()!r}"


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_every_arrow_leads_from_edge_to_edge_and_crosses_no_box(written):
    for part in boxes.read(written):
        for arrow in part.arrows:
            assert on_the_edge(arrow.points[0], part.boxes[arrow.start]), arrow
            assert on_the_edge(arrow.points[-1], part.boxes[arrow.end]), arrow
            assert all(a[0] == b[0] or a[1] == b[1] for a, b in itertools.pairwise(arrow.points))
            for name, box in part.boxes.items():
                assert name in (arrow.start, arrow.end) or not boxes.crossed(arrow.points, box)


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_what_runs_along_one_line_comes_from_one_box_or_leads_to_one(written):
    """Two arrows that share a line are one arrow to the eye."""
    for part in boxes.read(written):
        for one, other in itertools.combinations(part.arrows, 2):
            if one.start == other.start or one.end == other.end:
                continue
            for (a, b), (c, d) in itertools.product(itertools.pairwise(one.points), itertools.pairwise(other.points)):
                for axis in (0, 1):
                    along = a[axis] == b[axis] == c[axis] == d[axis]
                    (low, high), (from_, to) = sorted((a[1 - axis], b[1 - axis])), sorted((c[1 - axis], d[1 - axis]))
                    assert not (along and max(low, from_) < min(high, to)), f"{one} and {other}"


@pytest.mark.parametrize("written", WRITTEN.values(), ids=WRITTEN.keys())
def test_the_words_name_every_box(written):
    for part in boxes.read(written):
        said = boxes.words(part)
        assert all(name.rstrip("'") in said for name in part.boxes)


def test_the_figure_brings_its_words_along_and_is_closed():
    figure = diagrams.draw("vae")
    assert "z and caption go into decoder; decoder goes into a picture." in figure.alt
    assert figure.image.width <= figures.WIDEST
    assert "How to read" in diagrams.draw("vae", legend=True).alt
    assert plt.get_fignums() == []


def test_words_say_what_flows_where_gradients_stop_and_what_stands_alone():
    (part,) = boxes.read("# Try\nx | f | {y'} | <z>\n\nx -3 numbers-> f -|-> y'\nf -> f\nboth: x & f")
    assert boxes.words(part) == (
        "Try: x (3 numbers) and itself go into f; f (no gradient comes back) goes into y; z; both: x and f."
    )


def test_in_the_classroom_a_diagram_is_twice_as_large():
    usual = diagrams.draw("gan").image
    with plt.rc_context():
        figures.classroom()
        large = diagrams.draw("gan").image
    assert large.width / usual.width == pytest.approx(1.5 * 14.5 / 11, rel=0.01)


def test_what_the_families_drew_stands_in_its_place():
    red, blue = torch.zeros(2, 3, 16, 16)
    red[0] = blue[2] = 1
    image = np.asarray(diagrams.side_by_side(vae=red, autoregressive=blue).image.convert("RGB")).astype(int)
    columns = [
        np.nonzero((abs(image - colour) < 9).all(2))[1].mean() / image.shape[1] for colour in ([255, 0, 0], [0, 0, 255])
    ]
    assert columns == pytest.approx([0.1, 0.9], abs=0.02)


def test_each_family_has_the_colour_that_it_has_in_the_comparison():
    cells = json.loads((ROOT / "notebooks" / "09_comparison.ipynb").read_text(encoding="utf-8"))["cells"]
    line = next(line for cell in cells for line in cell["source"] if line.startswith("COLOURS ="))
    assert dict(zip(comparison.FAMILIES, re.findall(r"C\d", line), strict=True)) == diagrams.COLOURS


def test_a_box_spans_what_belongs_to_it():
    (part,) = boxes.read("# Try\n(wide) | = | =\na | b | c\n\nwide -> a\nwide -> c")
    assert part.boxes["wide"].x == part.boxes["b"].x
    assert [arrow.points[0][0] for arrow in part.arrows] == [part.boxes["a"].x, part.boxes["c"].x]


@pytest.mark.parametrize(
    ("written", "error", "complaint"),
    [
        ("# Try\na | a", ValueError, "two boxes are called 'a'"),
        ("# Try\na | b\n\na -> c", KeyError, "'c'"),
        ("# Try\na | b | c\nd | e | f\ng | h | i\n\na -> i", ValueError, "no way from 'a' to 'i'"),
    ],
)
def test_what_cannot_be_drawn_is_refused(written, error, complaint):
    with pytest.raises(error, match=complaint):
        boxes.read(written)
