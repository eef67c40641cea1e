"""One U-Net for everything that turns pictures into pictures, from 16 x 16 to 64 x 64."""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.captions import Language
from helpers.layers import CaptionEmbedding, ConvResidual

WAVES = 16  # frequencies in which the amount of noise is told, up to 60 radians for each radian


class Attention(nn.Module):
    """Every point of a grid looks at every other (Vaswani et al., "Attention Is All You Need", NeurIPS 2017, eq. 1).

    Args:
        channels: of the grid; a multiple of 32, the channels of one head.
        points: of the grid, each with a learned place of its own.
    """

    def __init__(self, channels: int, points: int):
        super().__init__()
        self.heads = channels // 32
        self.norm = nn.GroupNorm(8, channels)
        self.place = nn.Parameter(0.02 * torch.randn(points, channels))
        self.ask = nn.Linear(channels, 3 * channels)
        self.answer = nn.Linear(channels, channels)
        nn.init.zeros_(self.answer.weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, channels, h, w)`` with h * w points to the same shape."""
        points = self.norm(x).flatten(2).transpose(1, 2) + self.place  # (n, points, channels)
        heads = self.ask(points).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = nn.functional.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)  # (n, points, channels)
        return x + self.answer(seen).transpose(1, 2).view_as(x)


class UNet(nn.Module):
    """From a picture and a vector to a picture: down to coarser grids and up again, with what was seen on the way down.

    Ronneberger, Fischer and Brox, "U-Net: Convolutional Networks for Biomedical Image Segmentation", MICCAI 2015; with
    attention on the coarsest grid (Ho et al. 2020, appendix B), to which the vector gives a first layout. The finest
    grid has a point for each block of pixels: at full size convolutions would cost the most and see the least.

    Args:
        condition: numbers in the vector.
        size: of the picture, in pixels; a multiple of fold * 2 ** (levels - 1).
        channels: of the picture.
        width: channels on the finest grid, a multiple of 32; on every other twice as many.
        levels: number of grids, each half as fine as the one before.
        blocks: residual blocks on each grid, on the way down and again on the way up.
        fold: side of the blocks of pixels that are one point of the finest grid.
    """

    def __init__(
        self,
        condition: int,
        size: int = 16,
        channels: int = 3,
        width: int = 64,
        levels: int = 2,
        blocks: int = 1,
        fold: int = 2,
    ):
        super().__init__()
        widths = [width] + [2 * width] * (levels - 1)
        pairs = list(itertools.pairwise(widths))
        self.begin = nn.Sequential(nn.PixelUnshuffle(fold), nn.Conv2d(fold**2 * channels, width, 3, padding=1))
        self.down, self.up = (
            nn.ModuleList(nn.ModuleList(ConvResidual(w, condition) for _ in range(blocks)) for w in widths)
            for _ in range(2)
        )
        self.coarser = nn.ModuleList(nn.Conv2d(fine, coarse, 2, stride=2) for fine, coarse in pairs)
        self.finer = nn.ModuleList(nn.ConvTranspose2d(coarse, fine, 2, stride=2) for fine, coarse in pairs)
        self.join = nn.ModuleList(nn.Conv2d(2 * fine, fine, 1) for fine, _ in pairs)
        side = size // (fold * 2 ** (levels - 1))
        self.layout = nn.Sequential(
            nn.Linear(condition, widths[-1] * side**2), nn.Unflatten(1, (widths[-1], side, side))
        )
        self.looks = nn.ModuleList(Attention(widths[-1], side**2) for _ in range(2))
        self.end = nn.Sequential(
            nn.GroupNorm(8, width),
            nn.SiLU(),
            nn.Conv2d(width, fold**2 * channels, 3, padding=1),
            nn.PixelShuffle(fold),
        )
        nn.init.zeros_(self.end[2].weight)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``(n, channels, size, size)`` and ``(n, condition)`` to ``(n, channels, size, size)``."""
        h, seen = self.begin(x), []
        for level, stage in enumerate(self.down):
            h = self.coarser[level - 1](h) if level else h
            if level == len(self.coarser):
                h = h + self.layout(condition)
            for block in stage:
                h = block(h, condition)
            seen.append(h)
        h = self.looks[0](h)
        for level in reversed(range(len(self.up))):
            if level < len(self.finer):
                h = self.join[level](torch.cat([self.finer[level](h), seen[level]], dim=1))
            for block in self.up[level]:
                h = block(h, condition)
            if level == len(self.finer):
                h = self.looks[1](h)
        return self.end(h)


def noise_waves(alpha_bar: Tensor) -> Tensor:
    """How much noise there is, ``(n,)``, in a form that a network can tell finely: ``(n, 2 * WAVES)``."""
    angle = torch.atan2((1 - alpha_bar).sqrt(), alpha_bar.sqrt())  # from 0, all picture, to pi / 2, all noise
    waves = angle[:, None] * torch.logspace(0, math.log10(60), WAVES).to(angle)
    return torch.cat([waves.sin(), waves.cos()], dim=1)


class Denoiser(nn.Module):
    """A U-Net that is told the caption, and how much noise there is.

    It hears the amount of noise and not the number of the step: so it does not mind how many steps a schedule has.

    Args:
        language: of the captions.
        size: see ``UNet``.
        caption: gives a vector ``(n, CONDITION)`` for n captions; ``CaptionEmbedding``, if None.
        channels, width, levels, blocks, fold: see ``UNet``.
    """

    CONDITION = 128

    def __init__(self, language: Language, size: int = 16, caption: nn.Module | None = None, **options: int):
        super().__init__()
        self.language = language
        self.caption = caption or CaptionEmbedding(language, self.CONDITION)
        self.noise = nn.Sequential(nn.Linear(2 * WAVES, self.CONDITION), nn.SiLU())
        self.mix = nn.Sequential(
            nn.Linear(2 * self.CONDITION, self.CONDITION),
            nn.SiLU(),
            nn.Linear(self.CONDITION, self.CONDITION),
            nn.SiLU(),
        )
        self.unet = UNet(self.CONDITION, size, **options)

    def condition(self, captions: Sequence[str], alpha_bar: Tensor) -> Tensor:
        """What the U-Net is told: ``n`` captions and alpha_bar of each, ``(n,)``, to ``(n, CONDITION)``."""
        told = self.noise(noise_waves(alpha_bar))
        return self.mix(torch.cat([self.caption(captions).to(told.device), told], dim=1))

    def forward(self, captions: Sequence[str], x: Tensor, alpha_bar: Tensor) -> Tensor:
        """``n`` captions, ``(n, channels, size, size)`` and alpha_bar of each, ``(n,)``, to the shape of x."""
        return self.unet(x, self.condition(captions, alpha_bar))
