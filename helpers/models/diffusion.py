"""Diffusion models: add noise until nothing is left of the picture, and learn to take it away again.

After t steps, what is left of a picture x_0 is (Ho, Jain and Abbeel, "Denoising Diffusion Probabilistic Models",
NeurIPS 2020, eq. 4), with alpha_bar_t falling from 1 to nearly 0:

    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)

Index t counts the steps of noise: a schedule holds alpha_bar_0 = 1, alpha_bar_1, ..., alpha_bar_T.
"""

import collections
import itertools
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from helpers.layers import latent

MOST_SNR = 5.0

# ---- The way to noise ----


def linear_schedule(steps: int) -> Tensor:
    """alpha_bar_0 to alpha_bar_T ``(steps + 1,)`` float64, for noise that grows linearly with time.

    Ho et al. (2020, section 4) let beta rise from 0.0001 to 0.02 in 1,000 steps. With T times as few, each step must do
    T times as much; taken literally that asks for beta >= 1 below T = 20. The limit of small steps has no such edge:
    alpha_bar = exp(- integral of beta) (Song et al., "Score-Based Generative Modeling through Stochastic Differential
    Equations", ICLR 2021, eq. 33).
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    return torch.exp(-(0.1 * u + (20 - 0.1) * u.square() / 2))


def cosine_schedule(steps: int) -> Tensor:
    """alpha_bar_0 to alpha_bar_T ``(steps + 1,)`` float64 (Nichol and Dhariwal, ICML 2021, eq. 17).

    As there, no single step takes away more than 0.999 of what is left; only the last steps would.
    """
    u = torch.arange(steps + 1, dtype=torch.float64) / steps
    alpha_bar = ((u + 0.008) / 1.008 * math.pi / 2).cos().square()
    alpha = (alpha_bar[1:] / alpha_bar[:-1]).clamp(min=1 - 0.999)
    return torch.cat([torch.ones(1, dtype=torch.float64), alpha.cumprod(0)])


def add_noise(x: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """x_t from x_0 in one jump: ``(n, ...)`` twice and alpha_bar, which broadcasts, to ``(n, ...)``."""
    return alpha_bar.sqrt() * x + (1 - alpha_bar).sqrt() * noise


# ---- What a network can be asked for ----


def target(predicts: str, x: Tensor, noise: Tensor, alpha_bar: Tensor) -> Tensor:
    """What a network that predicts ``"noise"``, ``"picture"`` or ``"velocity"`` should answer.

    The velocity is how x_t changes as picture turns into noise along a quarter of a circle (Salimans and Ho,
    "Progressive Distillation for Fast Sampling of Diffusion Models", ICLR 2022, appendix D).
    """
    velocity = alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x
    return {"noise": noise, "picture": x, "velocity": velocity}[predicts]


def to_picture(predicts: str, prediction: Tensor, x_t: Tensor, alpha_bar: Tensor) -> Tensor:
    """The picture that a prediction stands for, given x_t: the inverse of ``target``."""
    signal, spread = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    if predicts == "picture":
        return prediction
    if predicts == "velocity":
        return signal * x_t - spread * prediction
    return (x_t - spread * prediction) / signal


def loss_weight(predicts: str, alpha_bar: Tensor) -> Tensor:
    """What the squared error of a prediction counts in the loss, in the shape of alpha_bar.

    That of noise or velocity counts 1. That of a picture counts 1 + SNR, with SNR = alpha_bar / (1 - alpha_bar), the
    ratio of signal to noise: as much as the error of the velocity that follows from it (Salimans and Ho 2022, sec. 4).
    But the ratio counts up to ``MOST_SNR`` only; else the network would spend itself on steps with next to no noise,
    where there is nothing to decide (Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", ICCV
    2023, sec. 3.4).
    """
    if predicts != "picture":
        return torch.ones_like(alpha_bar)
    return 1 + (alpha_bar / (1 - alpha_bar)).clamp(max=MOST_SNR)


def denoising_loss(
    network: Callable[[Sequence[str], Tensor, Tensor], Tensor],
    captions: Sequence[str],
    x: Tensor,
    alpha_bar: Tensor,
    noise: Tensor,
    predicts: str = "picture",
) -> Tensor:
    """The weighted mean squared error of a network's prediction, a scalar (Ho et al. 2020, eq. 14, algorithm 1).

    Args:
        network: called with captions, x_t and alpha_bar ``(n,)``, gives what it predicts in the shape of x_t.
        captions: n of them.
        x: what is diffused, ``(n, ...)``.
        alpha_bar: how much is left of each x, ``(n, 1, ...)``.
        noise: standard normal, in the shape of x.
        predicts: ``"noise"``, ``"picture"`` or ``"velocity"``.
    """
    prediction = network(captions, add_noise(x, noise, alpha_bar), alpha_bar.flatten())
    error = (prediction - target(predicts, x, noise, alpha_bar)).square()
    return (loss_weight(predicts, alpha_bar) * error).mean()


# ---- The way back ----


def posterior(x_t: Tensor, picture: Tensor, now: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of q(x_{t-1} | x_t, x_0 = picture): one ancestral step of DDPM (Ho et al. 2020, eq. 6, 7).

    Args:
        x_t, picture: ``(n, ...)``.
        now, before: alpha_bar of this step and of the one that it leads to.
    """
    beta = 1 - now / before
    mean = (before.sqrt() * beta * picture + (now / before).sqrt() * (1 - before) * x_t) / (1 - now)
    return mean, (1 - before) / (1 - now) * beta


def ancestral_sampling(
    estimate: Callable[[Tensor, Tensor], Tensor], z: Tensor, alpha_bars: Tensor, rng: torch.Generator
) -> Tensor:
    """From noise z to x_0 with fresh noise at every step (Ho et al. 2020, algorithm 2): ``(n, ...)`` to the same shape.

    As lessons write it. ``denoise`` draws the same with eta = 1, and shows the way.

    Args:
        estimate: called with x_t and alpha_bar_t, gives the picture that it believes to be in x_t.
        z: the noise to begin with.
        alpha_bars: the levels of noise from 1 down.
        rng: the source of fresh noise.
    """
    x = z
    for now, before in itertools.pairwise(alpha_bars.flip(0)):
        mean, variance = posterior(x, estimate(x, now), now, before)
        x = mean + variance.sqrt() * torch.randn(x.shape, generator=rng)
    return x


def ddim_step(x_t: Tensor, picture: Tensor, now: Tensor, before: Tensor, fresh: Tensor, eta: float) -> Tensor:
    """From x_t to a level with less noise (Song, Meng and Ermon, "DDIM", ICLR 2021, eq. 12, 16).

    Args:
        x_t, picture: ``(n, ...)``; the picture is what is believed to be in x_t.
        now, before: alpha_bar of x_t and of the level to go to; any level with less noise will do.
        fresh: new noise, ``(n, ...)``.
        eta: how much of the noise is exchanged for new: 0 none, 1 as much as DDPM.
    """
    sigma = eta * ((1 - before) / (1 - now) * (1 - now / before)).sqrt()
    noise = (x_t - now.sqrt() * picture) / (1 - now).sqrt()  # what must be in x_t if the picture is
    kept = (1 - before - sigma.square()).clamp(min=0).sqrt()
    return before.sqrt() * picture + kept * noise + sigma * fresh


def spaced(steps: int, T: int, spacing: str = "linear") -> Tensor:
    """Where in a schedule of T steps a sampler with fewer stops, ``(steps + 1,)`` from 0 to T.

    Args:
        steps: from 1 to T.
        T: steps of the schedule.
        spacing: ``"linear"``, all equally far apart, or ``"quadratic"``, closer together where little noise is left
            and the finest things are decided (Song, Meng and Ermon 2021, appendix D.2).
    """
    if not 1 <= steps <= T:
        raise ValueError(f"steps must be from 1 to {T}, not {steps}")
    if spacing not in ("linear", "quadratic"):
        raise ValueError(f"steps can be spaced linear or quadratic, not {spacing!r}")
    share = torch.linspace(0, 1, steps + 1)
    if spacing == "quadratic":
        share = share.square()
    return torch.maximum((T * share).round().long(), torch.arange(steps + 1))  # no stop twice


def denoise(
    estimate: Callable[[Tensor, Tensor], Tensor],
    z: Tensor,
    alpha_bars: Tensor,
    eta: float = 0.0,
    rng: torch.Generator | None = None,
) -> Iterator[tuple[Tensor, Tensor]]:
    """From pure noise to pictures, one level after the other.

    Args:
        estimate: called with x_t and alpha_bar_t, gives the picture that it believes to be in x_t.
        z: the noise to begin with.
        alpha_bars: the levels of noise from 1 down, as a schedule or a part of one.
        eta: see ``ddim_step``.
        rng: the source of fresh noise; not needed if eta is 0.

    Yields:
        After each step x at the new level, and the estimate that led there; in the end they are the same.
    """
    if eta > 0 and rng is None:
        raise ValueError("fresh noise needs a source where eta is not 0: rng=torch.Generator().manual_seed(0)")
    x = z
    levels = alpha_bars.to(z.dtype).flip(0)
    for now, before in itertools.pairwise(levels):
        picture = estimate(x, now)
        fresh = torch.randn(x.shape, generator=rng).to(x) if eta > 0 else torch.zeros_like(x)
        x = ddim_step(x, picture, now, before, fresh, eta)
        yield x, picture


def _last(way: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """Where a way ends. The last step alone is kept: a list of all would grow by the batch with every step."""
    ((_, x),) = collections.deque(way, maxlen=1)
    return x


def classifier_free_guidance(with_caption: Tensor, without: Tensor, scale: float) -> Tensor:
    """What the caption changes, taken ``scale`` times (Ho and Salimans 2022, eq. 6, with w = scale - 1).

    0 does not listen to the caption, 1 does as it was trained to, more listens harder.
    """
    return without + scale * (with_caption - without)


class Diffusion(nn.Module):
    """A diffusion model of pictures.

    Inside, a picture runs from -2 to 2, so that its numbers vary about as much as the noise does.

    Args:
        network: called with captions, x_t ``(n, 3, s, s)`` and alpha_bar ``(n,)``, gives what it predicts in the shape
            of x_t; ``network.language`` is the language of its captions.
        size: of the pictures, in pixels.
        alpha_bar: a schedule, ``(T + 1,)``, from 1 down.
        predicts: ``"noise"``, ``"picture"`` or ``"velocity"``.
    """

    BOUND = 2.0  # of a picture inside

    def __init__(self, network: nn.Module, size: int, alpha_bar: Tensor, predicts: str = "picture"):
        super().__init__()
        if alpha_bar.ndim != 1 or not (alpha_bar.diff() < 0).all() or not 0 <= alpha_bar[-1] < alpha_bar[0] == 1:
            raise ValueError(
                "a schedule is one row of alpha_bar that falls at every step, from 1 to 0 or a little more"
            )
        if predicts not in ("noise", "picture", "velocity"):
            raise ValueError(f"a network can predict noise, picture or velocity, not {predicts!r}")
        self.network, self.predicts = network, predicts
        self.register_buffer("alpha_bar", alpha_bar.float(), persistent=False)
        self.latent_shape = (3, size, size)

    def inside(self, pictures: Tensor, captions: Sequence[str]) -> Tensor:
        """What is diffused, for pictures ``(n, 3, s, s)`` in [0, 1]."""
        return 4 * pictures - 2

    def outside(self, x: Tensor, captions: Sequence[str]) -> Tensor:
        """The pictures that x stands for: the inverse of ``inside``."""
        return (x + 2) / 4

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The error of the network at a random step for each picture of ``(n, 3, s, s)`` in [0, 1]."""
        return self.loss_inside(self.inside(pictures, captions), captions, rng)

    def loss_inside(self, x: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The same for what ``inside`` gave."""
        alpha_bar = self.alpha_bar[torch.randint(1, len(self.alpha_bar), (len(x), 1, 1, 1), generator=rng).to(x.device)]
        noise = torch.randn(x.shape, generator=rng).to(x)
        return self.error(x, captions, alpha_bar, noise)

    def error(self, x: Tensor, captions: Sequence[str], alpha_bar: Tensor, noise: Tensor) -> Tensor:
        """``denoising_loss`` for given noise, where x is what ``inside`` gave and alpha_bar ``(n, 1, 1, 1)``."""
        return denoising_loss(self.network, captions, x, alpha_bar, noise, self.predicts)

    def estimate(self, x_t: Tensor, alpha_bar: Tensor, captions: Sequence[str], guidance: float = 1.0) -> Tensor:
        """The picture in x_t, as it is inside: ``(n, ...)`` and one alpha_bar for all to ``(n, ...)``."""
        levels = alpha_bar.expand(len(x_t))
        prediction = self.network(captions, x_t, levels)
        if guidance != 1:
            nothing = [self.network.language.captions[0]] * len(x_t)  # the caption that leaves everything open
            prediction = classifier_free_guidance(prediction, self.network(nothing, x_t, levels), guidance)
        return to_picture(self.predicts, prediction, x_t, alpha_bar).clamp(-self.BOUND, self.BOUND)

    @torch.no_grad()
    def trajectory(
        self,
        captions: Sequence[str],
        z: Tensor | None = None,
        rng: torch.Generator | None = None,
        steps: int = 20,
        eta: float = 0.0,
        guidance: float = 1.0,
        spacing: str = "linear",
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The whole way of ``sample``: after each step x_t, and the picture that the network saw in the x_t before.

        Yields:
            x_t as the network sees it, ``(n, ...)``, and a picture in [0, 1], ``(n, 3, s, s)``.
        """
        for x, picture in self._way(captions, z, rng, steps, eta, guidance, spacing):
            yield x, self.outside(picture, captions)

    @torch.no_grad()
    def sample(
        self,
        captions: Sequence[str],
        z: Tensor | None = None,
        rng: torch.Generator | None = None,
        steps: int = 20,
        eta: float = 0.0,
        guidance: float = 1.0,
        spacing: str = "linear",
    ) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1].

        Args:
            captions: n of them.
            z: the noise to begin with, ``(n, *latent_shape)``, standard normal, drawn with rng if None.
            rng: of z, and of fresh noise where eta is not 0.
            steps: of denoising, at most T.
            eta: 0 for DDIM, which makes one picture of one z; 1 for DDPM.
            guidance: see ``classifier_free_guidance``; other than 1 takes two evaluations a step.
            spacing: see ``spaced``.
        """
        x = _last(self._way(captions, z, rng, steps, eta, guidance, spacing))
        return self.outside(x, captions).clamp(0, 1)

    @torch.no_grad()
    def sample_inside(self, captions: Sequence[str], z: Tensor, steps: int = 20, spacing: str = "linear") -> Tensor:
        """Where DDIM leads from z: what ``sample`` makes pictures of, as it is inside, ``(n, *latent_shape)``."""
        return _last(self._way(captions, z, None, steps, 0.0, 1.0, spacing))

    def _way(
        self,
        captions: Sequence[str],
        z: Tensor | None,
        rng: torch.Generator | None,
        steps: int,
        eta: float,
        guidance: float,
        spacing: str,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        levels = self.alpha_bar[spaced(steps, len(self.alpha_bar) - 1, spacing)]
        z = latent(z, len(captions), self.latent_shape, rng).to(levels.device)

        def estimate(x_t: Tensor, alpha_bar: Tensor) -> Tensor:
            return self.estimate(x_t, alpha_bar, captions, guidance)

        return denoise(estimate, z, levels, eta, rng)
