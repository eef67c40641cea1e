"""What is shown: words for every figure, crisp pixels, and a widget that answers."""

import base64
import io
import itertools
import math
import re
import timeit
import wave

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
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


def place(image, picture):
    """Where a picture (3, s, s) lies in an image, pixel for pixel: by how much it is enlarged, its left and its top."""
    canvas, crisp = np.asarray(image), (255 * picture).round().byte().movedim(0, -1).numpy()
    corners = np.argwhere((canvas == crisp[0, 0]).all(2))
    for zoom in range(1, min(canvas.shape[:2]) // len(crisp) + 1):
        large = crisp.repeat(zoom, 0).repeat(zoom, 1)
        for y, x in corners:
            if np.array_equal(canvas[y : y + len(large), x : x + len(large)], large):
                return zoom, int(x), int(y)
    raise AssertionError("the picture is nowhere in the image")


def is_written(image, left, top, right, bottom):
    """Whether letters stand in a part of an image, and none is cut by its edge."""
    dark = np.asarray(image.convert("L"))[top:bottom, left:right] < 128
    cut = dark[0].any() or dark[-1].any() or dark[:, 0].any() or dark[:, -1].any()
    return bool(dark.any() and not cut)


LONG = "redrawn by encoder and decoder, with all of their incomprehensibilities"


@pytest.mark.parametrize("scale", [1, 1.5], ids=["screen", "classroom"])
@pytest.mark.parametrize("names", [["real", "drawn"], ["a", LONG], [LONG, 3 * LONG]], ids=["short", "long", "longer"])
@pytest.mark.parametrize("columns", [["x", "guess"], ["one", "two", "three", LONG]], ids=["groups", "each"])
def test_a_grid_carries_its_labels_and_its_pixels(names, columns, scale, rng):
    rows = torch.randint(20, 236, (2, 4, 3, 8, 8), generator=rng) / 255
    with plt.rc_context():
        if scale > 1:
            figures.classroom()
        image = figures.show(dict(zip(names, rows, strict=True)), "noise", columns=columns).image
    assert image.width <= scale * figures.WIDEST
    places = [[place(image, picture) for picture in row] for row in rows]
    zoom, left, top = places[0][0]
    assert {z for row in places for z, _, _ in row} == {zoom}
    assert zoom == int(96 * scale) // 8
    for row in places:  # beside the middle of each row
        assert len({y for _, _, y in row}) == 1
        assert is_written(image, 0, 0, left, image.height)
        middle = row[0][2] + 4 * zoom
        assert (np.asarray(image)[middle - 16 : middle + 16, :left] < 128).any()
    wide = 4 // len(columns)
    starts = [x for _, x, _ in places[0][::wide]]
    ends = [x + 8 * zoom for _, x, _ in places[0][wide - 1 :: wide]]
    between = [(end + start) // 2 for end, start in zip(ends, starts[1:], strict=False)]
    assert all(is_written(image, a, 0, b, top) for a, b in itertools.pairwise([left - 2, *between, image.width]))


def test_labels_are_told_to_those_who_cannot_see_them(rng):
    pictures = torch.rand(4, 3, 8, 8, generator=rng)
    figure = figures.show({"real": pictures, "drawn": pictures}, "Dogs.", columns=["x", "guess"])
    assert figure.alt == "Dogs. Rows: real; drawn. Columns: x; guess"
    assert figures.show(pictures, "Dogs", columns=["x", "guess"]).alt == "Dogs. Columns: x; guess"
    assert figures.show(pictures, "Dogs").alt == figures.crowd(pictures, "Dogs").alt == "Dogs"
    twice = figures.stack({"before": figure, "after": figure}, "Twice", caption="two")
    assert (twice.alt, twice.caption) == ("Twice. Rows: before; after", "two")
    with pytest.raises(ValueError, match="alt text"):
        figures.show({"real": pictures}, alt=" ")


def test_rows_without_labels_are_refused(rng):
    many = torch.rand(20, 3, 8, 8, generator=rng)
    with pytest.raises(ValueError, match=r"20 pictures do not fit in a row.*crowd"):
        figures.show(many, alt="noise")
    with pytest.raises(ValueError, match="same shape"):
        figures.show({"real": many[:8], "drawn": many[:7]}, alt="noise")
    with pytest.raises(ValueError, match="same shape"):
        figures.show({}, alt="noise")
    with pytest.raises(ValueError, match="every row needs a label"):
        figures.show({"real": many[:8], " ": many[:8]}, alt="noise")
    with pytest.raises(ValueError, match="3 labels do not go into 8 columns"):
        figures.show({"real": many[:8]}, alt="noise", columns=["a", "b", "c"])
    crowd = figures.crowd(many, alt="noise", pixels=16)
    assert [place(crowd.image, many[k])[1:] for k in (0, 8, 19)] == [(3, 3), (3, 22), (60, 41)]


def test_a_grid_is_drawn_before_a_slider_feels_slow(rng):
    rows = {f"row {k}": torch.rand(9, 3, 16, 16, generator=rng) for k in range(6)}
    columns = [f"column {k}" for k in range(9)]
    assert min(timeit.repeat(lambda: figures.show(rows, "noise", columns=columns), number=1, repeat=5)) < 0.1


def test_a_plot_is_closed_so_that_it_is_not_shown_twice():
    figures.plot(plt.subplots()[0], alt="an empty plot")
    assert plt.get_fignums() == []


def test_bars_and_stacks_are_figures(rng):
    pictures = torch.rand(3, 3, 8, 8, generator=rng)
    assert figures.bars({"a": 1.0, "b": 2.0}, alt="two bars", unit="bits").image.width > 400
    small = figures.show(pictures, alt="three")
    twice = figures.stack({"once": small, "and again": small}, alt="twice").image
    assert is_written(twice, 0, 0, twice.width, place(twice, pictures[0])[2])
    assert twice.height > 2 * small.image.height + 20


def test_the_wall_fades_what_does_not_fit(rng):
    everything = dogs.LANGUAGE.answers("a running dog")
    wall = torch.rand(len(everything), 3, 8, 8, generator=rng)
    figure = figures.answer_wall(dogs.LANGUAGE, wall, "a white running dog")
    faded = wall.lerp(torch.ones(1), figures.FADED)
    rows = [(wall if coat == "white" else faded)[24 * k] for k, coat in enumerate(2 * dogs.LANGUAGE.nameable["coat"])]
    _, left, top = zip(*(place(figure.image, picture) for picture in rows), strict=True)
    assert len(set(left)) == 1
    assert list(top) == sorted(set(top))
    assert figure.caption == "“a white running dog”: 48 of 192 answers are right, 5.58 bits are left open"
    assert figure.alt.startswith(f"The wall of all answers. {figure.caption}. Rows: left, black; left, white;")
    assert figure.alt.endswith(
        "Columns: small, grass; small, sand; small, city; large, grass; large, sand; large, city"
    )


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
    still, png = (Image.open(io.BytesIO(base64.b64decode(data))) for data in re.findall('base64,([^"]+)', page))
    assert re.search(
        '<picture><source media="\\(prefers-reduced-motion: reduce\\), print"[^>]+><img[^>]+></picture>', page
    )
    assert (getattr(still, "n_frames", 1), still.convert("RGB").getpixel((4, 4))) == (1, (0, 0, 255))
    assert png.default_image
    assert png.n_frames == 4  # the still picture for those who see no animation, then three frames
    shown = []
    for frame in range(4):
        png.seek(frame)
        shown.append((png.convert("RGB").getpixel((4, 4)), png.info.get("duration")))
    assert [color for color, _ in shown] == [(0, 0, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert [duration for _, duration in shown[1:]] == [1000, 1000, 2000]


def test_a_film_draws_one_figure_after_the_other_and_keeps_their_colours():
    def frames():
        for height in (0.2, 0.5, 0.8):
            figure, axis = plt.subplots(figsize=(2, 2))
            axis.axhspan(0, height, color="#0b6a0b")
            axis.set(xlim=(0, 1), ylim=(0, 1))
            yield figure
            assert not plt.fignum_exists(figure.number)

    film = figures.film(frames(), alt="a green field grows from the bottom to the top")
    pixels = [frame.convert("RGB").getpixel((100, 100)) for frame in film.frames]  # the middle
    assert [sum(abs(a - b) for a, b in zip(p, (11, 106, 11), strict=True)) < 12 for p in pixels] == [False, True, True]
    assert all(frame.convert("RGB").getpixel((0, 0)) == (255, 255, 255) for frame in film.frames)
    assert len(film.html()) < 30_000


def test_a_figure_full_of_colours_may_have_fewer():
    def rainbow():
        figure, axis = plt.subplots(figsize=(2, 2))
        axis.imshow(torch.rand(40, 40, 3, generator=torch.Generator().manual_seed(0)).numpy())
        return figure

    full, fewer = figures.plot(rainbow(), "all colours"), figures.plot(rainbow(), "some colours", colours=256)
    assert full.image.mode == "RGB"
    assert len(fewer.image.convert("RGB").getcolors()) <= 256
    assert len(fewer.html()) < len(full.html())


def test_sounds_carry_their_players_and_their_words():
    tone = torch.sin(torch.arange(800) * 2 * math.pi * 440 / 8000)
    sounds = figures.Sounds({"a tone": tone, 'a "loud" one': 3 * tone}, rate=8000, alt="A tone, twice")
    shown = sounds._repr_mimebundle_()
    assert shown["text/plain"] == 'A tone, twice. Sounds: a tone; a "loud" one'
    players = BeautifulSoup(shown["text/html"], "html.parser").find_all("audio")
    assert [player["aria-label"] for player in players] == ["a tone", 'a "loud" one']
    assert all(player.has_attr("controls") and not player.has_attr("autoplay") for player in players)
    for player, true in zip(players, (tone, (3 * tone).clamp(-1, 1)), strict=True):
        kind, _, content = player["src"].partition("base64,")
        with wave.open(io.BytesIO(base64.b64decode(content))) as file:
            assert (file.getframerate(), file.getnchannels(), file.getnframes()) == (8000, 1, 800)
            heard = torch.frombuffer(bytearray(file.readframes(800)), dtype=torch.uint8) / 127.5 - 1
        assert kind == "data:audio/wav;"
        assert torch.allclose(heard, true, atol=1 / 127)
    with pytest.raises(ValueError, match="what there is to hear"):
        figures.Sounds({"a tone": tone}, 8000, " ")


def test_colour_bars_tell_the_entropy():
    chances = torch.tensor([[0.25] * 4, [1.0, 0, 0, 0]])
    figure = figures.colour_bars(chances, torch.rand(4, 3), ["even", "sure"], alt="two rows")
    assert figure.image.width > 600
    titles = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "plot", lambda drawn, alt: titles.extend(a.get_title(loc="left") for a in drawn.axes))
        figures.colour_bars(chances, torch.rand(4, 3), ["even", "sure"], alt="two rows")
    assert titles == ["even: 2.00 bits", "sure: 0.00 bits"]


def test_colour_bars_show_a_picture_at_the_left_of_each_row():
    pictures = torch.tensor([[1.0, 0, 0], [0, 0, 1.0]]).view(2, 3, 1, 1).expand(2, 3, 4, 4)
    chances, titles = torch.full((2, 4), 0.25), ["red", "blue"]
    image = figures.colour_bars(chances, torch.full((4, 3), 0.5), titles, alt="two rows", beside=pictures).image
    left = image.crop((0, 0, image.width // 5, image.height))
    assert [left.getpixel((50, part * image.height // 8)) for part in (2, 5)] == [(255, 0, 0), (0, 0, 255)]
    with pytest.raises(ValueError, match="shorter"):
        figures.colour_bars(chances, torch.full((4, 3), 0.5), titles, alt="two rows", beside=pictures[:1])


def test_a_film_of_pictures_keeps_as_many_colours_as_it_is_given():
    def frames():
        figure, axis = plt.subplots(figsize=(2, 2))
        axis.imshow(torch.rand(8, 8, 3, generator=torch.Generator().manual_seed(0)).numpy())
        yield figure

    few, many = (figures.film(frames(), "noise", colours=k).frames[0].convert("RGB").getcolors() for k in (8, 64))
    assert len(few) <= 8 < 40 < len(many)


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


def test_a_text_is_drawn_when_it_is_entered_and_what_cannot_be_drawn_is_said():
    def draw(caption, row):
        dogs.LANGUAGE.parse(caption)
        return figures.Figure(Image.new("RGB", (4, 4)), f"{caption}, row {row}")

    explorer = Explorer(draw, typed={"caption": ["a running dog", "a black running dog"]}, row=[0, 1])
    assert 'alt="a running dog, row 0"' in explorer.image.value
    text = explorer.choices["caption"]
    assert text.continuous_update is False
    assert text.options == ("a running dog", "a black running dog")
    text.value = "a purple <b> dog"
    assert 'role="status"' in explorer.image.value
    assert "does not know the word &#x27;purple&#x27;" in explorer.image.value
    assert "golden" in explorer.image.value  # the words that it knows are listed
    assert "<b>" not in explorer.image.value
    text.value = "a golden running dog"
    assert 'alt="a golden running dog, row 0"' in explorer.image.value
    explorer.choices["row"].value = 1
    assert 'alt="a golden running dog, row 1"' in explorer.image.value


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
