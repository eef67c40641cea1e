"""What is shown: words for every figure, crisp pixels, and a widget that answers."""

import base64
import io
import re

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image

from helpers import dogs, figures
from helpers.widgets import ANY, CaptionBuilder, Explorer


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def test_a_figure_brings_its_words_along(rng):
    figure = figures.show(torch.rand(3, 3, 8, 8, generator=rng), alt='Three "random" pictures', caption="a < b")
    bundle = figure._repr_mimebundle_()
    assert 'alt="Three &quot;random&quot; pictures"' in bundle["text/html"]
    assert "<figcaption>a &lt; b</figcaption>" in bundle["text/html"]
    assert "http" not in bundle["text/html"]
    assert bundle["text/plain"] == 'Three "random" pictures'


def test_a_figure_without_words_is_refused(rng):
    with pytest.raises(ValueError, match="alt text"):
        figures.show(torch.rand(1, 3, 8, 8, generator=rng), alt=" ")


def test_pixels_stay_crisp(rng):
    pictures = torch.randint(0, 256, (2, 3, 8, 8), generator=rng) / 255
    shown = np.asarray(figures.show(pictures, alt="noise", pixels=80).image)[3:83, 3:83]
    expected = (pictures[0].movedim(0, -1) * 255).round().byte().numpy().repeat(10, 0).repeat(10, 1)
    assert np.abs(shown.astype(int) - expected.astype(int)).max() <= 1


def test_a_plot_is_closed_so_that_it_is_not_shown_twice():
    figures.plot(plt.subplots()[0], alt="an empty plot")
    assert plt.get_fignums() == []


def test_bars_and_labels_and_stacks_are_figures(rng):
    pictures = torch.rand(3, 3, 8, 8, generator=rng)
    assert figures.bars({"a": 1.0, "b": 2.0}, alt="two bars", unit="bits").image.width > 400
    assert figures.labelled(pictures, ["x", "y", "z"], alt="three", columns=2).image.height > 400
    small = figures.show(pictures, alt="three").image
    assert figures.stack([small, small], alt="twice").image.height == 2 * small.height + 10


def test_the_wall_fades_what_does_not_fit(rng):
    everything = dogs.LANGUAGE.answers("a running dog")
    wall = torch.zeros(len(everything), 3, 8, 8)
    image = np.asarray(figures.answer_wall(dogs.LANGUAGE, wall, "a white running dog"))
    centres = image[2 + 4 :: 10, 2 + 4 :: 10, 0]
    assert centres.shape == (8, 24)
    dark_rows = (centres < 10).all(axis=1)
    assert dark_rows.tolist() == [False, True, False, False, False, True, False, False]
    assert (centres[~dark_rows] > 200).all()


def test_sharpness_of_stripes_and_of_a_plain_wall():
    stripes = torch.zeros(1, 3, 8, 8)
    stripes[..., ::2] = 1
    assert figures.sharpness(stripes) == pytest.approx(0.5)
    assert figures.sharpness(torch.full((1, 3, 8, 8), 0.3)) == 0


def test_the_caption_builder_answers_every_choice(rng):
    builder = CaptionBuilder(dogs, rng, size=8)
    assert "192 of 192 answers" in builder.sentence.value
    before = builder.image.value
    builder.choices["coat"].value = "white"
    assert builder.caption == "a white running dog"
    assert "48 of 192 answers are right, 5.58 bits" in builder.sentence.value
    assert builder.image.value != before
    assert 'alt="The wall of all answers.' in builder.image.value
    builder.choices["coat"].value = ANY
    assert builder.image.value == before


def test_an_animation_moves_without_a_kernel_and_can_be_folded_away():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    animation = figures.Animation(frames, alt="red, green, blue", seconds=3)
    page = animation.html()
    assert page.startswith("<details open><summary>")
    assert 'alt="red, green, blue"' in page
    png = Image.open(io.BytesIO(base64.b64decode(re.search('base64,([^"]+)', page)[1])))
    assert png.default_image
    assert png.n_frames == 4  # the still picture for those who see no animation, then three frames
    shown = []
    for frame in range(4):
        png.seek(frame)
        shown.append((png.convert("RGB").getpixel((4, 4)), png.info.get("duration")))
    assert [color for color, _ in shown] == [(0, 0, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert [duration for _, duration in shown[1:]] == [1000, 1000, 2000]


def test_colour_bars_tell_the_entropy():
    chances = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]])
    figure = figures.colour_bars(chances, torch.rand(4, 3), ["even", "sure"], alt="two rows")
    assert figure.image.width > 600
    titles = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "plot", lambda drawn, alt: titles.extend(a.get_title(loc="left") for a in drawn.axes))
        figures.colour_bars(chances, torch.rand(4, 3), ["even", "sure"], alt="two rows")
    assert titles == ["even: 2.00 bits", "sure: 0.00 bits"]


def test_an_explorer_draws_what_its_sliders_say():
    asked = []

    def draw(row, column):
        asked.append((row, column))
        return figures.Figure(Image.new("RGB", (4, 4)), f"row {row}, column {column}")

    explorer = Explorer(draw, row=[0, 1], column=["a", "b"])
    assert 'alt="row 0, column a"' in explorer.image.value
    explorer.choices["column"].value = "b"
    assert asked == [(0, "a"), (0, "b")]
    assert 'role="status"' in explorer.image.value
    assert 'alt="row 0, column b"' in explorer.image.value


def test_a_widget_leads_from_its_view_to_each_of_its_figures(rng):
    builder = CaptionBuilder(dogs, rng, size=8)
    assert builder.view.live is builder
    figure = builder.figure(**{name: ANY for name in builder.choices} | {"coat": "white"})
    assert "48 of 192 answers are right" in figure.caption
    builder.choices["coat"].value = "white"
    assert figure.caption in builder.sentence.value
    explorer = Explorer(lambda a: figures.Figure(Image.new("RGB", (4, 4)), f"a is {a}"), a=[1, 2])
    assert explorer.view.live is explorer
    assert explorer.figure(a=2).alt == "a is 2"


def test_in_a_classroom_everything_is_larger(rng):
    def letters():
        """The width in pixels of the title of a plot, a dozen letters: the height of one is rounded too coarsely."""
        figure, axis = plt.subplots(figsize=(6, 2))
        axis.axis("off")
        axis.set_title(12 * "H")
        dark = np.asarray(figures.plot(figure, alt="a title").image.convert("L")) < 128
        return np.ptp(dark.any(axis=0).nonzero()) + 1

    pictures = torch.rand(2, 3, 16, 16, generator=rng)
    with plt.rc_context():
        plotted, shown = letters(), figures.show(pictures, alt="noise").image.width
        figures.classroom()
        assert letters() >= 1.8 * plotted
        assert figures.show(pictures, alt="noise").image.width >= 1.4 * shown
        assert figures.bars({"a": 1.0}, alt="a bar", unit="bits").image.width == 1200
    assert figures.show(pictures, alt="noise").image.width == shown
