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
from helpers.models import hybrids
from helpers.models.autoregressive import PixelByPixel
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.flow import PictureFlow, initialise
from helpers.models.gan import GAN, Discriminator
from helpers.models.hybrids import OneStep, VectorDiscriminator, WithDiscriminator, noisy_pair, nothing
from helpers.models.latent_diffusion import LatentDiffusion, TextEncoder, VectorDenoiser, grid_vae
from helpers.models.masked import MaskedPixels
from helpers.models.vae import VAE, TwoStageVAE, log_likelihood, reparameterise
from helpers.training import train
from helpers.unet import Denoiser

FOLDER = Path(__file__).parent.parent / "data" / "checkpoints"


Batches = Callable[[torch.Generator], tuple[Any, list[str]]]  # what is learned from, and a caption for each


def fresh_dogs(model: nn.Module, stage: "Stage", size: int, rng: torch.Generator) -> Batches:
    """New dogs for every batch ``(n, 3, s, s)``, each with a caption that fits."""

    def batches(rng: torch.Generator) -> tuple[Tensor, list[str]]:
        captions = dogs.LANGUAGE.sample(stage.batch, rng)
        return dogs_beside(captions, model, size, rng), captions

    return batches


def dogs_beside(captions: list[str], model: nn.Module, size: int, rng: torch.Generator) -> Tensor:
    """A dog for each of n captions, ``(n, 3, size, size)``, drawn where the model is."""
    return dogs.draw(dogs.sample_scenes(captions, rng).to(next(model.parameters()).device), size)


def own_loss(model: nn.Module, x: Tensor, captions: list[str], rng: torch.Generator) -> Tensor:
    """The loss that the model, or the game, has itself."""
    return model.loss(x, captions, rng)


@dataclasses.dataclass(frozen=True)
class Stage:
    """One training: what learns, from what, by which loss, and for how long.

    Attributes:
        budget: what ``training.train`` is told: steps, learning rates and the like.
        batch: examples in a batch.
        data: where they come from: called with the model, this stage, the size of pictures and rng, gives batches.
        loss: called with what learns, a batch, its captions and rng.
        game: puts a discriminator, which is not stored, before the model, and gives what learns instead of it.
        encoded: examples that are made before the training, where they are not made for each batch.
    """

    budget: dict[str, Any]
    batch: int
    data: Callable[[nn.Module, "Stage", int, torch.Generator], Batches] = fresh_dogs
    loss: Callable[[nn.Module, Tensor, list[str], torch.Generator], Tensor] = own_loss
    game: Callable[[nn.Module], nn.Module] | None = None
    encoded: int | None = None

    def begin(
        self, model: nn.Module, size: int, rng: torch.Generator
    ) -> tuple[nn.Module, Callable[[nn.Module, torch.Generator], Tensor]]:
        """What learns, and the loss for ``training.train``. What is made before the training is made now."""
        batches = self.data(model, self, size, rng)

        def loss(learner: nn.Module, rng: torch.Generator) -> Tensor:
            return self.loss(learner, *batches(rng), rng)

        return self.game(model) if self.game else model, loss

    @property
    def words(self) -> dict[str, Any]:
        """The numbers that were chosen, as they stand in the metadata of a file."""
        return {"batch": self.batch, **self.budget} | ({"encoded": self.encoded} if self.encoded else {})


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How a model is made.

    Attributes:
        build: gives the untrained model, by the given randomness; without, an empty one, for weights to be loaded.
        size: of its pictures, in pixels.
        stages: its trainings, one after the other.
        seed: of the weights and of the batches.
        elsewhere: the part, by its path, that ``build`` takes from another model's file, and that is not stored again.
    """

    build: Callable[[torch.Generator | None], nn.Module]
    size: int
    stages: tuple[Stage, ...]
    seed: int = 0
    elsewhere: str | None = None

    def stores(self, key: str) -> bool:
        """Whether the weight of this name stands in the file of this model."""
        return self.elsewhere is None or not key.startswith(f"{self.elsewhere}.")

    @property
    def at_once(self) -> Stage:
        """One training of all parts together, for comparisons: the first stage, but by the loss of the whole model."""
        return dataclasses.replace(self.stages[0], loss=own_loss, data=fresh_dogs)

    @property
    def words(self) -> dict[str, Any]:
        """What stands in the metadata of the file."""
        return {"seed": self.seed, "stages": [stage.words for stage in self.stages]}


# ---- What is learned from ----


def vectors_of_first_part(model: TwoStageVAE | PictureFlow, stage: Stage, size: int, rng: torch.Generator) -> Batches:
    """What the first part, which stays as it is, makes of dogs: for the second, which begins with their scale."""
    found, captions = encoded_dogs(
        lambda pictures, said: model.vectors(pictures, said, rng), model, stage.encoded, size, rng
    )
    if isinstance(model, PictureFlow):
        initialise(model.second, found[:2000], captions[:2000])  # so many are enough
    return some_of(found, captions, stage.batch)


def vectors_of_vae(model: LatentDiffusion, stage: Stage, size: int, rng: torch.Generator) -> Batches:
    """What the VAE makes of dogs, as it is inside. The model is told their mean and their standard deviation."""
    grids, captions = encoded_dogs(model.encode, model, stage.encoded, size, rng)
    model.standardise(grids)
    return some_of(model.standardised(grids), captions, stage.batch)


def vectors_inside(model: OneStep, stage: Stage, size: int, rng: torch.Generator) -> Batches:
    """The same for a model of one step, whose diffusion has been told."""
    return some_of(*encoded_dogs(model.diffusion.inside, model, stage.encoded, size, rng), stage.batch)


def pairs(model: OneStep, stage: Stage, size: int, rng: torch.Generator) -> Batches:
    """Where ten steps lead from a z, with that z: ``(n, 2, *latent_shape)``."""
    captions = dogs.LANGUAGE.sample(stage.encoded, rng)
    z = torch.randn(stage.encoded, *model.latent_shape, generator=rng)
    found = [
        model.diffusion.sample_inside(captions[k : k + 1000], z[k : k + 1000], steps=10, spacing="quadratic")
        for k in trange(0, stage.encoded, 1000, desc="taking ten steps", leave=False)
    ]
    led = torch.cat(found)
    return some_of(torch.stack([led, z.to(led.device)], dim=1), captions, stage.batch)


def encoded_dogs(
    encode: Callable[[Tensor, list[str]], Tensor], model: nn.Module, n: int, size: int, rng: torch.Generator
) -> tuple[Tensor, list[str]]:
    """What ``encode(pictures, captions)`` makes of n dogs, ``(n, ...)``, and their captions."""
    captions, found = dogs.LANGUAGE.sample(n, rng), []
    for k in tqdm(range(0, n, 500), desc="encoding", leave=False):
        some = captions[k : k + 500]
        with torch.no_grad():
            found.append(encode(dogs_beside(some, model, size, rng), some))
    return torch.cat(found), captions


def some_of(found: Tensor, captions: list[str], n: int) -> Batches:
    """Batches of n of what was found, each with its caption; one may come twice."""

    def batches(rng: torch.Generator) -> tuple[Tensor, list[str]]:
        rows = torch.randint(len(found), (n,), generator=rng)
        return found[rows.to(found.device)], [captions[row] for row in rows.tolist()]

    return batches


def vectors_beside_dogs(model: PictureDecoder, stage: Stage, size: int, rng: torch.Generator) -> Batches:
    """New dogs ``(n, 3, s, s)``, after a vector of each that the VAE drew when it saw the same dog at 16 pixels."""
    device = next(model.parameters()).device
    vae = load("vae").first.to(device)

    def batches(rng: torch.Generator) -> tuple[tuple[Tensor, Tensor], list[str]]:
        captions = dogs.LANGUAGE.sample(stage.batch, rng)
        scenes = dogs.sample_scenes(captions, rng).to(device)
        with torch.no_grad():
            z = reparameterise(*vae.encode(dogs.draw(scenes, 16), captions), rng)
        return (z, dogs.draw(scenes, size)), captions

    return batches


def redrawing_loss(
    model: PictureDecoder, x: tuple[Tensor, Tensor], captions: list[str], rng: torch.Generator
) -> Tensor:
    """Of vectors and the dogs that they stand for, in nats for each number of a picture."""
    z, pictures = x
    return -log_likelihood(pictures, model(captions, z)).mean() / pictures[0].numel()


def distillation_loss(model: OneStep, x: Tensor, captions: list[str], rng: torch.Generator) -> Tensor:
    """Of ``pairs``."""
    return hybrids.distillation_loss(model, x[:, 0], captions, x[:, 1])


# ---- The models ----


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


def build_masked(rng: torch.Generator | None) -> MaskedPixels:
    """A U-Net over pixels of which some are hidden, in the colours of ``build_autoregressive``."""
    colours = load("autoregressive").palette if rng else torch.zeros(64, 3)
    return MaskedPixels(dogs.LANGUAGE, colours, size=16)


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
    vae = load("vae").first
    denoiser = VectorDenoiser(dogs.LANGUAGE, vae.latent_shape[0])
    return LatentDiffusion(vae, denoiser, size=16, alpha_bar=cosine_schedule(1000), predicts="velocity")


def build_one_step(rng: torch.Generator | None) -> OneStep:
    """The network of ``build_vector_diffusion``, which must be trained already, to be asked once."""
    model = OneStep(load("vector_diffusion") if rng else build_vector_diffusion(None))
    model.diffusion.network.requires_grad_(True)
    return model


def build_large_decoder(rng: torch.Generator | None) -> PictureDecoder:
    """From the vectors of the first of notebook 5's two VAEs, which must be there already, to 64 by 64 pixels."""
    return PictureDecoder(dogs.LANGUAGE, latent_size=16, size=64, width=112, fold=8)


def one_step_game(model: OneStep) -> WithDiscriminator:
    """The model against a discriminator that begins as the network of the diffusion."""
    model.diffusion.network.requires_grad_(True)
    opponent = VectorDiscriminator(load("vector_diffusion").network)
    return WithDiscriminator(model, opponent, besides=nothing, pair=noisy_pair, gamma=0)


GAME = {"lr": 3e-4, "betas": (0.0, 0.99)}  # two players that answer each other: no momentum
RECIPES = {
    "autoregressive": Recipe(
        build_autoregressive, 16, (Stage({"steps": 24_000, "lr": 4e-3, "muon_lr": 0.015, "bfloat16": True}, 8),)
    ),
    "diffusion": Recipe(build_diffusion, 16, (Stage({"steps": 15_000, "lr": 3e-3, "muon_lr": 0.02}, 64),)),
    "vae": Recipe(
        build_vae,
        16,
        (
            Stage({"steps": 20_000, "lr": 3e-3}, 64, loss=TwoStageVAE.first_loss),
            Stage({"steps": 24_000, "lr": 3e-3}, 256, vectors_of_first_part, TwoStageVAE.second_loss, encoded=50_000),
        ),
    ),
    "flow": Recipe(
        build_flow,
        16,
        (
            Stage({"steps": 16_000, "lr": 3e-3}, 64, loss=PictureFlow.first_loss),
            Stage({"steps": 17_000, "lr": 3e-3}, 256, vectors_of_first_part, PictureFlow.second_loss, encoded=150_000),
        ),
    ),
    "gan": Recipe(build_gan, 16, (Stage({"steps": 15_000, **GAME, "part_lr": {"discriminator": 1.2e-3}}, 32),)),
}
OF_VECTORS = {"data": vectors_of_vae, "loss": LatentDiffusion.loss_inside}
BEYOND = {
    "masked": Recipe(build_masked, 16, (Stage({"steps": 4_000, "lr": 3e-3, "muon_lr": 0.02}, 32),)),
    "grid_vae": Recipe(build_grid_vae, 32, (Stage({"steps": 8_000, "lr": 2e-3, "muon_lr": 0.02}, 32),)),
    "latent_diffusion": Recipe(
        build_latent_diffusion,
        32,
        (Stage({"steps": 16_000, "lr": 3e-3, "muon_lr": 0.02}, 64, **OF_VECTORS, encoded=50_000),),
    ),
    "vector_diffusion": Recipe(
        build_vector_diffusion,
        16,
        (Stage({"steps": 34_000, "lr": 3e-3, "muon_lr": 0.02}, 256, **OF_VECTORS, encoded=200_000),),
        elsewhere="vae",
    ),
    "large_decoder": Recipe(
        build_large_decoder,
        64,
        (
            Stage(
                {"steps": 13_000, "lr": 3e-3, "muon_lr": 0.02, "bfloat16": True},
                64,
                vectors_beside_dogs,
                redrawing_loss,
            ),
        ),
    ),
    "one_step": Recipe(
        build_one_step,
        16,
        (
            Stage(
                {"steps": 22_000, "lr": 2e-3, "muon_lr": 0.02, "bfloat16": True},
                256,
                pairs,
                distillation_loss,
                encoded=600_000,
            ),
            Stage(
                {"steps": 15_000, **GAME, "part_lr": {"discriminator": 1e-3}, "bfloat16": True},
                256,
                vectors_inside,
                game=one_step_game,
                encoded=200_000,
            ),
        ),
        elsewhere="diffusion.vae",
    ),
}
MODELS = RECIPES | BEYOND


def load(name: str, file: Path | None = None) -> nn.Module:
    """A trained model, ready to sample.

    Args:
        name: one of ``MODELS``.
        file: of the weights; the one that the course ships, if None.

    Raises:
        KeyError: no model of that name.
        FileNotFoundError, ValueError: the file is missing, cut short or of another model.
    """
    return _loaded(name, file or FOLDER / f"{name}.safetensors").eval().requires_grad_(False)


def enlarged(model: nn.Module) -> nn.Module:
    """The same model with another decoder: the vectors that it decides on are drawn with 64 by 64 pixels.

    Args:
        model: ``vae``, ``vector_diffusion`` or ``one_step``, which share their vectors; is changed in place.

    Raises:
        ValueError: the model has no VAE with vectors of this kind.
    """
    decoder = load("large_decoder").to(next(model.parameters()).device)
    vae = next((part for part in model.modules() if isinstance(part, VAE)), None)
    if vae is None or vae.latent_shape != decoder.latent_shape:
        raise ValueError("the large decoder draws the vectors of vae, vector_diffusion and one_step, and no others")
    vae.decoder = decoder
    return model


def _loaded(name: str, file: Path) -> nn.Module:
    """The model with the weights of a file, ready to learn on."""
    if name not in MODELS:
        raise KeyError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    if not file.exists():
        raise FileNotFoundError(f"{file} is missing; `python -m helpers.checkpoints {name}` makes it")
    try:
        with safe_open(file, "pt") as stored:
            weights = {key: stored.get_tensor(key).float() for key in stored.keys()}  # noqa: SIM118 (not a dict)
    except SafetensorError as error:
        raise ValueError(f"{file} is damaged or cut short: {error}. Take it from the course again") from error
    model = MODELS[name].build(None)
    try:
        model.load_state_dict(
            weights | {key: tensor for key, tensor in model.state_dict().items() if not MODELS[name].stores(key)}
        )
    except RuntimeError as error:
        why = textwrap.shorten(str(error), 300, placeholder=" ...")  # hundreds of names, if nothing fits
        raise ValueError(f"{file} holds the weights of another model than {name!r}: {why}") from error
    return model


def make(name: str, device: str = "cpu") -> None:
    """Train a model by its recipe, stage after stage, and store it as 16-bit floats. A broken run goes on.

    Raises:
        ValueError: a broken run of another recipe is in the way.
    """
    recipe, cache = MODELS[name], FOLDER.parent / "cache"
    parts = [cache / f"{name}_stage_{k + 1}.safetensors" for k in range(len(recipe.stages) - 1)]
    files, before = [*parts, FOLDER / f"{name}.safetensors"], None
    start = time.monotonic()
    for k, (stage, file) in enumerate(zip(recipe.stages, files, strict=True)):
        if file not in parts or not _is_of(file, recipe):
            torch.manual_seed(recipe.seed + k)
            rng = torch.Generator().manual_seed(recipe.seed + k)
            model = (_loaded(name, before) if before else recipe.build(rng)).to(device)
            learner, loss = stage.begin(model, recipe.size, rng)
            losses = train(learner, loss, rng, checkpoint=cache / f"{name}_in_training.pt", **stage.budget)
            store(model, file, name)
        before = file
    for file in parts:
        file.unlink()
    print(f"{name}: {len(losses)} steps in {time.monotonic() - start:.0f} s, last loss {sum(losses[-100:]) / 100:.4f}")


def _is_of(file: Path, recipe: Recipe) -> bool:
    """Whether the file is there, with a model that has been through some of the stages of this recipe."""
    if not file.exists():
        return False
    with safe_open(file, "pt") as stored:
        if stored.metadata()["recipe"] != json.dumps(recipe.words):
            raise ValueError(f"{file} is a part of a model by another recipe; delete it to start anew")
    return True


def store(model: nn.Module, file: Path, name: str) -> None:
    """Keep the weights as 16-bit floats, with what made them beside them."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    metadata = {"made_by": f"python -m helpers.checkpoints {name}", "recipe": json.dumps(MODELS[name].words)}
    own = {key: tensor for key, tensor in model.state_dict().items() if MODELS[name].stores(key)}
    weights = {key: tensor.half().contiguous().cpu() for key, tensor in own.items()}
    save_file(weights, partial, metadata)
    os.replace(partial, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="*", choices=[*MODELS, []], help="which to make (all, if not given)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or mps: where to train, and to draw the dogs")
    options = parser.parse_args()
    for chosen in options.name or MODELS:
        make(chosen, options.device)
