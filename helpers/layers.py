"""What two or more models use."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.captions import Language


def latent(
    z: Tensor | None,
    n: int,
    shape: tuple[int, ...],
    rng: torch.Generator | None,
    draw: Callable[..., Tensor] = torch.randn,
) -> Tensor:
    """The random vectors of ``n`` pictures: ``z`` as given, if its shape is right, or freshly drawn.

    Args:
        z: ``(n, *shape)`` or None.
        n: how many pictures.
        shape: of one vector, the ``latent_shape`` of a model.
        rng: the source of randomness where ``z`` is None.
        draw: ``torch.randn`` for a standard normal, ``torch.rand`` for a uniform vector.

    Raises:
        ValueError: ``z`` has another shape, or neither ``z`` nor ``rng`` is given.
    """
    if z is None and rng is None:
        raise ValueError("give z, or rng to draw it with: rng=torch.Generator().manual_seed(0)")
    if z is None:
        return draw(n, *shape, generator=rng)
    if z.shape != (n, *shape):
        raise ValueError(f"for {n} captions z must have the shape {(n, *shape)}, not {tuple(z.shape)}")
    return z


def choose(logits: Tensor, u: Tensor, temperature: float = 1.0, top_k: int | None = None) -> Tensor:
    """Tokens drawn from softmax(logits / temperature): the inverse of the cumulative distribution, at ``u``.

    Args:
        logits: ``(n, k)``.
        u: ``(n,)``, uniform in [0, 1).
        temperature: below 1 favours what is likely; 0 always takes the likeliest.
        top_k: choose among so many of the likeliest tokens only.

    Returns:
        ``(n,)`` int64.
    """
    if temperature < 0 or (top_k is not None and top_k < 1):
        raise ValueError(f"temperature must be 0 or more and top_k 1 or more, not {temperature} and {top_k}")
    if temperature == 0:
        return logits.argmax(-1)
    if top_k is not None:
        weakest = logits.topk(min(top_k, logits.shape[-1])).values[:, -1:]
        logits = logits.masked_fill(logits < weakest, -torch.inf)
    # In double precision, which Apple's GPU does not have; in single, the rounding of a long sum could choose a token
    # of probability zero.
    exact = logits.to("cpu" if logits.device.type == "mps" else logits.device).double()
    cumulative = (exact / temperature).softmax(-1).cumsum(-1)  # (n, k)
    share = u.to(cumulative)[:, None] * cumulative[:, -1:]
    return torch.searchsorted(cumulative, share, right=True)[:, 0].to(logits.device)


class CaptionEmbedding(nn.Module):
    """A vector for a caption: the sum of one learned vector for what is said of each attribute.

    Args:
        language: of the captions.
        width: of the vector.
    """

    def __init__(self, language: Language, width: int):
        super().__init__()
        self.language = language
        # One row more than there are values: row 0 is for "left open".
        self.tables = nn.ModuleList(nn.Embedding(len(values) + 1, width) for values in language.nameable.values())

    def forward(self, captions: Sequence[str]) -> Tensor:
        """``n`` captions to ``(n, width)``."""
        said = self.language.encode(captions).to(self.tables[0].weight.device)  # (n, attributes)
        return sum(table(column) for table, column in zip(self.tables, said.unbind(1), strict=True))


class Residual(nn.Module):
    """A small network whose output is added to its input; it begins by adding nothing (He et al. 2016)."""

    def __init__(self, width: int):
        super().__init__()
        self.network = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width)
        )
        nn.init.zeros_(self.network[-1].weight)

    def forward(self, x: Tensor) -> Tensor:
        """``(n, width)`` to the same shape."""
        return x + self.network(x)


class Decoder(nn.Module):
    """From a caption and a vector z to a picture.

    Sines and cosines of z stand beside z: with them a network learns quick changes much sooner (Tancik et al., "Fourier
    Features Let Networks Learn High Frequency Functions in Low Dimensional Domains", NeurIPS 2020).

    Args:
        language: of the captions.
        latent_size: numbers in z, about one in size; 0 for a decoder that is given the caption alone.
        size: of the pictures, in pixels.
        width, layers: of the network.
    """

    WAVES = (0.9, 1.8)  # radians for each unit of z

    def __init__(self, language: Language, latent_size: int, size: int = 16, width: int = 256, layers: int = 2):
        super().__init__()
        self.latent_shape = (latent_size,)
        self.caption = CaptionEmbedding(language, 64)
        self.network = nn.Sequential(
            nn.Linear(64 + latent_size * (1 + 2 * len(self.WAVES)), width),
            *(Residual(width) for _ in range(layers)),
            nn.LayerNorm(width),
            nn.Linear(width, 3 * size * size),
            nn.Sigmoid(),
            nn.Unflatten(1, (3, size, size)),
        )

    def forward(self, captions: Sequence[str], z: Tensor) -> Tensor:
        """``n`` captions and ``(n, latent_size)`` to pictures ``(n, 3, size, size)`` in [0, 1].

        Raises:
            ValueError: z has another shape.
        """
        said = self.caption(captions)
        z = latent(z, len(captions), self.latent_shape, None).to(said.device)
        waves = [wave(speed * z) for speed in self.WAVES for wave in (torch.sin, torch.cos)]
        return self.network(torch.cat([said, z, *waves], dim=1))


class ConvResidual(nn.Module):
    """Two convolutions whose output is added to their input; a vector, if there is one, shifts what lies between.

    Args:
        channels: of the input; a multiple of 8.
        condition: numbers in the vector; 0 for none.
    """

    def __init__(self, channels: int, condition: int = 0):
        super().__init__()
        self.norm = nn.GroupNorm(8, channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.shift = nn.Linear(condition, channels) if condition else None
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """``(n, channels, h, w)`` and ``(n, condition)`` to ``(n, channels, h, w)``."""
        h = self.first(F.silu(self.norm(x)))
        if self.shift is not None:
            h = h + self.shift(condition)[:, :, None, None]
        return x + self.second(F.silu(h))


class PictureEncoder(nn.Module):
    """From a caption and a picture to a vector.

    Args:
        language: of the captions.
        outputs: numbers in the vector.
        size: of the pictures, in pixels; a multiple of 4.
        width: channels at half the size; twice as many at a quarter.
        channels: of what is looked at; 3 for a picture.
    """

    def __init__(self, language: Language, outputs: int, size: int = 16, width: int = 64, channels: int = 3):
        super().__init__()
        self.caption = CaptionEmbedding(language, 128)
        self.begin = nn.Sequential(nn.PixelUnshuffle(2), nn.Conv2d(4 * channels, width, 3, padding=1))
        self.fine = ConvResidual(width, 128)
        self.down = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.coarse = ConvResidual(2 * width, 128)
        self.end = nn.Sequential(nn.SiLU(), nn.Flatten(), nn.Linear(2 * width * (size // 4) ** 2, outputs))

    def forward(self, captions: Sequence[str], pictures: Tensor) -> Tensor:
        """``n`` captions and pictures ``(n, channels, s, s)`` in [0, 1] to ``(n, outputs)``."""
        said = self.caption(captions)
        h = self.fine(self.begin(2 * pictures - 1), said)  # (n, width, s / 2, s / 2)
        h = self.coarse(self.down(h), said)  # (n, 2 * width, s / 4, s / 4)
        return self.end(h)


class PictureDecoder(nn.Module):
    """From a caption and a vector z to a picture: the encoder's way back.

    Args:
        language: of the captions.
        latent_size: numbers in z.
        size: of the pictures, in pixels; a multiple of ``2 * fold``.
        width: channels on the finest grid; twice as many on the coarser one.
        fold: pixels on each side of the square that a point of the finest grid becomes. A larger one keeps the grids,
            and with them most of the cost, small where the picture is large.
    """

    def __init__(self, language: Language, latent_size: int, size: int = 16, width: int = 64, fold: int = 2):
        super().__init__()
        coarse = size // (2 * fold)
        self.latent_shape = (latent_size,)
        self.caption = CaptionEmbedding(language, 128)
        self.style = nn.Sequential(nn.Linear(latent_size + 128, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU())
        self.begin = nn.Sequential(
            nn.Linear(latent_size + 128, 2 * width * coarse**2), nn.Unflatten(1, (2 * width, coarse, coarse))
        )
        self.coarse = ConvResidual(2 * width, 128)
        self.up = nn.Sequential(nn.Conv2d(2 * width, 4 * width, 1), nn.PixelShuffle(2))
        self.fine = ConvResidual(width, 128)
        self.end = nn.Sequential(nn.SiLU(), nn.Conv2d(width, 3 * fold**2, 3, padding=1), nn.PixelShuffle(fold))

    def forward(self, captions: Sequence[str], z: Tensor) -> Tensor:
        """``n`` captions and ``(n, latent_size)`` to pictures ``(n, 3, s, s)``, in [0, 1] or a little beyond.

        Raises:
            ValueError: z has another shape.
        """
        said = self.caption(captions)
        known = torch.cat([latent(z, len(captions), self.latent_shape, None).to(said.device), said], dim=1)
        style = self.style(known)
        h = self.coarse(self.begin(known), style)  # (n, 2 * width, s / (2 fold), s / (2 fold))
        h = self.fine(self.up(h), style)  # (n, width, s / fold, s / fold)
        return (self.end(h) + 1) / 2


class VectorNetwork(nn.Module):
    """From a caption and a vector to a vector.

    Args:
        language: of the captions.
        inputs, outputs: numbers in the vectors.
        width, layers: of the network.
    """

    def __init__(self, language: Language, inputs: int, outputs: int, width: int = 256, layers: int = 2):
        super().__init__()
        self.caption = CaptionEmbedding(language, width)
        self.begin = nn.Linear(inputs, width)
        self.network = nn.Sequential(
            *(Residual(width) for _ in range(layers)), nn.LayerNorm(width), nn.Linear(width, outputs)
        )

    def forward(self, captions: Sequence[str], x: Tensor) -> Tensor:
        """``n`` captions and ``(n, inputs)`` to ``(n, outputs)``."""
        said = self.caption(captions)
        return self.network(self.begin(x.to(said.device)) + said)

    def depths(self, captions: Sequence[str], x: Tensor) -> Tensor:
        """What lies before, between and after its residual layers: ``(n, inputs)`` to ``(n, (layers + 1) * width)``."""
        found = [self.begin(x) + self.caption(captions)]
        for layer in self.network[:-2]:
            found.append(layer(found[-1]))
        return torch.cat(found, dim=1)
