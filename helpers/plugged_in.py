"""Trained models that go on with a discriminator, against the same models that go on without one.

``python -m helpers.plugged_in`` gives each the same seconds of one core, for several seeds, and keeps the table in
``data/plugged_in.json``. A broken run goes on where it stopped. All seconds are seconds of work of that core.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import nn

from helpers import checkpoints, comparison, dogs
from helpers.checkpoints import GAME, Stage
from helpers.models.flow import PictureFlow
from helpers.models.gan import Discriminator
from helpers.models.hybrids import FewSteps, StepDiscriminator, WithDiscriminator, nothing
from helpers.models.vae import VAE
from helpers.tables import Row, Table

SIZE, BATCH, WIDTH = 16, 32, 48  # pixels, pictures in a batch, channels of a discriminator
STEPS = 2  # of denoising
PLAN = {"seconds": 20, "seeds": [0, 1, 2], "threads": 1, "pictures_judged": comparison.JUDGED, "batch": BATCH}
TABLE = Table(comparison.DATA / "plugged_in.json", PLAN, "python -m helpers.plugged_in")  # a row: arm and seed
OPPONENT = {"part_lr": {"discriminator": 1.2e-3}}  # the paces of the players are those of notebook 8


def vae() -> VAE:
    """Notebook 5's VAE, without the second one that knows where its vectors are."""
    return checkpoints.load("vae").first


def flow() -> PictureFlow:
    """Notebook 6's flow."""
    return checkpoints.load("flow")


def few_steps() -> FewSteps:
    """Notebook 7's diffusion model, taking few steps."""
    return FewSteps(checkpoints.load("diffusion"), STEPS)


def discriminator() -> Discriminator:
    """One that has not seen anything yet."""
    return Discriminator(dogs.LANGUAGE, SIZE, WIDTH)


def discriminator_of_steps() -> StepDiscriminator:
    """The same for steps of denoising."""
    return StepDiscriminator(dogs.LANGUAGE, SIZE, WIDTH)


ARMS: dict[str, Callable[[], nn.Module]] = {
    "vae": vae,
    "vae + GAN": lambda: WithDiscriminator(vae(), discriminator()),
    "flow": flow,
    "flow + GAN": lambda: WithDiscriminator(flow(), discriminator()),
    "flow, GAN alone": lambda: WithDiscriminator(flow(), discriminator(), besides=nothing),
    "few steps": few_steps,
    "few steps + GAN": lambda: WithDiscriminator(
        few_steps(), discriminator_of_steps(), besides=nothing, pair=FewSteps.one_step
    ),
}


def train_arm(build: Callable[[], nn.Module], seed: int, **budget: float) -> tuple[nn.Module, int]:
    """What ``build`` gives, after a budget of ``seconds=...`` or ``steps=...``, and the number of its steps."""
    torch.manual_seed(seed)
    model = build().requires_grad_(True)
    opponent = OPPONENT if hasattr(model, "discriminator") else {}
    rng = torch.Generator().manual_seed(seed)
    return comparison.train_stage(Stage(GAME | opponent, BATCH), model, SIZE, rng, **budget)


@torch.no_grad()
def bits_per_dimension(flow: PictureFlow, seed: int) -> float:
    """What the flow pays for grainy dogs that it has not seen, on average over as many as are judged."""
    rng = torch.Generator().manual_seed(3000 + seed)
    captions = dogs.LANGUAGE.sample(comparison.JUDGED, rng)
    pictures = flow.grainy(dogs.draw(dogs.sample_scenes(captions, rng), SIZE), rng)
    return 8 - flow.log_prob(pictures, captions).mean().item() / pictures[0].numel() / math.log(2)


def run(table: Table = TABLE) -> None:
    """Train and measure whatever the table does not have yet."""

    def measured_arm(arm: str, seed: int) -> Iterator[Row]:
        model, steps = train_arm(ARMS[arm], seed, seconds=table.plan["seconds"])
        yield {"steps": steps, **measured(model, seed)}

    table.fill([{"arm": arm, "seed": seed} for seed in table.plan["seeds"] for arm in ARMS], measured_arm)


def measured(model: nn.Module, seed: int) -> dict[str, float]:
    """What the judge says of a model's pictures, and for a flow the bits per dimension."""
    row = comparison.measured(lambda captions, rng: model.sample(captions, rng=rng), seed)
    model = getattr(model, "model", model)
    return row | ({"bits_per_dimension": bits_per_dimension(model, seed)} if isinstance(model, PictureFlow) else {})


if __name__ == "__main__":
    run()
