"""Every figure of the course: one style, crisp pixels, and words for those who cannot see it."""

import base64
import html
import io
import itertools
import math
import re
import wave
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from helpers.captions import Language

DPI = 100
BACK_ROW = {  # letters twice as high as usual on the screen: a third by their size, half by the whole figure's
    "axes.labelsize": 14.5,
    "axes.titlesize": 15.5,
    "figure.dpi": 1.5 * DPI,
    "font.size": 14.5,
    "lines.linewidth": 2.5,
    "lines.markersize": 8,
}
plt.style.use(
    {
        "axes.prop_cycle": plt.cycler(color=plt.color_sequences["petroff10"]),  # told apart by colour-blind readers
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 12,
        "figure.dpi": DPI,
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "legend.frameon": False,
    }
)
ALMOST_WHITE = 245  # of 255
FADED = 0.9  # how far an answer that no longer fits has faded into the paper
GAP = 3  # pixels between two pictures
IN_A_ROW = 16  # pictures, at most
WIDEST = 900  # pixels


def classroom() -> None:
    """From now on draw every figure for the back row of a room: larger, with larger letters and thicker lines."""
    plt.rcParams.update(BACK_ROW)


class Figure:
    """A picture with a text that says what it shows; JupyterLab, a web page and a screen reader all get both.

    Args:
        image: what to show.
        alt: what there is to see, in a sentence.
        caption: shown below, if given.
    """

    def __init__(self, image: Image.Image, alt: str, caption: str = ""):
        if not alt.strip():
            raise ValueError("a figure needs an alt text: say in a sentence what there is to see")
        self.image, self.alt, self.caption = image, alt, caption

    def html(self, compress_level: int = 9) -> str:
        """The picture, its words and nothing from elsewhere, as a piece of a web page.

        Args:
            compress_level: of the PNG, from 1, which is made quickly, to 9, which is small.
        """
        data = base64.b64encode(self._png(compress_level)).decode()
        below = f"<figcaption>{html.escape(self.caption)}</figcaption>" if self.caption else ""
        return (
            f'<figure style="margin: 0"><img alt="{html.escape(self.alt)}" style="max-width: 100%" '
            f'src="data:image/png;base64,{data}">{below}</figure>'
        )

    def _png(self, compress_level: int) -> bytes:
        buffer = io.BytesIO()
        self.image.save(buffer, format="PNG", compress_level=compress_level)
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.alt}


class Animation(Figure):
    """Frames that follow each other without end, as an animated PNG: it plays in a web page, and needs no kernel.

    It stands in a box that folds away, since not everyone can read beside something that moves. Where the system is
    set to less motion, or animation is not supported, the last frame is shown.

    Args:
        frames: images of one size.
        alt: what there is to see.
        seconds: how long one round takes, the last frame held for a second more.
        caption: shown below, if given.
    """

    def __init__(self, frames: Sequence[Image.Image], alt: str, seconds: float = 4, caption: str = ""):
        super().__init__(frames[-1], alt, caption)
        self.frames, self.seconds = list(frames), seconds

    def html(self, compress_level: int = 9) -> str:
        """The animation, its words and nothing from elsewhere, in a box that can be folded away."""
        still = base64.b64encode(super()._png(compress_level)).decode()
        source = f'<source media="(prefers-reduced-motion: reduce), print" srcset="data:image/png;base64,{still}">'
        moving = super().html(compress_level).replace("<img", f"<picture>{source}<img", 1)
        inside = re.sub("(<img[^>]*>)", r"\1</picture>", moving, count=1)
        return f"<details open><summary>Animation (fold it away to stop it)</summary>{inside}</details>"

    def _png(self, compress_level: int) -> bytes:
        each = 1000 * self.seconds / len(self.frames)
        buffer = io.BytesIO()
        self.image.save(
            buffer,
            format="PNG",
            save_all=True,
            default_image=True,
            append_images=self.frames,
            duration=[each] * (len(self.frames) - 1) + [each + 1000],
            loop=0,
        )
        return buffer.getvalue()


class Sounds:
    """Short sounds, each with its label and a player; they are played without a kernel, by any browser.

    Args:
        clips: by label, waveforms ``(n,)`` in [-1, 1]; values outside are clipped.
        rate: numbers in a second.
        alt: what there is to hear.
    """

    def __init__(self, clips: Mapping[str, Tensor], rate: int, alt: str):
        if not alt.strip():
            raise ValueError("sounds need an alt text: say in a sentence what there is to hear")
        self.clips, self.rate, self.alt = dict(clips), rate, alt

    def html(self) -> str:
        """The players below each other, with nothing from elsewhere, as a piece of a web page."""
        shown = "".join(
            f'<figure style="margin: 0.4em 0"><figcaption>{label}</figcaption><audio controls preload="none" '
            f'title="{label}" aria-label="{label}" src="data:audio/wav;base64,{base64.b64encode(sound).decode()}">'
            f"This browser plays no sounds.</audio></figure>"
            for label, sound in zip(map(html.escape, self.clips), map(self._wav, self.clips.values()), strict=True)
        )
        return f"<p>{html.escape(self.alt)}</p>{shown}"

    def _wav(self, clip: Tensor) -> bytes:
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(1)  # a byte for each number, from 0 to 255: small, and as clear as a telephone
            file.setframerate(self.rate)
            file.writeframes((127.5 + 127.5 * clip.clamp(-1, 1)).round().to(torch.uint8).numpy().tobytes())
        return buffer.getvalue()

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": _told(self.alt, sounds=self.clips)}


def show(
    pictures: Tensor | Mapping[str, Tensor],
    alt: str,
    columns: Sequence[str] = (),
    pixels: int = 96,
    caption: str = "",
) -> Figure:
    """Pictures in a row, or in several rows, each with its label: what a row or a column means stands in the figure.

    Labels are wrapped where they are long, and are told in the alt text too.

    Args:
        pictures: one row ``(n, 3, s, s)``; or several, by their labels, all of one shape. Floats in [0, 1]; values
            outside are clipped for display.
        alt: what there is to see. The labels need no mention.
        columns: a label above each column, or above each group of columns if there are fewer.
        pixels: about how wide one picture is on the screen, if there is room; half as much again after ``classroom``.
            Its own pixels are enlarged by a whole number, and kept crisp.
        caption: shown below, if given.

    Raises:
        ValueError: a row without label, rows that differ in length, labels that do not go into the columns, or a row
            of more than ``IN_A_ROW`` pictures.
    """
    rows = dict(pictures) if isinstance(pictures, Mapping) else {"": pictures}
    shapes = [(*row.shape,) for row in rows.values()]
    if len(set(shapes)) != 1:
        raise ValueError(f"all rows must have the same shape (n, 3, s, s); these have {shapes}")
    if isinstance(pictures, Mapping) and not all(name.strip() for name in rows):
        raise ValueError("every row needs a label that says what it is")
    n = shapes[0][0]
    if n > IN_A_ROW:
        raise ValueError(
            f"{n} pictures do not fit in a row. Are they of several kinds? Give {{label: pictures}}, a row for each. "
            "Are they of one kind, such as many answers to one caption? Use figures.crowd"
        )
    return Figure(_grid([*rows.values()], [*rows], columns, pixels), _told(alt, rows=rows, columns=columns), caption)


def crowd(pictures: Tensor, alt: str, columns: int = 8, pixels: int = 96, caption: str = "") -> Figure:
    """Pictures of one kind, such as many answers to one caption, in as many rows as they need. No place has a meaning.

    Args:
        pictures: ``(n, 3, s, s)`` in [0, 1].
        alt: what there is to see.
        columns: pictures in a row.
        pixels: as in ``show``.
        caption: shown below, if given.
    """
    rows = pictures.split(min(columns, len(pictures)))
    return Figure(_grid(rows, [""] * len(rows), (), pixels), alt, caption)


def _grid(rows: Sequence[Tensor], names: Sequence[str], columns: Sequence[str], pixels: int) -> Image.Image:
    """Rows of pictures beside their names; drawn by Pillow, since a widget has no time for matplotlib."""
    scale, font = plt.rcParams["figure.dpi"] / DPI, _font()
    room, half = int(WIDEST * scale), font.size // 2
    n, _, _, s = rows[0].shape
    if columns and n % len(columns):
        raise ValueError(f"{len(columns)} labels do not go into {n} columns")
    group = n // len(columns) if columns else n
    apart = 4 * GAP if 1 < group < n else 0  # between groups

    def beside(line: float) -> tuple[int, list[str], int, int]:
        """The side of a picture if names are wrapped at ``line``; these, their room, and the room of a column."""
        wrapped = [_wrapped(name, font, line) for name in names]
        left = max(_extent(name, font)[0] for name in wrapped)
        left += GAP + half if left else 0
        most = (room - left - GAP - apart * (n // group - 1)) // n - GAP
        return max(1, int(min(pixels * scale, most)) // s) * s, wrapped, left, most

    # Names are wrapped so that pictures become as large as there is room, and then columns as wide as the words above.
    longest, wanted = min(room / 5, _longest(names, font)), math.ceil((_longest(columns, font) + half) / group)
    tried = [beside(max(longest, room / parts)) for parts in range(5, 12)]
    side, names, left, most = max(tried, key=lambda layout: (layout[0], min(layout[3], wanted)))
    width = max(side, min(most, wanted))
    x = [left + GAP + k * (width + GAP) + k // group * apart for k in range(n)]
    over = group * width + (group - 1) * GAP
    labels = [_wrapped(label, font, over - half) for label in columns]
    top = max((_extent(label, font)[1] for label in labels), default=0)
    heights = [max(side, _extent(name, font)[1]) for name in names]

    canvas = Image.new("RGB", (x[-1] + width + GAP, top + sum(heights) + GAP * (len(rows) + 1)), "white")
    draw = ImageDraw.Draw(canvas)
    for label, start in zip(labels, x[::group], strict=bool(labels)):
        draw.text((start + over / 2, top), label, "black", font, anchor="md", align="center")
    floats = np.concatenate([row.detach().cpu().float().numpy() for row in rows])  # torch's threads would wait longer
    crisp = np.rint(255 * floats.clip(0, 1)).astype(np.uint8).transpose(0, 2, 3, 1).copy()
    enlarged = (Image.fromarray(picture).resize((side, side), Image.Resampling.NEAREST) for picture in crisp)
    y = top + GAP
    for name, row, height in zip(names, rows, heights, strict=True):
        draw.text((left - half, y + height / 2), name, "black", font, anchor="rm", align="right")
        for place, image in zip(x[: len(row)], enlarged, strict=False):
            canvas.paste(image, (place + (width - side) // 2, y + (height - side) // 2))
        y += height + GAP
    return canvas


def _font() -> ImageFont.FreeTypeFont:
    """The letters of the plots, as large as there."""
    return _letters(round(plt.rcParams["font.size"] * plt.rcParams["figure.dpi"] / 72))


@lru_cache
def _letters(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont("DejaVu Sans"), size)


def _longest(texts: Iterable[str], font: ImageFont.FreeTypeFont) -> float:
    """The width of the longest word."""
    return max((font.getlength(word) for text in texts for word in text.split()), default=0)


@lru_cache(1000)  # a slider asks for the same words again and again
def _wrapped(text: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    """The text in lines of at most ``width`` pixels; a word that is longer is broken."""
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".lstrip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and font.getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines).lstrip("\n")


@lru_cache(1000)
def _extent(text: str, font: ImageFont.FreeTypeFont) -> tuple[int, int]:
    """Width and height of lines of text, with the room that ``draw.text`` takes for them; of no text, 0 and 0."""
    if not text.strip():
        return 0, 0
    _, _, right, bottom = ImageDraw.Draw(Image.new("L", (1, 1))).textbbox((0, 0), text, font, anchor="la")
    return math.ceil(right), math.ceil(bottom) + font.size // 4


def _told(alt: str, **labels: Iterable[str]) -> str:
    """The alt text, and after it the labels of each kind that has any."""
    sentences = [alt] + [f"{kind.capitalize()}: {'; '.join(names)}" for kind, names in labels.items() if any(names)]
    if len(sentences) == 1 or not alt.strip():
        return alt
    return ". ".join(sentence.strip().rstrip(".") for sentence in sentences)


def plot(figure: MatplotlibFigure, alt: str, colours: int | None = None) -> Figure:
    """A matplotlib figure with words. Closes it, so that it is not shown twice.

    Args:
        figure: what to show.
        alt: what there is to see.
        colours: how many there may be, at most 256. With 256, a figure full of pictures has a third of the bytes.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    image = Image.open(buffer).convert("RGB")  # without transparency it is a seventh smaller
    return Figure(image.quantize(colours, dither=Image.Dither.NONE) if colours else image, alt)


def film(
    frames: Iterable[MatplotlibFigure], alt: str, seconds: float = 4, caption: str = "", colours: int = 32
) -> Animation:
    """Matplotlib figures that follow each other. Give a generator, so that one after the other is drawn and closed.

    Args:
        frames: figures of one size, whose axes have fixed limits: what does not move must not jump.
        alt: what moves, from where to where.
        seconds: of one round.
        caption: shown below, if given.
        colours: as in ``thrifty``; pictures need more of them than plots.
    """
    return Animation(thrifty([plot(frame, alt).image for frame in frames], colours), alt, seconds, caption)


def thrifty(frames: Sequence[Image.Image], colours: int = 32) -> list[Image.Image]:
    """The frames of an animation with few colours, the same in all: about a third of the size.

    Args:
        frames: of one size. The colours are those of the first and the last.
        colours: how many, at most 256.
    """
    ends = Image.new("RGB", (frames[0].width, 2 * frames[0].height))
    for place, frame in enumerate((frames[0], frames[-1])):
        ends.paste(frame, (0, place * frame.height))
    found = np.array(ends.quantize(colours).getpalette()).reshape(-1, 3)
    found[found.min(1) > ALMOST_WHITE] = 255  # the paper stays white
    palette = Image.new("P", (1, 1))
    palette.putpalette(found.flatten().tolist())
    return [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]


def answer_wall(language: Language, drawings: Tensor, caption: str) -> Figure:
    """The wall of all answers, with those that do not fit the caption faded.

    A place on the wall belongs to one combination of attributes: a row for each value of the first two attributes
    together, a column for each value of the others. What no caption can name has no label.

    Args:
        language: of the world that is shown.
        drawings: ``(m, 3, s, s)`` in [0, 1], one for each answer to the caption that names nothing.
        caption: any caption of the language.
    """
    everything = language.answers(language.captions[0])
    fits = language.fits(everything, [caption] * len(everything))
    faded = drawings.lerp(torch.ones(1), FADED * (~fits).float().view(-1, 1, 1, 1))  # towards white
    values = list(language.nameable.values())
    rows, columns = ([*map(", ".join, itertools.product(*some))] for some in (values[:2], values[2:]))
    wall = _grid(faded.chunk(len(rows)), rows, columns, drawings.shape[-1])
    bits = language.entropy(caption)
    left = f"“{caption}”: {fits.sum()} of {len(fits)} answers are right, {bits:.2f} bits are left open"
    return Figure(wall, _told(f"The wall of all answers. {left}", rows=rows, columns=columns), left)


def stack(parts: Mapping[str, Figure], alt: str, caption: str = "") -> Figure:
    """Figures below each other, each under its label: what a widget would show, one step after another.

    Args:
        parts: the figures, by their labels.
        alt: what there is to see.
        caption: shown below, if given.
    """
    font = _font()
    width = max(part.image.width for part in parts.values())
    labels = {_wrapped(label, font, width): part.image for label, part in parts.items()}
    heights = [_extent(label, font)[1] + image.height + font.size for label, image in labels.items()]
    canvas = Image.new("RGB", (width, sum(heights)), "white")
    draw, top = ImageDraw.Draw(canvas), 0
    for (label, image), height in zip(labels.items(), heights, strict=True):
        draw.text((GAP, top), label, "black", font)
        canvas.paste(image, (0, top + _extent(label, font)[1]))
        top += height
    return Figure(canvas, _told(alt, rows=parts), caption)


def bars(values: dict[str, float], alt: str, unit: str) -> Figure:
    """Horizontal bars, each with its figure written beside it.

    Args:
        values: label to value.
        alt: what there is to see.
        unit: what the values count.
    """
    figure, axis = plt.subplots(figsize=(8, 0.45 * len(values) + 0.9))
    drawn = axis.barh(list(values), list(values.values()))
    axis.bar_label(drawn, fmt="%.2f", padding=4)
    axis.margins(x=0.12)
    axis.invert_yaxis()
    axis.set_xlabel(unit)
    return plot(figure, alt)


def colour_bars(
    probabilities: Tensor, palette: Tensor, titles: Sequence[str], alt: str, beside: Tensor | None = None
) -> Figure:
    """How likely each colour is: a row of bars for each distribution, every bar in the colour that it stands for.

    All rows have one logarithmic axis, so that wide and narrow distributions can be compared; it ends at a thousandth.

    Args:
        probabilities: ``(rows, k)``, each row with the sum 1.
        palette: ``(k, 3)`` colours in [0, 1].
        titles: one a row; the entropy is written beside it.
        alt: what there is to see.
        beside: a picture at the left of each row, ``(rows, 3, s, s)``, if given.
    """
    size, widths = (9, 1.5 * len(titles) + 0.3), (1, 6) if beside is not None else (1,)
    layout = {"figsize": size, "sharex": "col", "sharey": "col", "squeeze": False, "width_ratios": widths}
    figure, axes = plt.subplots(len(titles), len(widths), **layout)
    for axis, picture in zip(axes[:, 0], () if beside is None else beside, strict=beside is not None):
        axis.imshow(picture.movedim(0, -1).numpy())
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set(visible=True, color="#888888")
    for axis, row, title in zip(axes[:, -1], probabilities, titles, strict=True):
        bits = torch.special.entr(row).sum().item() / math.log(2)
        axis.bar(range(len(palette)), row.numpy(), width=1, color=palette.numpy(), edgecolor="#888888", linewidth=0.4)
        axis.set_title(f"{title}: {bits:.2f} bits", loc="left", fontsize=plt.rcParams["font.size"] - 1)
        axis.set_yscale("log")
        axis.set_ylim(1e-3, 1.2)
        axis.set_yticks(ticks := [0.001, 0.01, 0.1, 1], [f"{tick:g}" for tick in ticks])
        axis.set_ylabel("probability", fontsize=plt.rcParams["font.size"] - 2)
    axes[-1, -1].set_xlabel("colours of the palette, from dark to light")
    return plot(figure, alt)


def sharpness(pictures: Tensor) -> float:
    """Mean absolute difference of neighbouring pixels, in [0, 1]; a blur has little of it."""
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    return torch.stack([across, down]).mean().item()
