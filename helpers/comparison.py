"""The same seconds, dogs and judge for every family of the course.

``python -m helpers.comparison`` trains each for several seeds and budgets on one core, and keeps the table in
``data/comparison.json``. A broken run goes on where it stopped. All seconds are seconds of work of that core.
"""

import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributions import Normal

from helpers import dogs, figures, judge, palette
from helpers.checkpoints import RECIPES, Recipe, Stage
from helpers.models.diffusion import Diffusion, add_noise
from helpers.models.independent import IndependentPixels
from helpers.models.vae import VAE, log_likelihood, reparameterise
from helpers.tables import Row, Table
from helpers.training import train

DATA = Path(__file__).parent.parent / "data"
SIZE = 16  # of all pictures, in pixels
JUDGED = 500  # pictures of each model
PLAN = {"seconds": [10, 40], "seeds": [0, 1, 2], "threads": 1, "pictures_judged": JUDGED, "size": SIZE}
TABLE = Table(DATA / "comparison.json", PLAN, "python -m helpers.comparison")  # a row: family, seed and seconds


def build_independent(rng: torch.Generator | None) -> IndependentPixels:
    """Notebook 3's model of all pixels in one go, with as many colours as notebook 2's GPT."""
    colours = palette.fit(dogs.draw(dogs.sample_scenes(2000, rng), SIZE), 64, rng) if rng else torch.zeros(64, 3)
    return IndependentPixels(dogs.LANGUAGE, colours, SIZE)


# All but the first as they are shipped, but for the time they have, and without a second training.
FAMILIES = {"independent": Recipe(build_independent, SIZE, (Stage({"lr": 3e-3}, 64),)), **RECIPES}


def train_family(family: str, seed: int, **budget: float) -> tuple[nn.Module, int]:
    """A model of a family and the number of its steps, after a budget of ``seconds=...`` or ``steps=...``.

    Raises:
        KeyError: no such family.
    """
    if family not in FAMILIES:
        raise KeyError(f"there is no family {family!r}; there are {', '.join(FAMILIES)}")
    recipe = FAMILIES[family]
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    return train_stage(recipe.at_once, recipe.build(rng), recipe.size, rng, **budget)


def train_stage(
    stage: Stage, model: nn.Module, size: int, rng: torch.Generator, **budget: float
) -> tuple[nn.Module, int]:
    """A model after one stage of another length, ``seconds=...`` of work or ``steps=...``, and the number of its steps.

    What a stage makes before the training is not in the budget. The shipped models average over a thousand steps, which
    some do not make in so short a time; these average over a hundred.
    """
    learner, loss = stage.begin(model, size, rng)
    options = stage.budget | {"steps": None, "ema_decay": 0.99, "clock": time.process_time} | budget
    return learner, len(train(learner, loss, rng, **options))


def measured(sample: Callable[[list[str], torch.Generator], Tensor], seed: int) -> dict[str, float]:
    """The judge's figures for ``JUDGED`` pictures of ``sample(captions, rng)``, their sharpness, and the speed.

    The captions are the same for all that is measured with one seed.
    """
    rng = torch.Generator().manual_seed(1000 + seed)
    captions = dogs.LANGUAGE.sample(JUDGED, rng)
    start = time.process_time()
    pictures = sample(captions, rng)
    seconds = time.process_time() - start
    score = judge.score(pictures, captions, torch.Generator().manual_seed(2000 + seed))
    return {
        "valid": score.valid,
        "faithful": score.faithful,
        "coverage": score.coverage,
        "coverage_of_real": score.coverage_of_real,
        "fd_dogs": score.fd_dogs,
        "sharpness": figures.sharpness(pictures),
        "pictures_per_second": JUDGED / seconds,
    }


def measured_family(family: str, seed: int, seconds: float) -> Iterator[Row]:
    """What ``TABLE`` says of a family."""
    model, steps = train_family(family, seed, seconds=seconds)
    yield {"steps": steps, **measured(lambda captions, rng: model.sample(captions, rng=rng), seed)}


def run(table: Table = TABLE) -> None:
    """Train and measure whatever the table does not have yet."""
    axes = itertools.product(table.plan["seeds"], table.plan["seconds"], FAMILIES)
    cells = [{"family": family, "seed": seed, "seconds": seconds} for seed, seconds, family in axes]
    table.fill(cells, measured_family)


def mean_and_covariance(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean ``(d,)`` and covariance ``(d, d)`` of the crowd that n points ``(n, d)`` are drawn from, without bias."""
    mean = features.mean(0)
    away = features - mean
    return mean, away.T @ away / (len(features) - 1)


def frechet(mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor) -> Tensor:
    """The squared Frechet distance of two Gaussians, a scalar: means ``(d,)``, covariances ``(d, d)``.

    Dowson and Landau, "The Frechet Distance between Multivariate Normal Distributions", Journal of Multivariate
    Analysis 12, 1982, eq. 4; as a measure of pictures, Heusel et al. 2017, eq. 6.
    """
    roots = torch.linalg.eigvals(covariance @ other_covariance).real.clamp(min=0).sqrt()
    spreads = covariance.trace() + other_covariance.trace() - 2 * roots.sum()
    return (mean - other_mean).square().sum() + spreads


def vae_bound(vae: VAE, x: Tensor, captions: Sequence[str], draws: int, rng: torch.Generator) -> Tensor:
    """A lower bound of log p(x) in nats, averaged over ``(n, ...)``: with one draw of z that of notebook 5.

    More draws make it tighter (Burda, Grosse and Salakhutdinov, "Importance Weighted Autoencoders", ICLR 2016, eq. 8).
    The decoder's noise is as large as the error of these pictures, redrawn from the middle of q(z | x).
    """
    mu, log_var = vae.encode(x, captions)
    sigma = (vae.decoder(captions, mu) - x).square().mean().sqrt().item()
    logs = []
    for _ in range(draws):
        z = reparameterise(mu, log_var, rng)
        prior = Normal(0.0, 1.0).log_prob(z) - Normal(mu, (log_var / 2).exp()).log_prob(z)
        logs.append(log_likelihood(x, vae.decoder(captions, z), sigma) + prior.sum(1))
    return torch.stack(logs).logsumexp(0).mean() - math.log(draws)


def diffusion_bound(
    model: Diffusion, pictures: Tensor, captions: Sequence[str], steps: int, rng: torch.Generator
) -> Tensor:
    """A lower bound of log p in nats of what the model has inside, averaged over n pictures. More steps, tighter.

    Kingma, Salimans, Poole and Ho, "Variational Diffusion Models", NeurIPS 2021, eq. 11 and 13, with levels evenly
    spread over the logarithm of SNR from 5 to -10. That the last is not quite noise is left out: it is far below one
    nat.
    """
    x = model.inside(pictures, captions)
    snr = torch.linspace(5, -10, steps + 1).exp()
    alpha_bar = snr / (1 + snr)
    nats = x[0].numel() / 2 * (2 * math.pi * math.e / snr[0]).log()
    for level, (before, now) in zip(alpha_bar[1:], itertools.pairwise(snr), strict=True):
        guess = model.estimate(add_noise(x, torch.randn(x.shape, generator=rng), level), level, captions)
        nats = nats + (before - now) / 2 * (x - guess).square().flatten(1).sum(1).mean()
    return -nats


def evaluations(network: nn.Module, act: Callable[[], object]) -> int:
    """How often a network is asked while act() runs."""
    calls = []

    def listen(module: nn.Module, inputs: tuple, output: Tensor) -> None:
        calls.append(output)

    hook = network.register_forward_hook(listen)
    act()
    hook.remove()
    return len(calls)


def pareto_front(cost: Tensor) -> Tensor:
    """Which rows of ``(n, d)`` nobody beats, ``(n,)`` bool: no other is as good in all and better in one.

    Less is better.
    """
    as_good = (cost[:, None] <= cost[None]).all(2)  # (n, n): row i is as good as row j, in all
    better = (cost[:, None] < cost[None]).any(2)  # and better in one
    return ~(as_good & better).any(0)


if __name__ == "__main__":
    run()
