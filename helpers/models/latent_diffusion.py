"""Latent diffusion: a diffusion model that draws the vectors of a VAE, and a text encoder that tells it what to draw.

Rombach et al., "High-Resolution Image Synthesis with Latent Diffusion Models", CVPR 2022, which became Stable
Diffusion. The VAE comes first and is then left alone; it takes a picture to a small grid of a few numbers a point.
"""

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from helpers.captions import Language
from helpers.layers import ConvResidual, VectorNetwork
from helpers.models.diffusion import Diffusion, add_noise, ddim_step
from helpers.models.vae import VAE
from helpers.unet import WAVES, noise_waves

SHRINKS = 4  # a point of the grid for each 4 x 4 pixels


# ---- As lessons write it ----


def cross_attention(queries: Tensor, keys: Tensor, values: Tensor, empty: Tensor) -> tuple[Tensor, Tensor]:
    """What the points of a picture hear of the words of its caption (Rombach et al. 2022, section 3.3).

    Args:
        queries: of the points, ``(n, p, d)``.
        keys, values: of the words, ``(n, w, d)``.
        empty: True where a caption has no word, ``(n, w)``.

    Returns:
        A mean of the values for each point, ``(n, p, d)``, and how much each word counts in it, ``(n, p, w)``.
    """
    scores = queries @ keys.mT / queries.shape[-1] ** 0.5  # (n, p, w)
    weights = scores.masked_fill(empty[:, None], -torch.inf).softmax(-1)
    return weights @ values, weights


def latent_loss(
    network: Callable[[Sequence[str], Tensor, Tensor], Tensor],
    encode: Callable[[Tensor, Sequence[str]], Tensor],
    scale: float,
    pictures: Tensor,
    captions: Sequence[str],
    alpha_bar: Tensor,
    noise: Tensor,
) -> Tensor:
    """The mean squared error of a network that is to find a grid in its noise, a scalar.

    Args:
        network: called with captions, noisy grids and alpha_bar ``(n,)``, gives clean grids.
        encode: gives grids ``(n, c, h, w)`` for pictures and captions.
        scale: brings grids to a standard deviation of 1.
        pictures: ``(n, 3, s, s)`` in [0, 1].
        captions: n of them.
        alpha_bar: how much is left of each grid, ``(n, 1, 1, 1)``.
        noise: standard normal, ``(n, c, h, w)``.
    """
    grids = scale * encode(pictures, captions)
    return (network(captions, add_noise(grids, noise, alpha_bar), alpha_bar.flatten()) - grids).square().mean()


@torch.no_grad()
def draw_latents(
    network: Callable[[Sequence[str], Tensor, Tensor], Tensor],
    decode: Callable[[Tensor, Sequence[str]], Tensor],
    scale: float,
    captions: Sequence[str],
    z: Tensor,
    alpha_bars: Tensor,
) -> Tensor:
    """Pictures ``(n, 3, s, s)`` in [0, 1] from noise z ``(n, c, h, w)``, by steps of DDIM.

    Args:
        network: as in ``latent_loss``.
        decode: gives pictures for grids and captions, the inverse of ``encode``.
        scale: as in ``latent_loss``.
        captions: n of them.
        z: standard normal.
        alpha_bars: the levels of noise from 1 down.
    """
    x = z
    for now, before in itertools.pairwise(alpha_bars.flip(0)):
        x = ddim_step(x, network(captions, x, now.expand(len(x))), now, before, torch.zeros_like(x), eta=0.0)
    return decode(x / scale, captions).clamp(0, 1)


class GridEncoder(nn.Module):
    """From a picture to a grid of vectors. It is not told the caption: what it sees is enough.

    Args:
        channels: numbers at each point, all points flattened into one vector.
        width: channels at half the size of the picture; twice as many at a quarter.
    """

    def __init__(self, channels: int, width: int = 32):
        super().__init__()
        self.network = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, width, 3, padding=1),
            ConvResidual(width),
            nn.Conv2d(width, 2 * width, 2, stride=2),
            ConvResidual(2 * width),
            nn.SiLU(),
            nn.Conv2d(2 * width, channels, 3, padding=1),
            nn.Flatten(),
        )

    def forward(self, captions: Sequence[str], pictures: Tensor) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1] to ``(n, channels * s / 4 * s / 4)``; captions are not listened to."""
        return self.network(2 * pictures - 1)


class GridDecoder(nn.Module):
    """From a grid of vectors to a picture: the encoder's way back.

    Args:
        channels: numbers at each point.
        size: of the picture, in pixels; a multiple of 4.
        width: see ``GridEncoder``.
    """

    def __init__(self, channels: int, size: int, width: int = 32):
        super().__init__()
        self.network = nn.Sequential(
            nn.Unflatten(1, (channels, size // SHRINKS, size // SHRINKS)),
            nn.Conv2d(channels, 2 * width, 3, padding=1),
            ConvResidual(2 * width),
            ConvResidual(2 * width),
            nn.ConvTranspose2d(2 * width, width, 2, stride=2),
            ConvResidual(width),
            nn.SiLU(),
            nn.Conv2d(width, 12, 3, padding=1),
            nn.PixelShuffle(2),
        )

    def forward(self, captions: Sequence[str], z: Tensor) -> Tensor:
        """``(n, channels * s / 4 * s / 4)`` to pictures ``(n, 3, s, s)``, in [0, 1] or a little beyond."""
        return (self.network(z.to(self.network[1].weight.device)) + 1) / 2


def grid_vae(size: int, channels: int = 4, width: int = 32) -> VAE:
    """A VAE whose z is a grid of ``channels`` numbers for each 4 x 4 pixels, flattened."""
    numbers = channels * (size // SHRINKS) ** 2
    return VAE(GridEncoder(2 * channels, width), GridDecoder(channels, size, width), numbers)


class TextEncoder(nn.Module):
    """From the words of a caption to a vector: every word looks at every other, and the mean of all is kept.

    Args:
        language: of the captions.
        width: of the vector; a multiple of 4, the number of heads.
    """

    def __init__(self, language: Language, width: int):
        super().__init__()
        self.language = language
        longest = language.tokens(language.captions[:1]).shape[1]
        self.word = nn.Embedding(len(language.vocabulary) + 1, width)
        self.place = nn.Parameter(0.02 * torch.randn(longest, width))
        self.looks = nn.TransformerEncoderLayer(
            width, nhead=4, dim_feedforward=2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )

    def forward(self, captions: Sequence[str]) -> Tensor:
        """``n`` captions to ``(n, width)``."""
        tokens = self.language.tokens(captions).to(self.place.device)  # (n, words), 0 after the last word
        empty = tokens == 0
        h = self.looks(self.word(tokens) + self.place, src_key_padding_mask=empty)  # (n, words, width)
        return h.masked_fill(empty[..., None], 0).sum(1) / (~empty).sum(1, keepdim=True)


class VectorDenoiser(nn.Module):
    """The denoiser of a few numbers that have no place in a picture: dense layers in place of a U-Net.

    Args:
        language: of the captions.
        size: numbers in the vector.
        width, layers: see ``VectorNetwork``.
    """

    def __init__(self, language: Language, size: int, width: int = 256, layers: int = 4):
        super().__init__()
        self.language = language
        self.network = VectorNetwork(language, size + 2 * WAVES, size, width, layers)

    def forward(self, captions: Sequence[str], x: Tensor, alpha_bar: Tensor) -> Tensor:
        """``n`` captions, ``(n, ...)`` of ``size`` numbers each and alpha_bar of each, ``(n,)``, to the shape of x."""
        return self.network(captions, self.seen(x, alpha_bar)).view_as(x)

    def seen(self, x: Tensor, alpha_bar: Tensor) -> Tensor:
        """What its layers are given: ``(n, ...)`` of ``size`` numbers each, and alpha_bar of each, ``(n,)``."""
        return torch.cat([x.flatten(1), noise_waves(alpha_bar)], dim=1)


class LatentDiffusion(Diffusion):
    """A diffusion model of the vectors of a VAE.

    Inside, the vectors are brought to mean 0 and standard deviation 1, channel by channel, as the noise has.

    Args:
        vae: a trained one, see ``grid_vae``; it does not learn any more.
        network: as for ``Diffusion``, for grids ``(n, channels, s / 4, s / 4)``.
        size: of the pictures, in pixels.
        alpha_bar, predicts: see ``Diffusion``.
    """

    BOUND = 5.0  # five standard deviations; no vector that was seen lies further out

    def __init__(self, vae: VAE, network: nn.Module, size: int, alpha_bar: Tensor, predicts: str = "picture"):
        super().__init__(network, size, alpha_bar, predicts)
        self.vae = vae.requires_grad_(False)
        channels = vae.latent_shape[0] * SHRINKS**2 // size**2
        self.latent_shape = (channels, size // SHRINKS, size // SHRINKS)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("std", torch.ones(channels, 1, 1))

    @torch.no_grad()
    def encode(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """The VAE's vectors of pictures ``(n, 3, s, s)``, as grids ``(n, channels, s / 4, s / 4)``."""
        mu, _ = self.vae.encode(pictures, captions)
        return mu.view(-1, *self.latent_shape)

    def decode(self, grids: Tensor, captions: Sequence[str]) -> Tensor:
        """The pictures ``(n, 3, s, s)``, in [0, 1] or a little beyond, of what ``encode`` gives."""
        return self.vae.decoder(captions, grids.flatten(1))

    def standardise(self, grids: Tensor) -> None:
        """Let ``inside`` give numbers of mean 0 and standard deviation 1 for pictures whose grids are these.

        Stable Diffusion does the same with one number, 0.18215 (Rombach et al. 2022, appendix G).
        """
        self.mean.copy_(grids.mean((0, 2, 3))[:, None, None])
        self.std.copy_(grids.std((0, 2, 3))[:, None, None])

    def inside(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """What is diffused: grids ``(n, channels, s / 4, s / 4)``."""
        return self.standardised(self.encode(pictures, captions))

    def standardised(self, grids: Tensor) -> Tensor:
        """Grids ``(n, channels, s / 4, s / 4)`` with mean 0 and standard deviation 1."""
        return (grids - self.mean) / self.std

    def outside(self, x: Tensor, captions: Sequence[str]) -> Tensor:
        """The pictures ``(n, 3, s, s)`` that grids stand for."""
        return self.decode(x * self.std + self.mean, captions)
