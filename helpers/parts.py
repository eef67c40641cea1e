"""What each part of a latent diffusion is worth: the whole, and the whole with a part taken away, on the same seconds.

``python -m helpers.parts`` trains each variant on one core and keeps the table in ``data/parts.json``. A broken run
goes on where it stopped. All seconds are seconds of work of that core.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from helpers import dogs
from helpers.checkpoints import BEYOND, latent_denoiser, load
from helpers.comparison import DATA, measured, train_stage
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.latent_diffusion import LatentDiffusion
from helpers.tables import Row, Table
from helpers.unet import Denoiser

PLAN = {"seconds": 120, "seeds": [0, 1], "threads": 1, "encoded": 20_000, "guidance": [1.0, 2.0]}
TABLE = Table(DATA / "parts.json", PLAN, "python -m helpers.parts")  # a row: variant, seed and guidance
RECIPE = BEYOND["latent_diffusion"]
VARIANTS = ("whole", "no text encoder", "no VAE")


class Deaf(nn.Module):
    """Stands where a text encoder would, and says the same of every caption."""

    def forward(self, captions: Sequence[str]) -> Tensor:
        """``n`` captions to zeros ``(n, 128)``."""
        return torch.zeros(len(captions), Denoiser.CONDITION)


def build(variant: str) -> Diffusion:
    """An untrained model; the VAE in it, if it has one, is the shipped one.

    Raises:
        ValueError: no such variant.
    """
    if variant not in VARIANTS:
        raise ValueError(f"there is no variant {variant!r}; there are {', '.join(VARIANTS)}")
    network = latent_denoiser()
    if variant == "no VAE":
        # The U-Net of homework 6: grids of 16 x 16, 8 x 8 and 4 x 4 points.
        network = Denoiser(dogs.LANGUAGE, RECIPE.size, caption=network.caption, width=64, levels=3)
        return Diffusion(network, RECIPE.size, cosine_schedule(1000))
    if variant == "no text encoder":
        network.caption = Deaf()
    return LatentDiffusion(load("grid_vae"), network, RECIPE.size, cosine_schedule(1000))


def train_variant(variant: str, seed: int, encoded: int = PLAN["encoded"], **budget: float) -> tuple[Diffusion, int]:
    """A trained variant and the number of its steps, after a budget of ``seconds=...`` or ``steps=...``.

    Drawing and encoding the dogs whose vectors are learnt is not in the budget: it is done once, for every model.
    """
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    stage = RECIPE.at_once if variant == "no VAE" else dataclasses.replace(RECIPE.stages[0], encoded=encoded)
    return train_stage(stage, build(variant), RECIPE.size, rng, **budget)


def run(table: Table = TABLE) -> None:
    """Train and measure whatever the table does not have yet."""

    def measured_variant(variant: str, seed: int) -> Iterator[Row]:
        model, steps = train_variant(variant, seed, table.plan["encoded"], seconds=table.plan["seconds"])
        for guidance in table.plan["guidance"]:
            figures = measured(lambda captions, rng, by=guidance: model.sample(captions, rng=rng, guidance=by), seed)
            yield {"guidance": guidance, "steps": steps, **figures}

    table.fill(
        [{"variant": variant, "seed": seed} for seed in table.plan["seeds"] for variant in VARIANTS], measured_variant
    )


if __name__ == "__main__":
    run()
