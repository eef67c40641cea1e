"""Everything works on a GPU, shown without one: by tensors that have a shape and a device, but no numbers.

Torch's fake tensors refuse to work with tensors of another device, as a GPU would. So a tensor that was left behind on
the CPU is found on any machine.
"""

import dataclasses

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from helpers import checkpoints, dogs, judge, palette
from helpers.layers import Decoder, PictureDecoder, PictureEncoder
from helpers.models.autoregressive import PixelByPixel
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.flow import PictureFlow
from helpers.models.gan import GAN, Discriminator
from helpers.models.hybrids import (
    FewSteps,
    OneStep,
    StepDiscriminator,
    VectorDiscriminator,
    WithDiscriminator,
    distillation_loss,
    noisy_pair,
    nothing,
)
from helpers.models.independent import IndependentPixels
from helpers.models.latent_diffusion import LatentDiffusion, TextEncoder, VectorDenoiser, grid_vae
from helpers.models.masked import MaskedPixels
from helpers.models.vae import VAE, TwoStageVAE
from helpers.unet import Denoiser

ELSEWHERE = "lazy"  # the one device, besides the CPU, through which every build of torch can follow gradients
CAPTIONS = ["a running dog", "a small white dog running left on the sand"]
SIZE = 8
WORDS = dogs.LANGUAGE


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def vae():
    return VAE(PictureEncoder(WORDS, 8, SIZE, 8), PictureDecoder(WORDS, 4, SIZE, 8), 4)


def bare_vae():
    return VAE(PictureEncoder(WORDS, 8, SIZE, 8), Decoder(WORDS, 4, SIZE), 4, sigma=0.1)


def flow():
    return PictureFlow(WORDS, SIZE, width=8, steps=1)


def diffusion():
    return Diffusion(Denoiser(WORDS, SIZE, width=32), SIZE, cosine_schedule(20))


def grid_diffusion():
    text = TextEncoder(WORDS, Denoiser.CONDITION)
    network = Denoiser(WORDS, SIZE // 4, text, channels=4, width=32, levels=1)
    return LatentDiffusion(grid_vae(SIZE, width=8), network, SIZE, cosine_schedule(20))


def vector_diffusion():
    return LatentDiffusion(vae(), VectorDenoiser(WORDS, 4, 16), SIZE, cosine_schedule(20), "velocity")


def one_step():
    model = OneStep(vector_diffusion())
    model.diffusion.network.requires_grad_(True)
    opponent = VectorDiscriminator(model.diffusion.network, 8)
    return WithDiscriminator(model, opponent, besides=nothing, pair=noisy_pair)


def opponent():
    return Discriminator(WORDS, SIZE, 8)


BUILDERS = {
    "pixel by pixel": lambda: PixelByPixel(WORDS, torch.rand(16, 3), SIZE, width=16, layers=1),
    "independent pixels": lambda: IndependentPixels(WORDS, torch.rand(16, 3), SIZE, 16),
    "masked pixels": lambda: MaskedPixels(WORDS, torch.rand(16, 3), SIZE, width=32),
    "VAE": vae,
    "VAE of a bare decoder": bare_vae,
    "VAE of grids": lambda: grid_vae(SIZE, width=8),
    "two VAEs": lambda: TwoStageVAE(WORDS, 4, SIZE, 8),
    "flow": flow,
    "diffusion": diffusion,
    "GAN": lambda: GAN(PictureDecoder(WORDS, 4, SIZE, 8), opponent(), 4),
    "diffusion of grids": grid_diffusion,
    "diffusion of vectors": vector_diffusion,
    "VAE and opponent": lambda: WithDiscriminator(vae(), opponent()),
    "flow and opponent": lambda: WithDiscriminator(flow(), opponent()),
    "few steps and opponent": lambda: WithDiscriminator(
        FewSteps(diffusion(), 2), StepDiscriminator(WORDS, SIZE, 8), besides=nothing, pair=FewSteps.one_step
    ),
    "few steps alone": lambda: FewSteps(diffusion(), 2),
}


@pytest.fixture
def elsewhere():
    """A function that moves a tensor, or all that a module has, to a device that need not be there."""
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:

        def move(what):
            if isinstance(what, torch.Tensor):
                return mode.from_tensor(what).to(ELSEWHERE)
            for module in what.modules():
                for name, weight in module._parameters.items():
                    if weight is not None:
                        module._parameters[name] = nn.Parameter(move(weight.data))
                for name, buffer in module._buffers.items():
                    module._buffers[name] = move(buffer)
            return what

        yield move


def dogs_of(captions, size=SIZE):
    return dogs.draw(dogs.sample_scenes(captions, rng()), size)


@pytest.fixture
def seen():
    return dogs_of(CAPTIONS)


@pytest.fixture
def model(request):
    return request.param()


@pytest.mark.parametrize("model", BUILDERS.values(), ids=BUILDERS.keys(), indirect=True)
def test_a_model_learns_and_draws_where_its_weights_are(model, seen, elsewhere):
    model = elsewhere(model)
    loss = model.loss(elsewhere(seen), CAPTIONS, rng())
    loss.backward()
    assert loss.device.type == ELSEWHERE
    assert loss.ndim == 0
    shape = getattr(model, "model", model).latent_shape
    for told in ({"rng": rng()}, {"z": torch.randn(2, *shape)}):  # z may come from elsewhere
        drawn = model.sample(CAPTIONS, **told)
        assert drawn.device.type == ELSEWHERE
        assert drawn.shape == seen.shape


@pytest.mark.parametrize("model", [lambda: TwoStageVAE(WORDS, 4, SIZE, 8), flow], ids=["VAE", "flow"], indirect=True)
def test_the_second_of_two_trainings_learns_there_too(model, seen, elsewhere):
    model = elsewhere(model)
    assert model.first_loss(elsewhere(seen), CAPTIONS, rng()).device.type == ELSEWHERE
    vectors = model.vectors(elsewhere(seen), CAPTIONS, rng())
    assert vectors.device.type == ELSEWHERE
    model.second_loss(vectors, CAPTIONS, rng()).backward()


@pytest.mark.parametrize("model", [one_step], indirect=True)
def test_a_model_of_one_step_learns_from_both_of_its_teachers_there(model, seen, elsewhere):
    game = elsewhere(model)
    model = game.model
    z = torch.randn(2, *model.latent_shape)
    led = model.diffusion.sample_inside(CAPTIONS, z, steps=3)
    assert led.device.type == ELSEWHERE
    distillation_loss(model, led, CAPTIONS, z).backward()
    game.loss(model.diffusion.inside(elsewhere(seen), CAPTIONS), CAPTIONS, rng()).backward()
    assert game.sample(CAPTIONS, rng=rng()).device.type == ELSEWHERE


def test_what_is_enlarged_draws_there(elsewhere, monkeypatch):
    model, decoder = elsewhere(TwoStageVAE(WORDS, 16, 16, 8)), PictureDecoder(WORDS, 16, 64, 8, fold=8)
    monkeypatch.setattr(checkpoints, "load", lambda name: decoder)
    monkeypatch.setattr(nn.Module, "to", lambda self, device: elsewhere(self))  # of torch's, a fake device takes none
    drawn = checkpoints.enlarged(model).sample(CAPTIONS, rng=rng())
    assert drawn.device.type == ELSEWHERE
    assert drawn.shape == (2, 3, 64, 64)
    z = elsewhere(torch.randn(2, 16))
    checkpoints.redrawing_loss(decoder, (z, elsewhere(dogs_of(CAPTIONS, 64))), CAPTIONS, rng()).backward()


@pytest.mark.parametrize("model", [diffusion], indirect=True)
@pytest.mark.parametrize("options", [{"eta": 1.0}, {"guidance": 2.0}, {"spacing": "quadratic"}], ids=str)
def test_a_diffusion_draws_there_in_every_way(model, options, elsewhere):
    model = elsewhere(model)
    assert model.sample(CAPTIONS, rng=rng(), steps=3, **options).device.type == ELSEWHERE


def test_a_picture_that_was_begun_is_completed_there(seen, elsewhere):
    model = elsewhere(PixelByPixel(WORDS, torch.rand(16, 3), SIZE, width=16, layers=1))
    begun = palette.to_tokens(elsewhere(seen), model.palette)[:, : SIZE**2 - 3]
    for known in (begun, torch.zeros(begun.shape, dtype=torch.int64)):
        assert model.sample(CAPTIONS, rng=rng(), known=known, temperature=0.5, top_k=3).device.type == ELSEWHERE


def test_dogs_are_drawn_where_their_scenes_are(elsewhere):
    scenes = dogs.sample_scenes(CAPTIONS, rng())
    there = dogs.Scenes(*(elsewhere(getattr(scenes, field.name)) for field in dataclasses.fields(scenes)))
    assert dogs.draw(there, 16).device.type == ELSEWHERE
    assert dogs.dog_mask(there, 16).device.type == ELSEWHERE
    shares = elsewhere(torch.rand(2, len(dogs.DETAILS)))
    assert dogs.arrange(there.attributes, shares).scale.device.type == ELSEWHERE


def test_the_judge_reads_and_looks_again_where_the_pictures_are(elsewhere):
    pictures, reader = elsewhere(dogs_of(CAPTIONS, 16)), elsewhere(judge.Reader().eval())
    logits, factors = reader(pictures)
    scenes = judge._scenes(logits, factors)
    refined, redrawn = judge._refine(judge._another_stride(scenes, pictures), pictures, steps=1)
    assert judge._worst_patch(pictures - redrawn).device.type == ELSEWHERE
    assert refined.scale.device.type == ELSEWHERE
    assert judge._answer_index(refined.attributes).device.type == ELSEWHERE
    assert judge._Features(reader)(pictures).device.type == "cpu"


def test_a_tensor_that_was_left_behind_is_found(elsewhere):
    class Forgetful(VAE):
        def sample(self, captions, z=None, rng=None):
            return super().sample(captions, z, rng) + torch.zeros(len(captions), 3, SIZE, SIZE)

    model = elsewhere(Forgetful(PictureEncoder(WORDS, 8, SIZE, 8), PictureDecoder(WORDS, 4, SIZE, 8), 4))
    with pytest.raises(RuntimeError, match="on the same device"):
        model.sample(CAPTIONS, rng=rng())
