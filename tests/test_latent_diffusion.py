"""Latent diffusion: what is diffused, what the text encoder reads, and the table of its parts."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from helpers import checkpoints, dogs, judge, parts
from helpers.checkpoints import OF_VECTORS, Stage, latent_denoiser
from helpers.models.diffusion import add_noise, cosine_schedule, spaced
from helpers.models.latent_diffusion import (
    LatentDiffusion,
    TextEncoder,
    VectorDenoiser,
    cross_attention,
    draw_latents,
    grid_vae,
    latent_loss,
)
from helpers.training import train

CAPTIONS = ["a running dog", "a small white dog running left on the sand", "a black running dog"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return LatentDiffusion(grid_vae(size=32), latent_denoiser(), size=32, alpha_bar=cosine_schedule(50)).eval()


def real(captions=CAPTIONS):
    return dogs.draw(dogs.sample_scenes(captions, rng()), 32)


def test_the_grid_is_a_twelfth_of_the_picture_and_each_point_sees_its_own_place(model):
    pictures = real().requires_grad_()
    mu, _ = model.vae.encode(pictures, CAPTIONS)
    grids = mu.view(3, 4, 8, 8)
    assert 12 * grids[0].numel() == pictures[0].numel()
    (slope,) = torch.autograd.grad(grids[:, :, 0, 0].sum(), pictures)
    assert slope[..., :4, :4].abs().sum() > 0
    # Group normalisation lets all points of a channel know of each other a little; the place itself counts most.
    assert slope[..., :8, :8].abs().mean() > 20 * slope[..., 24:, 24:].abs().mean()


def test_inside_has_the_size_of_the_noise_and_outside_undoes_it(model):
    pictures = real(CAPTIONS * 20)
    captions = CAPTIONS * 20
    grids = model.encode(pictures, captions)
    model.standardise(grids)
    x = model.inside(pictures, captions)
    assert x.shape == (60, 4, 8, 8)
    assert torch.allclose(x.mean((0, 2, 3)), torch.zeros(4), atol=1e-4)
    assert torch.allclose(x.std((0, 2, 3)), torch.ones(4), atol=1e-4)
    assert torch.allclose(model.outside(x, captions), model.vae.decoder(captions, grids.flatten(1)), atol=1e-5)


def test_it_samples_pictures_of_the_world_and_one_z_gives_one_picture(model):
    z = torch.randn(3, *model.latent_shape, generator=rng())
    first, again = model.sample(CAPTIONS, z, steps=3), model.sample(CAPTIONS, z, steps=3)
    assert first.shape == (3, 3, 32, 32)
    assert 0 <= first.min() <= first.max() <= 1
    assert torch.equal(first, again)
    with pytest.raises(ValueError, match=r"z must have the shape \(3, 4, 8, 8\)"):
        model.sample(CAPTIONS, torch.randn(3, 3, 32, 32))
    with pytest.raises(ValueError, match="does not know the word 'cat'"):
        model.sample(["a running cat"], rng=rng(), steps=2)


def test_points_hear_what_torch_lets_them_hear_and_no_padding():
    queries, keys, values = (torch.randn(2, k, 8, generator=rng(k)) for k in (5, 4, 4))
    empty = torch.tensor([[False, False, True, True], [False] * 4])
    heard, weights = cross_attention(queries, keys, values, empty)
    there = ~empty[:, None].expand(2, 5, 4)
    expected = nn.functional.scaled_dot_product_attention(queries, keys, values, there)
    assert torch.allclose(heard, expected, atol=1e-5)
    assert torch.allclose(weights.sum(-1), torch.ones(2, 5))
    assert not weights[0, :, 2:].any()


def test_the_loss_of_grids_is_zero_for_a_network_that_knows_them(model):
    pictures, noise = real(), torch.randn(3, *model.latent_shape, generator=rng(1))
    alpha_bar = torch.tensor([0.9, 0.5, 0.1]).view(3, 1, 1, 1)
    grids = 0.5 * model.encode(pictures, CAPTIONS)

    def knows(captions, x, levels):
        assert torch.equal(levels, alpha_bar.flatten())
        assert torch.equal(x, add_noise(grids, noise, alpha_bar))
        return grids

    told = (model.encode, 0.5, pictures, CAPTIONS, alpha_bar, noise)
    assert latent_loss(knows, *told) == 0
    assert torch.isclose(latent_loss(lambda *seen: knows(*seen) + 2, *told), torch.tensor(4.0))


def test_what_a_lesson_draws_is_what_the_class_samples(model):
    nn.init.normal_(model.network.unet.end[2].weight, std=0.05)  # an untrained U-Net says 0 to everything
    model.std.fill_(2.0)
    z = torch.randn(3, *model.latent_shape, generator=rng())
    drawn = draw_latents(model.network, model.decode, 0.5, CAPTIONS, z, model.alpha_bar[spaced(3, 50)])
    assert torch.allclose(drawn, model.sample(CAPTIONS, z, steps=3), atol=1e-5)


@pytest.mark.parametrize("spacing", ["linear", "quadratic"])
def test_a_sample_is_the_picture_of_the_sample_inside(model, spacing):
    nn.init.normal_(model.network.unet.end[2].weight, std=0.05)  # an untrained U-Net says 0 to everything
    z = torch.randn(3, *model.latent_shape, generator=rng())
    x = model.sample_inside(CAPTIONS, z, steps=3, spacing=spacing)
    drawn = model.sample(CAPTIONS, z, steps=3, spacing=spacing)
    assert torch.equal(model.outside(x, CAPTIONS).clamp(0, 1), drawn)
    assert not torch.equal(model.sample(CAPTIONS, z, steps=3, guidance=0, spacing=spacing), drawn)
    assert not x.requires_grad


def test_training_leaves_the_vae_as_it_is(model, monkeypatch):
    before = {name: value.clone() for name, value in model.vae.state_dict().items()}
    network = {name: value.clone() for name, value in model.network.state_dict().items()}
    learner, loss = Stage({}, batch=4, **OF_VECTORS, encoded=500).begin(model, 32, rng())
    assert learner is model
    assert math.isfinite(loss(model, rng()).item())
    captions = dogs.LANGUAGE.sample(500, rng(1))
    inside = model.inside(dogs.draw(dogs.sample_scenes(captions, rng(1)), 32), captions)
    assert torch.allclose(inside.mean((0, 2, 3)), torch.zeros(4), atol=0.1)
    assert torch.allclose(inside.std((0, 2, 3)), torch.ones(4), atol=0.1)
    train(model, loss, rng(), steps=3, muon_lr=0.02, ema_decay=0.5)
    assert all(torch.equal(value, before[name]) for name, value in model.vae.state_dict().items())
    assert any(not torch.equal(value, network[name]) for name, value in model.network.state_dict().items())


# ---- A vector that has no place in a picture ----


def test_dense_layers_see_all_numbers_the_caption_and_the_noise():
    torch.manual_seed(0)
    network = VectorDenoiser(dogs.LANGUAGE, 16, width=32, layers=1).eval()
    nn.init.normal_(network.network.network[0].network[-1].weight)  # it begins by adding nothing
    x, level = torch.randn(3, 1, 4, 4, generator=rng()), torch.full((3,), 0.5)
    said = network(CAPTIONS, x, level)
    assert said.shape == x.shape
    assert not torch.allclose(network(CAPTIONS[::-1], x, level), said, atol=1e-3)
    assert not torch.allclose(network(CAPTIONS, x, level + 0.1), said, atol=1e-3)
    jacobian = torch.autograd.functional.jacobian(lambda v: network(CAPTIONS[:1], v, level[:1]), x[:1])
    assert (jacobian.abs() > 1e-6).float().mean() > 0.99


def test_the_shipped_diffusion_of_sixteen_numbers_draws_dogs_with_the_decoder_of_notebook_5():
    model, vae = checkpoints.load("vector_diffusion"), checkpoints.load("vae")
    assert all(torch.equal(value, vae.first.state_dict()[key]) for key, value in model.vae.state_dict().items())
    captions = dogs.LANGUAGE.sample(200, rng())
    drawn = model.sample(captions, rng=rng(1))
    assert judge.valid(drawn) > 0.85
    assert judge.faithful(drawn, captions) > 0.95


@pytest.mark.parametrize("name", ["vae", "vector_diffusion", "one_step"])
def test_enlarged_draws_the_same_dogs_with_more_pixels(name):
    captions = dogs.LANGUAGE.sample(60, rng())
    z = torch.randn(60, *checkpoints.load(name).latent_shape, generator=rng(1))
    small = checkpoints.load(name).sample(captions, z)
    large = checkpoints.enlarged(checkpoints.load(name)).sample(captions, z)
    assert large.shape == (60, 3, 64, 64)
    shrunk = nn.functional.avg_pool2d(large, 4)
    assert (shrunk - small).square().mean() < 0.2 * (shrunk.roll(1, 0) - small).square().mean()
    assert judge.faithful(nn.functional.avg_pool2d(large, 2), captions) > 0.85


@pytest.mark.parametrize("name", ["gan", "latent_diffusion"])
def test_only_what_has_those_vectors_can_be_enlarged(name):
    with pytest.raises(ValueError, match="no others"):
        checkpoints.enlarged(checkpoints.load(name))


def test_a_large_decoder_learns_from_the_vector_of_the_dog_that_it_is_to_draw():
    decoder = checkpoints.load("large_decoder")
    stage = dataclasses.replace(checkpoints.MODELS["large_decoder"].stages[0], batch=50)
    batches = stage.data(decoder, stage, 64, rng())
    (z, pictures), captions = batches(rng(3))
    again = rng(3)
    scenes = dogs.sample_scenes(dogs.LANGUAGE.sample(50, again), again)
    assert torch.equal(pictures, dogs.draw(scenes, 64))
    mu, log_var = checkpoints.load("vae").first.encode(dogs.draw(scenes, 16), captions)
    assert ((z - mu) / (log_var / 2).exp()).std().item() == pytest.approx(1, abs=0.1)  # drawn, and not the mean
    with torch.no_grad():
        right = checkpoints.redrawing_loss(decoder, (z, pictures), captions, rng())
        wrong = checkpoints.redrawing_loss(decoder, (z.roll(1, 0), pictures), captions, rng())
        drawn = decoder(captions, z)
    assert right < wrong - 0.3
    expected = 0.5 * (math.log(2 * math.pi * (pictures - drawn).square().mean()) + 1)  # nats for each number
    assert right.item() == pytest.approx(expected, rel=1e-3)


# ---- Reading ----


def test_what_is_not_said_has_no_say():
    torch.manual_seed(0)
    encoder = TextEncoder(dogs.LANGUAGE, 32).eval()
    alone = encoder(CAPTIONS[:1])
    with torch.no_grad():
        encoder.word.weight[0] += 100  # the vector of an empty place
        assert torch.allclose(encoder(CAPTIONS)[:1], alone, atol=1e-5)


def test_every_word_is_heard():
    torch.manual_seed(0)
    encoder = TextEncoder(dogs.LANGUAGE, 32).eval()
    told = encoder(dogs.LANGUAGE.captions)
    assert torch.pdist(told).min() > 1e-4


# ---- The table of the parts ----


@pytest.mark.parametrize("variant", parts.VARIANTS)
def test_a_variant_lacks_what_its_name_says(variant, monkeypatch):
    monkeypatch.setattr(parts, "load", lambda name: grid_vae(size=32))
    torch.manual_seed(0)
    model = parts.build(variant)
    assert isinstance(model, LatentDiffusion) == (variant != "no VAE")
    model.network.unet.end[2].weight.data.normal_()  # it begins by saying nothing
    x = torch.randn(3, *model.latent_shape, generator=rng())
    told = [model.network(captions, x, torch.full((3,), 0.5)) for captions in (CAPTIONS, CAPTIONS[::-1])]
    assert torch.equal(*told) == (variant == "no text encoder")


def test_an_unknown_variant_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match="no text encoder"):
        parts.build("no dog")


def test_a_broken_table_of_parts_goes_on(tmp_path, monkeypatch):
    plan = parts.PLAN | {"seconds": 0.05, "seeds": [0], "encoded": 500, "guidance": [1.0]}
    monkeypatch.setattr(parts, "VARIANTS", ("whole", "no text encoder"))
    monkeypatch.setattr(parts, "measured", lambda sample, seed: {"fd_dogs": 1.0})
    monkeypatch.setattr(parts, "load", lambda name: grid_vae(size=32))
    threads = torch.get_num_threads()
    table = dataclasses.replace(parts.TABLE, file=tmp_path / "parts.json", plan=plan)
    parts.run(table)
    rows = table.rows()
    assert [row["variant"] for row in rows] == ["whole", "no text encoder"]
    rows[1]["steps"] = 12345
    table.store(rows[1:])  # as if it had been killed, with one missing
    parts.run(table)
    torch.set_num_threads(threads)
    again = table.rows()
    assert [row["variant"] for row in again] == ["no text encoder", "whole"]
    assert again[0]["steps"] == 12345


def test_the_shipped_models_are_there_and_fit():
    for name in checkpoints.BEYOND:
        assert (checkpoints.FOLDER / f"{name}.safetensors").stat().st_size < 5_000_000
    shipped = checkpoints.load("latent_diffusion")
    vae = checkpoints.load("grid_vae")
    grids = shipped.encode(real(), CAPTIONS)
    assert torch.allclose(grids.flatten(1), vae.encode(real(), CAPTIONS)[0], atol=1e-4)
    assert (shipped.std - 1).abs().max() > 0.001  # it was told the size of its grids
