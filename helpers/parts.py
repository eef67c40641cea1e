"""What each part of a latent diffusion is worth: the whole, and the whole with a part taken away, on the same seconds.

``python -m helpers.parts`` trains each variant on one core and keeps the table in ``data/parts.json``. A broken run
goes on where it stopped. All seconds are seconds of work of that core.
"""

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from helpers import dogs, tables
from helpers.checkpoints import BEYOND, latent_denoiser, load, loss_for
from helpers.comparison import measured
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.latent_diffusion import LatentDiffusion
from helpers.training import train
from helpers.unet import Denoiser

FILE = Path(__file__).parent.parent / "data" / "parts.json"
PLAN = {"seconds": 120, "seeds": [0, 1], "threads": 1, "encoded": 20_000, "guidance": [1.0, 2.0]}
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
    model = build(variant)
    loss = loss_for(dataclasses.replace(RECIPE, encoded=encoded), model, rng)
    options = RECIPE.budget | {"steps": None, "ema_decay": 0.99, "clock": time.process_time}
    return model, len(train(model, loss, rng, **options | budget))


def rows_of(file: Path = FILE) -> tables.Rows:
    """The stored table: a row for each variant, seed and guidance. Raises what ``tables.load`` raises."""
    return tables.load(file, PLAN, "python -m helpers.parts")


def run(file: Path = FILE) -> None:
    """Train and measure whatever the table does not have yet."""
    torch.set_num_threads(PLAN["threads"])
    rows = rows_of(file) if file.exists() else []
    done = {(row["variant"], row["seed"]) for row in rows}
    for seed in PLAN["seeds"]:
        for variant in VARIANTS:
            if (variant, seed) in done:
                continue
            model, steps = train_variant(variant, seed, seconds=PLAN["seconds"])
            for guidance in PLAN["guidance"]:

                def sample(captions: list[str], rng: torch.Generator, model=model, guidance=guidance) -> Tensor:
                    return model.sample(captions, rng=rng, guidance=guidance)

                figures_of = measured(sample, seed)
                rows.append({"variant": variant, "seed": seed, "guidance": guidance, "steps": steps, **figures_of})
                print(f"{variant:16} seed {seed} guidance {guidance}: {steps:6,} steps, FD {figures_of['fd_dogs']:.0f}")
            tables.store(file, PLAN, rows)


if __name__ == "__main__":
    run()
