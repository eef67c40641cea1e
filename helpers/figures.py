"""Every figure of the course: one style, crisp pixels, and words for those who cannot see it."""

import base64
import html
import io
import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_pil_image
from torchvision.utils import make_grid

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
FADED = 0.9  # how far an answer that no longer fits has faded into the paper
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

    It stands in a box that folds away, since not everyone can read beside something that moves. Where animation is not
    supported, the last frame is shown.

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
        inside = super().html(compress_level)
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


def show(pictures: Tensor, alt: str, columns: int = 8, pixels: int = 96, caption: str = "") -> Figure:
    """A plain grid of pictures ``(n, 3, s, s)`` in [0, 1], each enlarged to about ``pixels``, its pixels kept crisp.

    Args:
        pictures: floats; values outside [0, 1] are clipped for display.
        alt: what there is to see.
        columns: pictures in a row.
        pixels: the width of one picture on the screen; half as much again after ``classroom``.
        caption: shown below, if given.
    """
    columns = min(columns, len(pictures))
    zoom = max(1, int(min(pixels, WIDEST // columns) * plt.rcParams["figure.dpi"] / DPI) // pictures.shape[-1])
    enlarged = pictures.detach().cpu().float().clamp(0, 1).repeat_interleave(zoom, 2).repeat_interleave(zoom, 3)
    return Figure(to_pil_image(make_grid(enlarged, nrow=columns, padding=3, pad_value=1)), alt, caption)


def labelled(pictures: Tensor, labels: Sequence[str], alt: str, columns: int = 6) -> Figure:
    """Pictures ``(n, 3, s, s)`` in [0, 1] with a line of text above each."""
    rows = -(-len(pictures) // columns)
    columns = min(columns, len(pictures))
    figure, axes = plt.subplots(rows, columns, figsize=(9, 9 / columns * rows * 1.15), squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, picture, label in zip(axes.flat, pictures, labels, strict=False):
        axis.imshow(picture.detach().cpu().clamp(0, 1).movedim(0, -1).numpy(), interpolation="nearest")
        axis.set_title(label, fontsize=10)
    return plot(figure, alt)


def plot(figure: MatplotlibFigure, alt: str) -> Figure:
    """A matplotlib figure with words. Closes it, so that it is not shown twice."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    plt.close(figure)
    return Figure(Image.open(buffer), alt)


def answer_wall(language: Language, drawings: Tensor, caption: str) -> Image.Image:
    """The wall of all answers, with those that do not fit the caption faded.

    A place on the wall belongs to one combination of attributes: a row for each value of the first two attributes
    together, a column for each value of the others.

    Args:
        language: of the world that is shown.
        drawings: ``(m, 3, s, s)`` in [0, 1], one for each answer to the caption that names nothing.
        caption: any caption of the language.
    """
    everything = language.answers(language.captions[0])
    fits = language.fits(everything, [caption] * len(everything))
    counts = [len(values) for values in language.attributes.values()]
    faded = drawings + (1 - drawings) * FADED * (~fits).float().view(-1, 1, 1, 1)
    return to_pil_image(make_grid(faded, nrow=len(everything) // (counts[0] * counts[1]), padding=2, pad_value=1))


def stack(images: Sequence[Image.Image], alt: str, caption: str = "") -> Figure:
    """Images below each other, for readers without a kernel: what a widget would show, one step after another."""
    gap = 10
    canvas = Image.new("RGB", (max(i.width for i in images), sum(i.height + gap for i in images) - gap), color="white")
    top = 0
    for image in images:
        canvas.paste(image, (0, top))
        top += image.height + gap
    return Figure(canvas, alt, caption)


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


def colour_bars(probabilities: Tensor, palette: Tensor, titles: Sequence[str], alt: str) -> Figure:
    """How likely each colour is: a row of bars for each distribution, every bar in the colour that it stands for.

    Args:
        probabilities: ``(rows, k)``, each row with the sum 1.
        palette: ``(k, 3)`` colours in [0, 1].
        titles: one a row; the entropy is written beside it.
        alt: what there is to see.
    """
    figure, axes = plt.subplots(len(titles), 1, figsize=(9, 1.5 * len(titles) + 0.3), sharex=True, squeeze=False)
    for axis, row, title in zip(axes.flat, probabilities, titles, strict=True):
        bits = torch.special.entr(row).sum().item() / math.log(2)
        axis.bar(range(len(palette)), row.numpy(), width=1, color=palette.numpy(), edgecolor="#888888", linewidth=0.4)
        axis.set_title(f"{title}: {bits:.2f} bits", loc="left", fontsize=plt.rcParams["font.size"] - 1)
        axis.set_ylim(0, max(0.25, 1.05 * row.max().item()))
        axis.set_ylabel("probability", fontsize=plt.rcParams["font.size"] - 2)
    axes.flat[-1].set_xlabel("colours of the palette, from dark to light")
    return plot(figure, alt)


def sharpness(pictures: Tensor) -> float:
    """Mean absolute difference of neighbouring pixels, in [0, 1]; a blur has little of it."""
    across = (pictures[..., 1:] - pictures[..., :-1]).abs().mean()
    down = (pictures[..., 1:, :] - pictures[..., :-1, :]).abs().mean()
    return torch.stack([across, down]).mean().item()
