"""All pixels at once: a distribution over colours for every pixel, then one throw of the dice for each by itself.

    P(picture | caption) = product over i of P(pixel i | caption)

No pixel knows what another has become. This is what a picture model without a random vector can do at best.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from helpers import palette as crayons
from helpers.captions import Language
from helpers.layers import CaptionEmbedding, choose, latent


def marginals(tokens: Tensor, colours: int) -> Tensor:
    """The share of every colour at every pixel: ``(n, pixels)`` int64 to ``(pixels, colours)``."""
    return torch.stack([(tokens == k).float().mean(0) for k in range(colours)], dim=1)


def draw_independently(shares: Tensor, n: int, rng: torch.Generator) -> Tensor:
    """n pictures, each pixel drawn by itself from its row of ``(pixels, colours)``: ``(n, pixels)`` int64."""
    return torch.multinomial(shares, n, replacement=True, generator=rng).T


def total_correlation(shares: Tensor, tokens: Tensor) -> float:
    """The bits of the pixels one by one minus those of the picture as a whole (Watanabe 1960).

    Args:
        shares: ``(pixels, colours)``, the marginals of the tokens.
        tokens: ``(n, pixels)`` int64: pictures, each as likely as it is frequent among them.
    """
    whole = tokens.unique(dim=0, return_counts=True)[1] / len(tokens)  # the share of each different picture
    return (torch.special.entr(shares).sum() - torch.special.entr(whole).sum()).item() / math.log(2)


def next_round(answers: Tensor, colours: int, picture: Tensor, known: Tensor, rng: torch.Generator) -> Tensor:
    """The picture ``(pixels,)`` with its known pixels kept, and all others drawn independently, given the known ones.

    Args:
        answers: ``(m, pixels)`` int64, all right pictures, equally likely. Those that agree best with the known pixels
            stay in question: all that agree, if there are any.
        colours: how many there are.
        picture: ``(pixels,)`` int64.
        known: ``(pixels,)`` bool.
        rng: the source of randomness.
    """
    agree = (answers == picture)[:, known].sum(1)
    shares = marginals(answers[agree == agree.max()], colours)
    return torch.where(known, picture, draw_independently(shares, 1, rng)[0])


class IndependentPixels(nn.Module):
    """P(pixel i | caption) for all pixels in one go.

    Args:
        language: of the captions.
        palette: ``(k, 3)`` colours in [0, 1].
        size: of the pictures, in pixels.
        width: of the network.

    Its z is one uniform number a pixel, which chooses the colour, as in ``PixelByPixel``.
    """

    def __init__(self, language: Language, palette: Tensor, size: int, width: int = 128):
        super().__init__()
        self.latent_shape = (size * size,)
        self.register_buffer("palette", palette)
        self.caption = CaptionEmbedding(language, width)
        self.place = nn.Embedding(size * size, width)
        self.network = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(palette))
        )

    def logits(self, captions: Sequence[str]) -> Tensor:
        """Of every colour at every pixel: ``(n, s * s, k)`` for n captions."""
        return self.network(self.caption(captions)[:, None, :] + self.place.weight)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator | None = None) -> Tensor:
        """Mean of -log P(pixel | caption), in nats a pixel; pictures are ``(n, 3, s, s)`` in [0, 1].

        Nothing is drawn here: ``rng`` stands for those models whose loss draws.
        """
        colours = crayons.to_tokens(pictures, self.palette)
        return F.cross_entropy(self.logits(captions).flatten(0, 1), colours.flatten())

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, s * s)``, uniform in [0, 1), and drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng, torch.rand)
        colours = choose(self.logits(captions).flatten(0, 1), z.flatten()).view(z.shape)
        return crayons.to_pictures(colours, self.palette)
