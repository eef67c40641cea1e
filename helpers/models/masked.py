"""Pixels in rounds: some pixels of a picture are known, and a network says at once what each of the others may be.

Chang et al., "MaskGIT: Masked Generative Image Transformer", CVPR 2022, arXiv:2202.04200. Drawn in one round, pixels
are independent; in as many rounds as there are pixels, each is drawn given all before it, as the chain rule asks.
MaskGIT takes first what it is surest of. Here a coarse grid comes first, then what lies between: pixels that are drawn
in one round lie apart, and the network meets fewer patterns of known pixels (Reed et al., "Parallel Multiscale
Autoregressive Density Estimation", ICML 2017, arXiv:1703.03664).
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import palette as crayons
from helpers.captions import Language
from helpers.layers import CaptionEmbedding, ConvResidual, choose, latent
from helpers.unet import UNet


def known_after(pixels: int, rounds: int) -> list[int]:
    """How many pixels are known after each round: few at first, when each decides most, and all in the end.

    One round draws all pixels, ``pixels`` rounds one each; eight rounds for 256 pixels end with 2, 4, 8, ..., 256.
    """
    return [max(r, int(pixels ** (r / rounds) + 1e-9)) for r in range(1, rounds + 1)]


def coarse_first(size: int) -> Tensor:
    """The grid of each pixel, ``(size * size,)``: 0 for every fourth in both directions, then 1, 2, and 3 for the rest.

    Each grid is as fine as makes the pixels known twice to four times as many.
    """
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    among = [(row % 4 == 0) & (column % 4 == 0), (row % 2 == 0) & (column % 2 == 0), (row + column) % 2 == 0]
    return 3 - sum(grid.long() for grid in among).flatten()


class MaskedPixels(nn.Module):
    """P(pixel i | caption, the pixels that are known) for all hidden pixels in one go.

    Args:
        language: of the captions.
        palette: ``(k, 3)`` colours in [0, 1].
        size: of the pictures, in pixels; a multiple of 4.
        width: of the U-Net, and numbers for each pixel around it.

    Its z is two uniform numbers a pixel: the first chooses its colour, the second its turn among those of its grid.
    """

    def __init__(self, language: Language, palette: Tensor, size: int, width: int = 64):
        super().__init__()
        self.size, self.latent_shape = size, (2, size * size)
        self.register_buffer("palette", palette)
        self.register_buffer("grid", coarse_first(size), persistent=False)
        self.caption = nn.Sequential(CaptionEmbedding(language, 128), nn.Linear(128, 128), nn.SiLU())
        self.begin = nn.Conv2d(len(palette) + 1, width, 3, padding=1)  # a channel for each colour, and one for "hidden"
        self.unet = UNet(128, size, width, width)
        self.fine = ConvResidual(width, 128)
        self.end = nn.Sequential(nn.GroupNorm(8, width), nn.SiLU(), nn.Conv2d(width, len(palette), 1))

    def logits(self, captions: Sequence[str], colours: Tensor, known: Tensor) -> Tensor:
        """Of every colour at every pixel, ``(n, s * s, k)``, given the known of ``(n, s * s)`` colours."""
        k = len(self.palette)
        seen = F.one_hot(colours.where(known, k), k + 1).float()
        told, h = self.caption(captions), self.begin(seen.mT.unflatten(2, (self.size, -1)))  # (n, width, s, s)
        return self.end(self.fine(h + self.unet(h, told), told)).flatten(2).mT

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """Mean of -log P(hidden pixel | caption, known pixels), in nats a pixel; pictures are ``(n, 3, s, s)``.

        From one pixel to all are hidden, each number equally often. In an order that is uniformly random, this would be
        on average what the chain rule pays for a pixel (Hoogeboom et al., "Autoregressive Diffusion Models", ICLR 2022,
        eq. 4). Ours is random within grids from coarse to fine, so it only comes near.
        """
        colours = crayons.to_tokens(pictures, self.palette)
        place = self.turns(torch.rand(colours.shape, generator=rng)).argsort(1)  # of each pixel in the order
        known = place < torch.randint(self.size**2, (len(place), 1), generator=rng).to(place)
        surprise = F.cross_entropy(self.logits(captions, colours, known).mT, colours, reduction="none")
        return ((surprise * ~known).sum(1) / (~known).sum(1)).mean()

    def turns(self, u: Tensor) -> Tensor:
        """The pixels in the order in which they are drawn, by uniform numbers: ``(n, s * s)`` to the same shape."""
        return (self.grid + u.to(self.grid.device)).argsort(1)

    @torch.no_grad()
    def drawing(self, captions: Sequence[str], z: Tensor, rounds: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Colours and which of them are known, ``(n, s * s)`` each, after each round; the arguments of ``sample``."""
        dice, turns = z[:, 0].to(self.palette.device), self.turns(z[:, 1])
        colours, known = torch.zeros_like(turns), torch.zeros_like(turns, dtype=torch.bool)
        for goal in known_after(self.size**2, rounds):
            drawn = choose(self.logits(captions, colours, known).flatten(0, 1), dice.flatten()).view(dice.shape)
            colours, known = colours.where(known, drawn), known.scatter(1, turns[:, :goal], True)
            yield colours, known

    def sample(
        self,
        captions: Sequence[str],
        z: Tensor | None = None,
        rng: torch.Generator | None = None,
        rounds: int = 64,
    ) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1].

        Args:
            captions: n captions.
            z: ``(n, 2, s * s)`` uniform in [0, 1), or None to draw it.
            rng: the source of randomness if z is None.
            rounds: from 1 to s * s.
        """
        z = latent(z, len(captions), self.latent_shape, rng, torch.rand)
        *_, (colours, _) = self.drawing(captions, z, rounds)
        return crayons.to_pictures(colours, self.palette)
