"""Normalising flows: a network that can be run backwards, and so needs no second one.

Forwards it turns pictures x into vectors z that shall be standard normal. If f is the map and y the caption, the
density of a picture is exact (Dinh et al., "Density Estimation Using Real NVP", ICLR 2017, eq. 2):

    log p(x | y)  =  log N(f(x, y); 0, I)  +  log |det df/dx|

Every layer has ``forward(x, captions)``, which gives y and log_det, ``(n,)`` in nats, and ``inverse(y, captions)``,
which gives x back. x and y are ``(n, size)``.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.captions import Language
from helpers.layers import PictureDecoder, PictureEncoder, VectorNetwork, latent

Guess = Callable[[Tensor], tuple[Tensor, Tensor]]  # from the numbers that stay to mean and log deviation of the others


def coupling_forward(x: Tensor, stays: Tensor, moves: Tensor, guess: Guess) -> tuple[Tensor, Tensor]:
    """Some numbers stay; of the others goes on what nobody could guess (Real NVP, eq. 7, there from z to x).

    Args:
        x: ``(n, size)``.
        stays: places of the k numbers that stay, ``(k,)``.
        moves: places of the others, ``(size - k,)``.
        guess: called with the numbers that stay, ``(n, k)``; gives mean and log deviation of the others, each
            ``(n, size - k)``.

    Returns:
        y ``(n, size)``, with (number - mean) / deviation for each of the others, and log_det ``(n,)`` in nats.
    """
    mean, log_deviation = guess(x[:, stays])
    y = x.clone()
    y[:, moves] = (x[:, moves] - mean) * (-log_deviation).exp()
    return y, -log_deviation.sum(1)


def coupling_inverse(y: Tensor, stays: Tensor, moves: Tensor, guess: Guess) -> Tensor:
    """The x ``(n, size)`` that ``coupling_forward`` turns into y; the guess is asked the same question again."""
    mean, log_deviation = guess(y[:, stays])
    x = y.clone()
    x[:, moves] = y[:, moves] * log_deviation.exp() + mean
    return x


def log_density(z: Tensor, log_det: Tensor) -> Tensor:
    """The equation at the top of this file: log p(x | y) in nats, ``(n,)``, from z = f(x, y) and its log_det.

    Args:
        z: ``(n, size)``.
        log_det: of all layers together, ``(n,)``.
    """
    return -(z.square() + math.log(2 * math.pi)).sum(1) / 2 + log_det


class ActNorm(nn.Module):
    """A shift and a scale for each number (Kingma and Dhariwal, "Glow", NeurIPS 2018, sec. 3.1).

    Args:
        size: numbers in x.
    """

    def __init__(self, size: int):
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(size))
        self.log_scale = nn.Parameter(torch.zeros(size))

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

    Args:
        stays: ``(size,)`` booleans, True for the numbers that stay.
        network: called with captions and the k numbers that stay, ``(n, k)``; gives the guesses and the logarithms of
            the deviations of the others, side by side, ``(n, 2 * (size - k))``.
        bound: of guess and log deviation. No number is shifted by more than this, or stretched by more than exp(bound):
            without it, a training that hurries explodes.
    """

    def __init__(self, stays: Tensor, network: nn.Module, bound: float = 2.0):
        super().__init__()
        self.register_buffer("stays", stays.nonzero()[:, 0], persistent=False)
        self.register_buffer("moves", (~stays).nonzero()[:, 0], persistent=False)
        self.network, self.bound = network, bound

    def guess(self, known: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Guess and log deviation of the others, each ``(n, size - k)`` and within the bound."""
        mean, log_deviation = (self.bound * torch.tanh(self.network(captions, known) / self.bound)).chunk(2, dim=1)
        return mean, log_deviation

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        return coupling_forward(x, self.stays, self.moves, lambda known: self.guess(known, captions))

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y."""
        return coupling_inverse(y, self.stays, self.moves, lambda known: self.guess(known, captions))


class SplineCoupling(nn.Module):
    """Some numbers stay. From them a network draws a rising curve for each of the others, and the other follows it.

    An affine coupling is such a curve too, but a straight one: it moves a heap of numbers and makes it wider, but
    cannot part it in two. This curve has ``bins`` pieces, each a ratio of two parabolas that meets the next with the
    same slope (Durkan et al., "Neural Spline Flows", NeurIPS 2019, eq. 4 to 8 and sec. 3.1). It leads from
    (-bound, -bound) to (bound, bound); numbers further out stay as they are.

    Args:
        stays: ``(size,)`` booleans, True for the numbers that stay.
        network: called with captions and the k numbers that stay, ``(n, k)``; gives what ``knots`` makes the widths,
            heights and slopes of the pieces from, ``(n, (3 * bins - 1) * (size - k))``.
        bins: pieces of a curve.
        bound: where a curve begins and ends.
    """

    LEAST = 0.003  # of the range, for a piece, and of slopes: what is nearly flat cannot be undone to four digits

    def __init__(self, stays: Tensor, network: nn.Module, bins: int = 8, bound: float = 4.0):
        super().__init__()
        self.register_buffer("stays", stays.nonzero()[:, 0], persistent=False)
        self.register_buffer("moves", (~stays).nonzero()[:, 0], persistent=False)
        self.network, self.bins, self.bound = network, bins, bound

    def knots(self, known: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor, Tensor]:
        """Where the pieces of a curve meet, across and up, and its slope there: each ``(n, bins + 1, size - k)``."""
        said = self.network(captions, known).unflatten(1, (3 * self.bins - 1, -1))
        widths, heights, slopes = said.split([self.bins, self.bins, self.bins - 1], dim=1)
        shares = (self.LEAST + (1 - self.bins * self.LEAST) * part.softmax(1) for part in (widths, heights))
        across, up = (self.bound * (2 * F.pad(share.cumsum(1), (0, 0, 1, 0)) - 1) for share in shares)
        straight = math.log(math.expm1(1 - self.LEAST))  # where the network says nothing, every slope is 1
        return across, up, F.pad(self.LEAST + F.softplus(slopes + straight), (0, 0, 1, 1), value=1.0)

    def pieces(self, value: Tensor, edges: Tensor, *knots: Tensor) -> list[Tensor]:
        """Of each of the knots the left and the right one of the piece between whose edges the value lies."""
        right = (edges < value[:, None]).sum(1, keepdim=True).clamp(1, self.bins)
        return [knot.gather(1, at)[:, 0] for knot in knots for at in (right - 1, right)]

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        across, up, slopes = self.knots(x[:, self.stays], captions)
        others = x[:, self.moves]
        inside = others.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self.pieces(inside, across, across, up, slopes)
        s, t = (y1 - y0) / (x1 - x0), (inside - x0) / (x1 - x0)
        below = s + (d0 + d1 - 2 * s) * t * (1 - t)
        moved = y0 + (y1 - y0) * (s * t.square() + d0 * t * (1 - t)) / below
        slope = s.square() * (d1 * t.square() + 2 * s * t * (1 - t) + d0 * (1 - t).square()) / below.square()
        y = x.clone()
        y[:, self.moves] = moved + (others - inside)  # beyond its ends, a curve goes on with the slope it has there, 1
        return y, slope.log().sum(1)

    def inverse(self, y: Tensor, captions: Sequence[str]) -> Tensor:
        """``(n, size)`` to the x that ``forward`` turns into y: the root of a quadratic equation."""
        across, up, slopes = self.knots(y[:, self.stays], captions)
        others = y[:, self.moves]
        inside = others.clamp(-self.bound, self.bound)
        x0, x1, y0, y1, d0, d1 = self.pieces(inside, up, across, up, slopes)
        s, rise = (y1 - y0) / (x1 - x0), inside - y0
        bend = rise * (d0 + d1 - 2 * s)
        a, b, c = (y1 - y0) * (s - d0) + bend, (y1 - y0) * d0 - bend, -s * rise
        t = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
        x = y.clone()
        x[:, self.moves] = x0 + t * (x1 - x0) + (others - inside)
        return x


class Flow(nn.Module):
    """Layers one after the other; backwards, the last comes first.

    Args:
        layers: each as described above.
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """``(n, size)`` to y ``(n, size)`` and log_det ``(n,)``."""
        log_det = x.new_zeros(len(x))
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
        """log p(x | caption) in nats, ``(n,)``."""
        return log_density(*self(x, captions))


@torch.no_grad()
def initialise(flow: Flow, x: Tensor, captions: Sequence[str]) -> None:
    """Let every ActNorm of a flow begin with mean and deviation of what it receives from a batch (Glow, sec. 3.1)."""
    for layer in flow.layers:
        if isinstance(layer, ActNorm):
            layer.mean.copy_(x.mean(0))
            layer.log_scale.copy_(x.std(0).log())
        x, _ = layer(x, captions)


class Part(nn.Module):
    """A flow for some of the numbers; the others have left early (multi-scale architecture: Real NVP, sec. 3.6).

    Args:
        goes_on: ``(size,)`` booleans, True for the k numbers that the flow is given.
        flow: of ``(n, k)``.
    """

    def __init__(self, goes_on: Tensor, flow: Flow):
        super().__init__()
        self.register_buffer("goes_on", goes_on.nonzero()[:, 0], persistent=False)
        self.flow = flow

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
    """The network of a coupling: looks at a picture in which a few numbers are missing.

    Args:
        encoder: called with captions and pictures, gives ``(n, k)``.
        few: ``(3, s, s)`` booleans, True for the k numbers.
    """

    def __init__(self, encoder: nn.Module, few: Tensor):
        super().__init__()
        self.encoder, self.shape = encoder, few.shape
        self.register_buffer("many", (~few).flatten().nonzero()[:, 0], persistent=False)

    def forward(self, captions: Sequence[str], many: Tensor) -> Tensor:
        """The many, ``(n, size - k)``, to a shift of the few with log deviation 0, ``(n, 2 * k)``."""
        pictures = many.new_zeros(len(many), self.shape.numel())
        pictures[:, self.many] = many
        shift = self.encoder(captions, pictures.unflatten(1, self.shape))  # (n, k)
        return torch.cat([shift, torch.zeros_like(shift)], dim=1)


class ManyFromFew(nn.Module):
    """The network of a coupling: draws a picture from a few numbers.

    It has one deviation for all of the others, as our VAE has. With one for each, densities are better and pictures
    worse: it would forgive itself just what is hard to draw.

    Args:
        decoder: called with captions and the few, gives pictures.
        few: see ``FewFromMany``.
    """

    def __init__(self, decoder: nn.Module, few: Tensor):
        super().__init__()
        self.decoder = decoder
        self.log_deviation = nn.Parameter(torch.tensor(-1.0))
        self.register_buffer("many", (~few).flatten().nonzero()[:, 0], persistent=False)

    def forward(self, captions: Sequence[str], few: Tensor) -> Tensor:
        """The few, ``(n, k)``, to guess and log deviation of the many, ``(n, 2 * (size - k))``."""
        mean = self.decoder(captions, few).flatten(1)[:, self.many]
        return torch.cat([mean, self.log_deviation.expand_as(mean)], dim=1)


class PictureFlow(nn.Module):
    """A flow of pictures, in three moves.

    A few numbers, one pixel in sixteen, first learn what all the others show. Then the others are guessed from these
    few, and leave: what is left of them is noise. The few go on through spline couplings of their own. So the layers
    that see many numbers are only two (a narrow passage as in Huang et al., "Augmented Normalizing Flows", 2020, but
    without additional numbers, and so with an exact density).

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
        """What the flow is trained on, of pictures or of single numbers of them."""
        return pictures + self.GRAIN * torch.randn(pictures.shape, generator=rng).to(pictures.device)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """-log p of grainy pictures, in nats for each number, averaged over the batch."""
        return -self.log_prob(self.grainy(pictures, rng), captions).mean() / pictures[0].numel()

    def first_loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The same for the first two moves alone, as if what they hand on were standard normal already."""
        return -self.first.log_prob(self.grainy(pictures, rng).flatten(1), captions).mean() / pictures[0].numel()

    @torch.no_grad()
    def vectors(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """What ``second_loss`` learns from: the few that the first two moves hand on, still without grain, ``(n, k)``.

        The many, from which the few are shifted, have theirs.
        """
        seen = torch.where(self.few, pictures, self.grainy(pictures, rng))
        return self.first(seen.flatten(1), captions)[0][:, self.flow.layers[1].goes_on]

    def second_loss(self, vectors: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """-log p of the few, in nats for each of them, averaged over the batch.

        A shift may come before grain or after it. So one dog, looked at once, has as many grainy copies as are wanted.
        """
        return -self.second.log_prob(self.grainy(vectors, rng), captions).mean() / vectors.shape[1]

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
        z = latent(z, len(captions), self.latent_shape, None).to(self.few.device)
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
        z = latent(z, len(captions), self.latent_shape, rng).to(self.few.device)
        return self.flow.inverse((z * self.few).flatten(1), captions).view_as(z).clamp(0, 1)


def step_of_flow(language: Language, size: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    """ActNorm, mixture, coupling: Glow's step (ibid., table 1) for vectors ``(n, size)``, with curves for lines."""
    stays, bins = torch.arange(size) < size // 2, 8
    network = VectorNetwork(language, size // 2, (3 * bins - 1) * (size - size // 2), width=128, layers=2)
    nn.init.zeros_(network.network[-1].weight)  # it begins with next to straight curves, as Glow with no change
    return ActNorm(size), InvertibleLinear(size), SplineCoupling(stays, network, bins)
