"""The trained models that the course ships: how each is made, and how it is loaded.

``python -m helpers.checkpoints`` trains them all again, ``python -m helpers.checkpoints autoregressive`` one. A broken
run goes on where it stopped. ``RECIPES`` has one model for each family, all at the same size, so that they can be
compared; ``BEYOND`` has what the later notebooks build on them.
"""

import argparse
import dataclasses
import json
import os
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm.auto import tqdm, trange

from helpers import dogs, palette
from helpers.layers import PictureDecoder
from helpers.models.autoregressive import PixelByPixel
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.flow import PictureFlow
from helpers.models.gan import GAN, Discriminator
from helpers.models.hybrids import OneStep, VectorDiscriminator, WithDiscriminator, nothing
from helpers.models.latent_diffusion import LatentDiffusion, TextEncoder, VectorDenoiser, grid_vae
from helpers.models.vae import VAE, TwoStageVAE
from helpers.training import train
from helpers.unet import Denoiser

FOLDER = Path(__file__).parent.parent / "data" / "checkpoints"


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is made.

    Attributes:
        build: gives the untrained model, by the given randomness; without, an empty one, for weights to be loaded.
        size: of its pictures, in pixels.
        batch: pictures in a batch.
        budget: what ``training.train`` is told: steps, learning rates and the like.
        second: the same for a second training, see ``second_training``. With one of ``model.second`` the first is of
            ``model.first_loss``, and leaves that part alone. None: there is one training, of ``model.loss``.
        game: puts a discriminator, which is not stored, before the model for the second training.
        pairs: that a model of one step learns from: a z, and where a teacher's steps lead from it.
        encoded: dogs whose vectors a model of vectors, or a second training, learns from.
        seed: of the weights and of the batches.
    """

    build: Callable[[torch.Generator | None], nn.Module]
    size: int
    batch: int
    budget: dict[str, Any]
    second: dict[str, Any] | None = None
    game: Callable[[nn.Module], nn.Module] | None = None
    pairs: int | None = None
    encoded: int | None = None
    seed: int = 0

    @property
    def words(self) -> dict[str, Any]:
        """What stands in the metadata of the file: everything that was chosen but ``build`` and ``game``."""
        vectors = {"second": self.second, "pairs": self.pairs, "encoded": self.encoded}
        given = {name: value for name, value in vectors.items() if value is not None}
        return {"seed": self.seed, "batch": self.batch, **self.budget, **given}


def build_autoregressive(rng: torch.Generator | None) -> PixelByPixel:
    """A GPT of four layers over 64 colours at 16 by 16 pixels."""
    colours = palette.fit(dogs.draw(dogs.sample_scenes(2000, rng), 16), 64, rng) if rng else torch.zeros(64, 3)
    return PixelByPixel(dogs.LANGUAGE, colours, size=16)


def build_diffusion(rng: torch.Generator | None) -> Diffusion:
    """A small U-Net that predicts pictures, on a cosine schedule of 1,000 steps, at 16 by 16 pixels."""
    return Diffusion(Denoiser(dogs.LANGUAGE, size=16, width=80), size=16, alpha_bar=cosine_schedule(1000))


def build_vae(rng: torch.Generator | None) -> TwoStageVAE:
    """Two VAEs, one on the other, with sixteen numbers between them, at 16 by 16 pixels."""
    return TwoStageVAE(dogs.LANGUAGE, latent_size=16, size=16)


def build_flow(rng: torch.Generator | None) -> PictureFlow:
    """A flow through a passage of sixteen numbers, at 16 by 16 pixels."""
    return PictureFlow(dogs.LANGUAGE, size=16)


def build_gan(rng: torch.Generator | None) -> GAN:
    """A decoder of sixty-four numbers and its opponent, at 16 by 16 pixels."""
    generator = PictureDecoder(dogs.LANGUAGE, latent_size=64, size=16, width=48)
    return GAN(generator, Discriminator(dogs.LANGUAGE, size=16, width=48), latent_size=64, gamma=0.3)


def build_grid_vae(rng: torch.Generator | None) -> VAE:
    """From 32 by 32 pixels to 8 by 8 points of four numbers, and back."""
    return grid_vae(size=32)


def build_latent_diffusion(rng: torch.Generator | None) -> LatentDiffusion:
    """A U-Net over the grids of ``grid_vae``, which must be there already, and a text encoder that learns with it."""
    vae = load("grid_vae") if rng else build_grid_vae(None)
    return LatentDiffusion(vae, latent_denoiser(), size=32, alpha_bar=cosine_schedule(1000))


def latent_denoiser() -> Denoiser:
    """The U-Net of ``build_latent_diffusion``: one grid of 4 by 4 points, where every point sees every other."""
    text = TextEncoder(dogs.LANGUAGE, Denoiser.CONDITION)
    return Denoiser(dogs.LANGUAGE, size=8, caption=text, channels=4, width=128, levels=1, blocks=2)


def build_vector_diffusion(rng: torch.Generator | None) -> LatentDiffusion:
    """Dense layers over the sixteen numbers of the first of notebook 5's two VAEs, which must be there already."""
    vae = (load("vae") if rng else build_vae(None)).first
    denoiser = VectorDenoiser(dogs.LANGUAGE, vae.latent_shape[0])
    return LatentDiffusion(vae, denoiser, size=16, alpha_bar=cosine_schedule(1000), predicts="velocity")


def build_one_step(rng: torch.Generator | None) -> OneStep:
    """The network of ``build_vector_diffusion``, which must be trained already, to be asked once."""
    model = OneStep(load("vector_diffusion") if rng else build_vector_diffusion(None))
    model.diffusion.network.requires_grad_(True)
    return model


def one_step_game(model: OneStep) -> WithDiscriminator:
    """The model against a discriminator that begins as the network of the diffusion."""
    model.diffusion.network.requires_grad_(True)
    opponent = VectorDiscriminator(load("vector_diffusion").network)
    return WithDiscriminator(model, opponent, besides=nothing, pair=OneStep.noisy_pair, gamma=0)


RECIPES = {
    "autoregressive": Recipe(
        build_autoregressive,
        size=16,
        batch=8,
        budget={"steps": 24_000, "lr": 4e-3, "muon_lr": 0.015, "bfloat16": True},
    ),
    "diffusion": Recipe(build_diffusion, size=16, batch=64, budget={"steps": 15_000, "lr": 3e-3, "muon_lr": 0.02}),
    "vae": Recipe(
        build_vae,
        size=16,
        batch=64,
        budget={"steps": 20_000, "lr": 3e-3},
        second={"steps": 24_000, "lr": 3e-3},
        encoded=50_000,
    ),
    "flow": Recipe(
        build_flow,
        size=16,
        batch=64,
        budget={"steps": 16_000, "lr": 3e-3},
        second={"steps": 17_000, "lr": 3e-3},
        encoded=150_000,
    ),
    "gan": Recipe(
        build_gan,
        size=16,
        batch=32,
        budget={"steps": 15_000, "lr": 3e-4, "part_lr": {"discriminator": 1.2e-3}, "betas": (0.0, 0.99)},
    ),
}
BEYOND = {
    "grid_vae": Recipe(build_grid_vae, size=32, batch=32, budget={"steps": 8_000, "lr": 2e-3, "muon_lr": 0.02}),
    "latent_diffusion": Recipe(
        build_latent_diffusion,
        size=32,
        batch=64,
        budget={"steps": 16_000, "lr": 3e-3, "muon_lr": 0.02},
        encoded=50_000,
    ),
    "vector_diffusion": Recipe(
        build_vector_diffusion,
        size=16,
        batch=256,
        budget={"steps": 34_000, "lr": 3e-3, "muon_lr": 0.02},
        encoded=200_000,
    ),
    "one_step": Recipe(
        build_one_step,
        size=16,
        batch=256,
        budget={"steps": 22_000, "lr": 2e-3, "muon_lr": 0.02, "bfloat16": True},
        second={
            "steps": 15_000,
            "lr": 3e-4,
            "part_lr": {"discriminator": 1e-3},
            "betas": (0.0, 0.99),
            "bfloat16": True,
        },
        game=one_step_game,
        pairs=600_000,
        encoded=200_000,
    ),
}
MODELS = RECIPES | BEYOND
VECTORS = 4  # times as many of them in a batch as pictures


def load(name: str, file: Path | None = None) -> nn.Module:
    """A trained model, ready to sample.

    Args:
        name: one of ``MODELS``.
        file: of the weights; the one that the course ships, if None.

    Raises:
        KeyError: no model of that name.
        FileNotFoundError, ValueError: the file is missing, cut short or of another model.
    """
    if name not in MODELS:
        raise KeyError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    file = file or FOLDER / f"{name}.safetensors"
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; `python -m helpers.checkpoints {name}` makes it")
    try:
        with safe_open(file, "pt") as stored:
            weights = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or cut short: {error}. Take it from the course again") from error
    model = MODELS[name].build(None)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        why = textwrap.shorten(str(error), 300, placeholder=" ...")  # hundreds of names, if nothing fits
        raise ValueError(f"{file} holds the weights of another model than {name!r}: {why}") from error
    return model.eval().requires_grad_(False)


def loss_of(recipe: Recipe, first: bool = False) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The loss for ``training.train``: of a fresh batch of dogs, each with a caption that fits.

    Args:
        recipe: of the model.
        first: ``model.first_loss`` and not ``model.loss``, for the first of two trainings.
    """

    def loss(model: nn.Module, rng: torch.Generator) -> Tensor:
        captions = dogs.LANGUAGE.sample(recipe.batch, rng)
        pictures = dogs.draw(dogs.sample_scenes(captions, rng), recipe.size)
        return (model.first_loss if first else model.loss)(pictures, captions, rng)

    return loss


def encoded_dogs(
    encode: Callable[[Tensor, list[str]], Tensor], size: int, rng: torch.Generator, n: int
) -> tuple[list[str], Tensor]:
    """n captions, and what ``encode(pictures, captions)`` makes of a dog for each, ``(n, ...)``."""
    captions = dogs.LANGUAGE.sample(n, rng)
    found = []
    for k in tqdm(range(0, n, 500), desc="encoding", leave=False):
        some = captions[k : k + 500]
        with torch.no_grad():
            found.append(encode(dogs.draw(dogs.sample_scenes(some, rng), size), some))
    return captions, torch.cat(found)


def some_of(vectors: Tensor, captions: list[str], n: int, rng: torch.Generator) -> tuple[Tensor, list[str]]:
    """n of the vectors, each with its caption; one may come twice."""
    rows = torch.randint(len(vectors), (n,), generator=rng)
    return vectors[rows], [captions[row] for row in rows.tolist()]


def latent_loss_of(
    recipe: Recipe, model: LatentDiffusion, rng: torch.Generator
) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The same for a model of vectors: of dogs that are drawn and encoded once, before the training.

    The model is told the mean and the standard deviation of their vectors.
    """
    captions, grids = encoded_dogs(model.encode, recipe.size, rng, recipe.encoded)
    model.standardise(grids)
    vectors = model.standardised(grids)  # (n, channels, s / 4, s / 4)

    def loss(model: nn.Module, rng: torch.Generator) -> Tensor:
        return model.loss_inside(*some_of(vectors, captions, recipe.batch, rng), rng)

    return loss


def distillation_loss_of(
    recipe: Recipe, model: OneStep, rng: torch.Generator
) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The loss for the first training of a model of one step: of where ten steps, as it begins, lead from many z."""
    captions = dogs.LANGUAGE.sample(recipe.pairs, rng)
    z = torch.randn(recipe.pairs, *model.latent_shape, generator=rng)
    found = [
        model.diffusion.sample_inside(captions[k : k + 1000], z[k : k + 1000], steps=10, spacing="quadratic")
        for k in trange(0, recipe.pairs, 1000, desc="taking ten steps", leave=False)
    ]
    pairs = torch.stack([torch.cat(found), z], dim=1)  # (n, 2, *latent_shape)

    def loss(model: nn.Module, rng: torch.Generator) -> Tensor:
        some, said = some_of(pairs, captions, recipe.batch, rng)
        return model.distillation_loss(some[:, 0], said, some[:, 1])

    return loss


def game_loss_of(
    recipe: Recipe, model: OneStep, rng: torch.Generator
) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The loss for the second: of a game about the vectors of dogs, which are drawn and encoded once."""
    captions, grids = encoded_dogs(model.diffusion.encode, recipe.size, rng, recipe.encoded)
    vectors = model.diffusion.standardised(grids)

    def loss(game: nn.Module, rng: torch.Generator) -> Tensor:
        return game.loss(*some_of(vectors, captions, recipe.batch, rng), rng)

    return loss


def vector_loss_of(
    recipe: Recipe, model: TwoStageVAE | PictureFlow, rng: torch.Generator
) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The loss for the second of two trainings: of what the first part, which stays as it is, makes of dogs.

    Several batches of dogs make one of vectors: they are small, and encoded only once.
    """
    captions, vectors = encoded_dogs(
        lambda pictures, said: model.vectors(pictures, said, rng), recipe.size, rng, recipe.encoded
    )
    if hasattr(model.second, "initialise"):
        model.second.initialise(vectors[:2000], captions[:2000])  # so many are enough

    def loss(second: nn.Module, rng: torch.Generator) -> Tensor:
        return model.second_loss(*some_of(vectors, captions, recipe.batch * VECTORS, rng), rng)

    return loss


def loss_for(recipe: Recipe, model: nn.Module, rng: torch.Generator) -> Callable[[nn.Module, torch.Generator], Tensor]:
    """The loss for the only training of a model, or for the first of two."""
    if isinstance(model, LatentDiffusion):
        return latent_loss_of(recipe, model, rng)
    if isinstance(model, OneStep):
        return distillation_loss_of(recipe, model, rng)
    return loss_of(recipe, first=recipe.second is not None)


def second_training(
    recipe: Recipe, model: nn.Module, rng: torch.Generator
) -> tuple[nn.Module, Callable[[nn.Module, torch.Generator], Tensor]]:
    """What learns in the second of two trainings, and its loss."""
    if recipe.game:
        return recipe.game(model), game_loss_of(recipe, model, rng)
    return model.second.requires_grad_(), vector_loss_of(recipe, model, rng)


def make(name: str) -> None:
    """Train a model by its recipe, once or twice, and store it as 16-bit floats.

    Raises:
        ValueError: a broken run of another recipe is in the way.
    """
    recipe = MODELS[name]
    final, cache = FOLDER / f"{name}.safetensors", FOLDER.parent / "cache"
    unfinished, halfway = cache / f"{name}_in_training.pt", cache / f"{name}_halfway.safetensors"
    start = time.monotonic()
    if halfway.exists():
        with safe_open(halfway, "pt") as stored:
            if stored.metadata()["recipe"] != json.dumps(recipe.words):
                raise ValueError(f"{halfway} is half of a model by another recipe; delete it to start anew")
    else:
        torch.manual_seed(recipe.seed)
        rng = torch.Generator().manual_seed(recipe.seed)
        model = recipe.build(rng)
        losses = train(model, loss_for(recipe, model, rng), rng, checkpoint=unfinished, **recipe.budget)
        store(model, halfway if recipe.second else final, name)
    if recipe.second:
        torch.manual_seed(recipe.seed + 1)
        rng = torch.Generator().manual_seed(recipe.seed + 1)
        model = load(name, halfway)
        part, loss = second_training(recipe, model, rng)
        losses = train(part, loss, rng, checkpoint=unfinished, **recipe.second)
        store(model, final, name)
        halfway.unlink()
    print(f"{name}: {len(losses)} steps in {time.monotonic() - start:.0f} s, last loss {sum(losses[-100:]) / 100:.4f}")


def store(model: nn.Module, file: Path, name: str) -> None:
    """Keep the weights as 16-bit floats, with what made them beside them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    metadata = {"made_by": f"python -m helpers.checkpoints {name}", "recipe": json.dumps(MODELS[name].words)}
    save_file({key: tensor.half().contiguous() for key, tensor in model.state_dict().items()}, partial, metadata)
    os.replace(partial, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*MODELS, []], help="which to make (all, if not given)")
    for chosen in parser.parse_args().name or MODELS:
        make(chosen)
