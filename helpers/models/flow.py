"""Normalising flows: a network that can be run backwards, and so needs no second one.

Forwards it turns pictures x into vectors z that shall be standard normal. If f is the map and y the caption, the
density of a picture is exact (Dinh et al., "Density Estimation Using Real NVP", ICLR 2017, eq. 2):

    log p(x | y)  =  log N(f(x, y); 0, I)  +  log |det df/dx|

Every layer has ``forward(x, captions)``, which gives y and log_det, ``(n,)`` in nats, and ``inverse(y, captions)``,
which gives x back. x and y are ``(n, size)``.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.captions import Language
from helpers.layers import PictureDecoder, PictureEncoder, VectorNetwork, latent


class ActNorm(nn.Module):
    """A shift and a scale for each number (Kingma and Dhariwal, "Glow", NeurIPS 2018, sec. 3.1).

    Args:
        size: numbers in x.
    """

    def __init__(self, size: int):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(size))

    @torch.no_grad()
    def initialise(self, x: Tensor, captions: Sequence[str]) -> None:
        """Begin with the mean and the standard deviation of a batch."""
        self.mean.copy_(x.mean(0))
        self.log_scale.copy_(x.std(0).log())

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        return (x - self.mean) * (-self.log_scale).exp(), -self.log_scale.sum().expand(len(x))

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        return y * self.log_scale.exp() + self.mean


class InvertibleLinear(nn.Module):
    """A learned mixture of the numbers, at first a rotation: Glow's 1x1 convolution at one position (ibid., sec. 3.2).

    Args:
        size: numbers in x.
    """

    def __init__(self, size: int):
        super().__init__()
        self.weight = nn.Parameter(nn.init.orthogonal_(torch.empty(size, size)))

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        return x @ self.weight.T, torch.linalg.slogdet(self.weight).logabsdet.expand(len(x))

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        return torch.linalg.solve(self.weight, y.T).T


class AffineCoupling(nn.Module):
    """Some numbers stay. From them a network guesses the others, and how far off the guess will be.

    What goes on of the others is the surprise, (number - guess) / deviation (Real NVP, eq. 7, with the map and its
    inverse exchanged).

    Args:
        stays: ``(size,)`` booleans, True for the numbers that stay.
        network: called with captions and the k numbers that stay, ``(n, k)``; gives the guesses and the logarithms of
            the deviations of the others, side by side, ``(n, 2 * (size - k))``.
        bound: of guess and log deviation. No number is shifted by more than this, or stretched by more than exp(bound):
            without it, a training that hurries explodes.
    """

    def __init__(self, stays: Tensor, network: nn.Module, bound: float = 2.0):
        super().__init__()
        self.register_buffer("stays", stays, persistent=False)
        self.network, self.bound = network, bound

    def guess(self, known: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Guess and log deviation of the others, each ``(n, size - k)`` and within the bound."""
        mean, log_deviation = (self.bound * torch.tanh(self.network(captions, known) / self.bound)).chunk(2, dim=1)
        return mean, log_deviation

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        mean, log_deviation = self.guess(x[:, self.stays], captions)
        y = x.clone()
        y[:, ~self.stays] = (x[:, ~self.stays] - mean) * (-log_deviation).exp()
        return y, -log_deviation.sum(1)

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        mean, log_deviation = self.guess(y[:, self.stays], captions)
        x = y.clone()
        x[:, ~self.stays] = y[:, ~self.stays] * log_deviation.exp() + mean
        return x


class Flow(nn.Module):
    """Layers one after the other; backwards, the last comes first.

    Args:
        layers: each as described above.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @torch.no_grad()
    def initialise(self, x: Tensor, captions: Sequence[str]) -> None:
        """Let every ActNorm begin with what it receives from this batch."""
        for layer in self.layers:
            if hasattr(layer, "initialise"):
                layer.initialise(x, captions)
            x, _ = layer(x, captions)

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        log_det = torch.zeros(len(x))
        for layer in self.layers:
            x, more = layer(x, captions)
            log_det = log_det + more
        return x, log_det

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        for layer in reversed(self.layers):
            y = layer.inverse(y, captions)
        return y

    def log_prob(self, x: Tensor, captions: Sequence[str]) -> Tensor:
        """log p(x | caption) in nats, ``(n,)``: the equation at the top of this file."""
        z, log_det = self(x, captions)
        return -(z.square() + math.log(2 * math.pi)).sum(1) / 2 + log_det


class Part(nn.Module):
    """A flow for some of the numbers; the others have left early (multi-scale architecture: Real NVP, sec. 3.6).

    Args:
        goes_on: ``(size,)`` booleans, True for the k numbers that the flow is given.
        flow: of ``(n, k)``.
    """

    def __init__(self, goes_on: Tensor, flow: Flow):
        super().__init__()
        self.register_buffer("goes_on", goes_on, persistent=False)
        self.flow = flow

    def initialise(self, x: Tensor, captions: Sequence[str]) -> None:
        """See ``Flow.initialise``."""
        self.flow.initialise(x[:, self.goes_on], captions)

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        y = x.clone()
        y[:, self.goes_on], log_det = self.flow(x[:, self.goes_on], captions)
        return y, log_det

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        x = y.clone()
        x[:, self.goes_on] = self.flow.inverse(y[:, self.goes_on], captions)
        return x


class FewFromMany(nn.Module):
    """The network of a coupling: looks at a picture in which a few numbers are missing."""

    def __init__(self, encoder: nn.Module, few: Tensor):
        super().__init__()
        self.encoder = encoder
        self.register_buffer("few", few, persistent=False)  # (3, s, s) booleans

    def forward(self, captions: Sequence[str], many: Tensor) -> Tensor:
        """The many, ``(n, size - k)``, to a shift of the few with log deviation 0, ``(n, 2 * k)``."""
        pictures = many.new_zeros(len(many), *self.few.shape)
        pictures[:, ~self.few] = many
        shift = self.encoder(captions, pictures)  # (n, k)
        return torch.cat([shift, torch.zeros_like(shift)], dim=1)


class ManyFromFew(nn.Module):
    """The network of a coupling: draws a picture from a few numbers.

    It has one deviation for all of the others, as our VAE has. With one for each, densities are better and pictures
    worse: it would forgive itself just what is hard to draw.
    """

    def __init__(self, decoder: nn.Module, few: Tensor):
        super().__init__()
        self.decoder = decoder
        self.log_deviation = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("few", few, persistent=False)  # (3, s, s) booleans

    def forward(self, captions: Sequence[str], few: Tensor) -> Tensor:
        """The few, ``(n, k)``, to guess and log deviation of the many, ``(n, 2 * (size - k))``."""
        mean = self.decoder(captions, few)[:, ~self.few]
        return torch.cat([mean, self.log_deviation.expand_as(mean)], dim=1)


class PictureFlow(nn.Module):
    """A flow of pictures, in three moves.

    A few numbers, one pixel in sixteen, first learn what all the others show. Then the others are guessed from these
    few, and leave: what is left of them is noise. The few go on through couplings of their own. So the layers that see
    many numbers are only two (a narrow passage as in Huang et al., "Augmented Normalizing Flows", 2020, but without
    additional numbers, and so with an exact density).

    The shipped flow learns the first two moves first, and then the third alone, as our two VAEs do. Together they learn
    much more slowly: the first two have to serve a third that does not yet know anything.

    For training, the pictures get grain of standard deviation ``GRAIN``, without which their density would have no
    bound (normal and not even grain, as in Zhai et al., "Normalizing Flows are Capable Generative Models", 2024).

    Args:
        language: of the captions.
        size: of the pictures, in pixels; a multiple of 4.
        few: numbers at one pixel in sixteen that go on, 1 to 3.
        width: of encoder and decoder, see ``PictureDecoder``.
        steps: couplings of the few.
    """

    GRAIN = 0.03

    def __init__(self, language: Language, size: int = 16, few: int = 1, width: int = 64, steps: int = 6):
        super().__init__()
        if few not in (1, 2, 3):
            raise ValueError(f"a pixel has three numbers, so few must be 1, 2 or 3, not {few}")
        self.latent_shape = (3, size, size)
        chosen = torch.zeros(3, size, size, dtype=torch.bool)
        chosen[:few, 1::4, 1::4] = True
        self.register_buffer("few", chosen, persistent=False)
        k = int(chosen.sum())
        self.flow = Flow(
            Flow(
                AffineCoupling(~chosen.flatten(), FewFromMany(PictureEncoder(language, k, size, width), chosen), 8.0),
                AffineCoupling(chosen.flatten(), ManyFromFew(PictureDecoder(language, k, size, width), chosen), 4.0),
            ),
            Part(chosen.flatten(), Flow(*(layer for _ in range(steps) for layer in step_of_flow(language, k)))),
        )

    @property
    def first(self) -> Flow:
        """The first two moves."""
        return self.flow.layers[0]

    @property
    def second(self) -> Flow:
        """The third move: the couplings of the few, ``(n, k)``."""
        return self.flow.layers[1].flow

    def log_prob(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """log p(pictures | captions) in nats, ``(n,)``."""
        return self.flow.log_prob(pictures.flatten(1), captions)

    def grainy(self, pictures: Tensor, rng: torch.Generator) -> Tensor:
        """What the flow is trained on."""
        return pictures + self.GRAIN * torch.randn(pictures.shape, generator=rng)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """-log p of grainy pictures, in nats for each number, averaged over the batch."""
        return -self.log_prob(self.grainy(pictures, rng), captions).mean() / pictures[0].numel()

    def first_loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The same for the first two moves alone, as if what they hand on were standard normal already."""
        return -self.first.log_prob(self.grainy(pictures, rng).flatten(1), captions).mean() / pictures[0].numel()

    @torch.no_grad()
    def vectors(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """What ``second_loss`` learns from: the few that the first two moves hand on of grainy pictures, ``(n, k)``."""
        return self.first(self.grainy(pictures, rng).flatten(1), captions)[0][:, self.few.flatten()]

    def second_loss(self, vectors: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """-log p of the few, in nats for each of them, averaged over the batch. Nothing is drawn."""
        return -self.second.log_prob(vectors, captions).mean() / vectors.shape[1]

    @torch.no_grad()
    def encode(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """The vector z of each picture, both ``(n, 3, s, s)``, every number at its pixel.

        Raises:
            ValueError: pictures of another shape, or a caption outside the vocabulary.
        """
        if pictures.shape != (len(captions), *self.latent_shape):
            wanted = (len(captions), *self.latent_shape)
            raise ValueError(f"pictures must have the shape {wanted}, not {tuple(pictures.shape)}")
        return self.flow(pictures.flatten(1), captions)[0].view_as(pictures)

    @torch.no_grad()
    def decode(self, captions: Sequence[str], z: Tensor) -> Tensor:
        """The picture of each vector, both ``(n, 3, s, s)``: the exact inverse of ``encode``, grain and all."""
        z = latent(z, len(captions), self.latent_shape, None)
        return self.flow.inverse(z.flatten(1), captions).view_as(z)

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1] as ``decode`` makes them, but without the grain.

        Numbers that left early are taken as guessed, with z = 0. All that their z would add is the grain, and doubts
        about single numbers that know nothing of each other.

        Args:
            captions: n of them.
            z: ``(n, 3, s, s)``, standard normal, drawn with rng if None.
            rng: of z.
        """
        z = latent(z, len(captions), self.latent_shape, rng)
        return self.flow.inverse((z * self.few).flatten(1), captions).view_as(z).clamp(0, 1)


def step_of_flow(language: Language, size: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """ActNorm, mixture, coupling: Glow's step, for vectors ``(n, size)`` (ibid., table 1)."""
    stays = torch.arange(size) < size // 2
    network = VectorNetwork(language, size // 2, 2 * (size - size // 2), width=152, layers=2)
    return ActNorm(size), InvertibleLinear(size), AffineCoupling(stays, network)
