"""The models: their mathematics, and the one interface that they share."""

import dataclasses
import importlib
import inspect
import json
import math
import pkgutil
import shutil
import warnings

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

from helpers import checkpoints, dogs, judge, models, palette, training
from helpers.checks import PASSED
from helpers.checks import pixel_by_pixel as checks
from helpers.layers import CaptionEmbedding, Decoder, PictureDecoder, PictureEncoder, choose, latent
from helpers.models import autoregressive, hybrids
from helpers.models.autoregressive import CausalSelfAttention, PixelByPixel, angles, neighbours, turn
from helpers.models.diffusion import Diffusion, cosine_schedule
from helpers.models.flow import PictureFlow
from helpers.models.gan import GAN, Discriminator
from helpers.models.independent import IndependentPixels
from helpers.models.masked import MaskedPixels
from helpers.models.mixture import MixtureOfGaussians
from helpers.models.vae import VAE, TwoStageVAE
from helpers.unet import Denoiser

CAPTIONS = ["a running dog", "a small white dog running left on the sand"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def pictures_of(captions, seed=0, size=8):
    return dogs.draw(dogs.sample_scenes(captions, rng(seed)), size)


def by_pixel(size=8):
    torch.manual_seed(0)
    model = PixelByPixel(dogs.LANGUAGE, torch.rand(16, 3), size, width=16, layers=2).eval()
    with torch.no_grad():  # an untrained model begins by doing nothing: give it something to do
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


def in_one_go(size=8):
    torch.manual_seed(0)
    return IndependentPixels(dogs.LANGUAGE, torch.rand(16, 3), size, width=16).eval()


def in_rounds(size=8):
    torch.manual_seed(0)
    return MaskedPixels(dogs.LANGUAGE, torch.rand(16, 3), size, width=32).eval()


def mixture(size=8):
    scenes = dogs.sample_scenes(600, rng())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few rounds are enough here; scikit-learn would like more
        return MixtureOfGaussians(dogs.LANGUAGE, 3).fit(dogs.draw(scenes, size), scenes.attributes, rng())


def vae(size=8):
    torch.manual_seed(0)
    encoder, decoder = (
        PictureEncoder(dogs.LANGUAGE, 8, size, width=8),
        PictureDecoder(dogs.LANGUAGE, 4, size, width=8),
    )
    return VAE(encoder, decoder, 4).eval()


def two_stage_vae(size=8):
    torch.manual_seed(0)
    return TwoStageVAE(dogs.LANGUAGE, 4, size, width=8).eval()


def flow(size=8):
    torch.manual_seed(0)
    return PictureFlow(dogs.LANGUAGE, size, width=8, steps=2).eval()


def diffusion(size=8):
    torch.manual_seed(0)
    network = Denoiser(dogs.LANGUAGE, size, width=32)
    nn.init.normal_(network.unet.end[2].weight, std=0.05)  # untrained, it says 0 to everything
    return Diffusion(network, size, cosine_schedule(20)).eval()


def gan(size=8):
    torch.manual_seed(0)
    return GAN(PictureDecoder(dogs.LANGUAGE, 4, size, width=8), Discriminator(dogs.LANGUAGE, size, width=8), 4).eval()


MODELS = pytest.mark.parametrize(
    "make", [by_pixel, in_one_go, in_rounds, mixture, vae, two_stage_vae, flow, diffusion, gan]
)

# ---- The one interface ----


@MODELS
def test_the_same_captions_and_z_give_the_same_pictures_and_another_z_gives_others(make):
    model = make()
    z = torch.rand(2, *model.latent_shape, generator=rng(1))
    first, again, other = model.sample(CAPTIONS, z), model.sample(CAPTIONS, z), model.sample(CAPTIONS, 1 - z)
    assert first.shape == (2, 3, 8, 8)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@MODELS
def test_rng_draws_z(make):
    model = make()
    assert torch.equal(model.sample(CAPTIONS, rng=rng(1)), model.sample(CAPTIONS, rng=rng(1)))
    assert not torch.equal(model.sample(CAPTIONS, rng=rng(1)), model.sample(CAPTIONS, rng=rng(2)))


@MODELS
def test_what_is_wrong_is_said(make):
    model = make()
    with pytest.raises(ValueError, match=r"must have the shape \(2, [\d, ]+\), not \(2, 3\)"):
        model.sample(CAPTIONS, torch.rand(2, 3))
    with pytest.raises(ValueError, match="give z, or rng"):
        model.sample(CAPTIONS)
    with pytest.raises(ValueError, match="does not know the word 'purple'"):
        model.sample(["a purple running dog"], rng=rng())
    with pytest.raises(TypeError, match=r"a list of captions"):
        model.sample("a running dog", torch.rand(13, *model.latent_shape))


def test_every_model_has_the_interface():
    found = []
    for module in pkgutil.iter_modules(models.__path__):
        for name, model in vars(importlib.import_module(f"helpers.models.{module.name}")).items():
            if inspect.isclass(model) and model.__module__.startswith("helpers.models") and hasattr(model, "sample"):
                parameters = list(inspect.signature(model.sample).parameters.values())
                assert [p.name for p in parameters[:4]] == ["self", "captions", "z", "rng"], name
                assert all(p.default is not inspect.Parameter.empty for p in parameters[2:]), name
                found.append(name)
    assert {"PixelByPixel", "IndependentPixels", "MixtureOfGaussians"} <= set(found)


def test_latent_draws_what_it_is_told_to():
    assert torch.equal(latent(None, 3, (4,), rng()), torch.randn(3, 4, generator=rng()))
    assert torch.equal(latent(None, 3, (4,), rng(), torch.rand), torch.rand(3, 4, generator=rng()))


# ---- Palettes ----


def test_tokens_are_the_nearest_colours_in_raster_order():
    box = torch.rand(7, 3, generator=rng())
    pictures = torch.rand(3, 3, 4, 4, generator=rng(1))
    tokens = palette.to_tokens(pictures, box)
    for n, row, column in ((0, 0, 0), (1, 2, 3), (2, 3, 1)):
        distances = (box - pictures[n, :, row, column]).square().sum(1)
        assert tokens[n, row * 4 + column] == distances.argmin()


def test_painting_and_reading_are_inverse():
    box = torch.rand(7, 3, generator=rng())
    tokens = torch.randint(7, (5, 16), generator=rng(1))
    assert torch.equal(palette.to_tokens(palette.to_pictures(tokens, box), box), tokens)
    with pytest.raises(ValueError, match="15 tokens do not fill"):
        palette.to_pictures(tokens[:, :15], box)


def test_tokens_are_the_nearest_colours_even_where_products_are_rounded():
    """A training may compute products in 16 bits, but what it learns must not be rounded with them."""
    pictures, box = pictures_of(CAPTIONS * 50), torch.rand(64, 3, generator=rng())
    distance = (pictures.movedim(1, -1).flatten(1, 2)[:, :, None] - box).square().sum(-1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(palette.to_tokens(pictures, box), distance.argmin(-1))


def test_a_palette_of_as_many_colours_as_there_are_loses_nothing():
    colours = torch.tensor([[0.1, 0.2, 0.3], [0.9, 0.8, 0.7], [0.5, 0.5, 0.1]])
    pictures = palette.to_pictures(torch.randint(3, (20, 64), generator=rng()), colours)
    found = palette.fit(pictures, 3, rng())
    assert torch.allclose(palette.to_pictures(palette.to_tokens(pictures, found), found), pictures, atol=1e-3)


# ---- Pixel by pixel ----


def test_causality_by_gradient():
    model = by_pixel().gpt
    coordinates = len(model.angle)
    inputs = torch.randn(1, coordinates, 16, requires_grad=True)
    x = inputs
    for block in model.blocks:
        x = block(x, model.angle)
    for place in (0, 1, 17, coordinates - 1):
        (slope,) = torch.autograd.grad(x[0, place].sum(), inputs, retain_graph=True)
        reach = slope[0].norm(dim=1)
        assert (reach[place + 1 :] == 0).all()
        assert (reach[: place + 1] > 0).all()


def test_a_later_pixel_does_not_change_an_earlier_distribution():
    model = by_pixel()
    colours = torch.randint(16, (1, 63), generator=rng())
    changed = colours.clone()
    changed[0, 30] = (changed[0, 30] + 1) % 16
    with torch.no_grad():
        before, after = model.logits(CAPTIONS[:1], colours), model.logits(CAPTIONS[:1], changed)
    assert torch.equal(before[:, :31], after[:, :31])
    assert not torch.equal(before[:, 31], after[:, 31])


def test_after_the_last_pixel_none_is_left_to_foretell():
    with pytest.raises(ValueError, match="at most 63 colours"):
        by_pixel().logits(CAPTIONS, torch.zeros(2, 64, dtype=torch.int64))


@pytest.mark.parametrize("heads", [1, 2])
def test_attention_is_what_torch_makes_of_it(heads):
    torch.manual_seed(0)
    attention = CausalSelfAttention(16, heads)
    x = torch.randn(2, 9, 16, generator=rng())
    query, key, value = (
        part.unflatten(-1, (heads, -1)).transpose(1, 2) for part in attention.query_key_value(x).chunk(3, dim=-1)
    )
    mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True).transpose(1, 2).flatten(2)
    unturned = torch.zeros(9, 16 // heads // 2)
    assert torch.allclose(attention(x, unturned), attention.out(mixed), atol=1e-6)


@pytest.mark.parametrize(("size", "reach"), [(5, 1), (5, 3), (3, 4)])
def test_neighbours_are_those_around_that_come_before(size, reach):
    table = neighbours(size, reach)
    assert table.shape == (size * size, 2 * reach * (reach + 1))
    for pixel, row in enumerate(table.tolist()):
        up, left = divmod(pixel, size)
        near = [k for k in range(pixel) if max(up - k // size, abs(left - k % size)) <= reach]
        assert sorted(row) == near + [size * size] * (len(row) - len(near))


def test_each_pixel_is_told_of_its_neighbours_and_of_nothing_else():
    """Blocks that change nothing yet leave only what a place is told directly."""
    torch.manual_seed(0)
    model = PixelByPixel(dogs.LANGUAGE, torch.rand(16, 3), 6, width=16, layers=1)
    nn.init.normal_(model.gpt.next_token.weight)
    colours = torch.randint(16, (1, 35), generator=rng())
    with torch.no_grad():
        before = model.logits(CAPTIONS[:1], colours)[0]
        for k in (0, 8, 17, 34):
            changed = colours.clone()
            changed[0, k] = (changed[0, k] + 1) % 16
            moved = (model.logits(CAPTIONS[:1], changed)[0] != before).any(1).nonzero()[:, 0].tolist()
            told = (model.neighbours == k).any(1).nonzero()[:, 0].tolist()
            assert moved == sorted({*told, k + 1})  # the pixel before is its token, too


def test_the_cache_changes_nothing_but_the_time():
    model = by_pixel()
    tokens = model.tokens(CAPTIONS, torch.randint(16, (2, 64), generator=rng()))[:, :-1]
    with torch.no_grad():
        at_once, caches = model.gpt(tokens), model.gpt.caches()
        step_by_step = [model.gpt(tokens[:, :5], caches)]
        step_by_step += [model.gpt(tokens[:, i : i + 1], caches) for i in range(5, tokens.shape[1])]
    assert torch.allclose(torch.cat(step_by_step, 1), at_once, atol=1e-4)
    z = torch.rand(2, 64, generator=rng())
    assert torch.equal(model.sample(CAPTIONS, z), model.sample(CAPTIONS, z, cached=False))


def test_after_a_cache_several_tokens_may_come_at_once():
    gpt, caches = by_pixel().gpt, by_pixel().gpt.caches()
    tokens = torch.randint(16, (2, 9), generator=rng())
    with torch.no_grad():
        parts = [gpt(part, caches) for part in tokens.split([3, 4, 2], dim=1)]
        assert torch.allclose(torch.cat(parts, dim=1), gpt(tokens), atol=1e-5)
    with pytest.raises(ValueError, match="reads 73 tokens, not 74"):
        gpt(torch.zeros(1, 74, dtype=torch.int64))


@pytest.mark.parametrize(
    ("check", "ours"),
    [
        (checks.causal, autoregressive.causal_attention),
        (checks.shifted, autoregressive.next_token_loss),
        (checks.loop, autoregressive.write),
        (checks.remembers, autoregressive.Cache),
    ],
)
def test_what_the_workshop_goes_on_with_passes_its_checks(check, ours):
    assert check(ours).status == PASSED, check(ours)


def test_the_shipped_gpt_computes_what_it_was_trained_to():
    """Another way of writing its attention must not change what its weights mean."""
    model = checkpoints.load("autoregressive")
    colours = torch.arange(255)[None] * 7 % 64
    with torch.no_grad():
        logits = model.logits(["a small white dog running left on the sand"], colours)[0]
    assert torch.allclose(logits[[0, 100, 255], [0, 20, 63]], torch.tensor([-1.2568, 2.5372, -6.4135]), atol=2e-3)


def test_products_of_turned_vectors_depend_on_distances_alone():
    query, key = torch.randn(2, 1, 16, generator=rng())
    angle = angles(torch.cartesian_prod(torch.arange(6), torch.arange(6)), 16)

    def product(i, j):
        return (turn(query, angle[i : i + 1]) * turn(key, angle[j : j + 1])).sum()

    assert torch.allclose(product(8, 0), product(22, 14), atol=1e-5)  # one row and two columns apart, twice
    assert not torch.allclose(product(8, 0), product(9, 0), atol=1e-3)
    assert torch.allclose(turn(query, angle[9:10]).norm(), query.norm())


def test_the_loss_is_the_logarithm_of_the_chain_of_probabilities():
    model = by_pixel()
    pictures = pictures_of(CAPTIONS)
    colours = palette.to_tokens(pictures, model.palette)
    total = 0.0
    with torch.no_grad():
        for i in range(64):
            chances = model.logits(CAPTIONS, colours[:, :i])[:, -1].softmax(-1)
            assert torch.allclose(chances.sum(-1), torch.ones(2), atol=1e-5)
            total -= chances.gather(1, colours[:, i : i + 1]).log().mean().item()
        assert model.loss(pictures, CAPTIONS).item() == pytest.approx(total / 64, rel=1e-4)


def test_the_probabilities_of_all_pictures_sum_to_one():
    torch.manual_seed(0)
    model = PixelByPixel(dogs.LANGUAGE, torch.rand(3, 3), 2, width=8, layers=1)
    every = torch.cartesian_prod(*[torch.arange(3)] * 4)
    pictures = palette.to_pictures(every, model.palette)
    with torch.no_grad():
        chances = [math.exp(-4 * model.loss(picture[None], CAPTIONS[:1]).item()) for picture in pictures]
    assert sum(chances) == pytest.approx(1, abs=1e-4)


def test_known_pixels_stay():
    model = by_pixel()
    known = torch.randint(16, (2, 40), generator=rng())
    finished = palette.to_tokens(model.sample(CAPTIONS, rng=rng(), known=known), model.palette)
    assert torch.equal(finished[:, :40], known)
    whole = torch.randint(16, (2, 64), generator=rng())
    assert torch.equal(model.sample(CAPTIONS, rng=rng(), known=whole), palette.to_pictures(whole, model.palette))
    with pytest.raises(ValueError, match="known must hold 2 rows"):
        model.sample(CAPTIONS, rng=rng(), known=known[:1])


def test_choose_follows_the_distribution():
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0]]).expand(40_000, -1)
    u = torch.rand(40_000, generator=rng())
    for temperature in (1.0, 0.5):
        shares = choose(logits, u, temperature).bincount(minlength=4) / 40_000
        assert torch.allclose(shares, (logits[0] / temperature).softmax(0), atol=0.01)
    assert (choose(logits, u, temperature=0) == 3).all()
    assert set(choose(logits, u, top_k=2).tolist()) == {0, 3}
    with pytest.raises(ValueError, match="temperature"):
        choose(logits, u, temperature=-1)


def test_choose_never_takes_what_has_no_probability():
    logits = torch.tensor([[-torch.inf, 0.0, -torch.inf]]).expand(3, -1)
    assert choose(logits, torch.tensor([0.0, 0.5, 1 - 1e-7])).tolist() == [1, 1, 1]


# ---- All at once ----


def test_pixels_are_independent_and_follow_their_own_distribution():
    model = in_one_go(size=4)
    tokens = palette.to_tokens(model.sample(CAPTIONS[:1] * 20_000, rng=rng()), model.palette)
    with torch.no_grad():
        chances = model.logits(CAPTIONS[:1])[0].softmax(-1)
    shares = torch.stack([F.one_hot(tokens[:, i], 16).float().mean(0) for i in range(16)])
    assert torch.allclose(shares, chances, atol=0.02)
    a, b = F.one_hot(tokens[:, 3], 16).float(), F.one_hot(tokens[:, 4], 16).float()
    assert torch.allclose(a.T @ b / 20_000, a.mean(0)[:, None] * b.mean(0), atol=0.01)


def test_a_z_pixel_changes_its_own_pixel_only():
    model = in_one_go()
    z = torch.rand(1, 64, generator=rng())
    moved = z.clone()
    moved[0, 20] = (z[0, 20] + 0.5) % 1
    changed = (model.sample(CAPTIONS[:1], z) != model.sample(CAPTIONS[:1], moved)).any(1).flatten()
    assert changed.nonzero().flatten().tolist() == [20]


# ---- Captions, decoder, mixture ----


def test_a_caption_embedding_is_the_sum_of_what_is_said():
    torch.manual_seed(0)
    embed = CaptionEmbedding(dogs.LANGUAGE, 5)
    nothing, white, left, both = embed(
        ["a running dog", "a white running dog", "a dog running left", "a white dog running left"]
    )
    assert torch.allclose(both - nothing, (white - nothing) + (left - nothing), atol=1e-6)


def test_words_become_numbers_and_nothing_is_lost():
    tokens = dogs.LANGUAGE.tokens(dogs.LANGUAGE.captions)
    assert len(tokens.unique(dim=0)) == len(dogs.LANGUAGE.captions)
    text = [" ".join(dogs.LANGUAGE.vocabulary[t - 1] for t in row if t > 0) for row in tokens.tolist()]
    assert tuple(text) == dogs.LANGUAGE.captions


def test_a_decoder_refuses_a_z_of_another_size():
    with pytest.raises(ValueError, match=r"shape \(2, 6\), not \(2, 5\)"):
        Decoder(dogs.LANGUAGE, 6)(CAPTIONS, torch.rand(2, 5))


def test_a_mixture_finds_the_clouds_that_are_there():
    centres = torch.rand(2, 3, 4, 4, generator=rng())
    which = torch.randint(2, (2000,), generator=rng(1))
    pictures = centres[which] + 0.02 * torch.randn(2000, 3, 4, 4, generator=rng(2))
    scenes = dogs.sample_scenes(2000, rng())
    attributes = scenes.attributes.clone()
    attributes[:, 0] = which  # the direction says which cloud
    found = MixtureOfGaussians(dogs.LANGUAGE, 2).fit(pictures, attributes, rng())
    left = found.sample(["a dog running left"] * 400, rng=rng())
    assert torch.allclose(left.mean(0), centres[0], atol=0.01)
    assert left.std(0).mean().item() == pytest.approx(0.02, rel=0.1)
    z = torch.randn(200, *found.latent_shape, generator=rng(3))
    for first, cloud in ((-3.0, 0), (3.0, 1)):  # the first number of z alone chooses the cloud
        z[:, 0] = first
        drawn = found.sample(["a running dog"] * 200, z)
        assert torch.allclose(drawn.mean(0).flatten(), found.means[cloud], atol=0.01)
    both = found.weights(["a running dog"])[0]
    assert both.min() > 0.4
    with pytest.raises(ValueError, match="needs more than 20 pictures"):
        MixtureOfGaussians(dogs.LANGUAGE, 2).fit(pictures[:20], attributes[:20], rng())


@pytest.mark.parametrize(("size", "fold"), [(16, 2), (32, 4), (64, 8), (32, 2)])
def test_a_decoder_may_fold_more_pixels_into_a_point(size, fold):
    torch.manual_seed(0)
    decoder = PictureDecoder(dogs.LANGUAGE, 4, size, width=8, fold=fold)
    drawn = decoder(["a running dog"] * 2, torch.randn(2, 4, generator=rng()))
    assert drawn.shape == (2, 3, size, size)
    assert decoder.begin[0].out_features == 16 * (size // (2 * fold)) ** 2


# ---- Checkpoints ----


def test_the_shipped_model_draws_dogs_that_do_what_was_asked():
    model = checkpoints.load("autoregressive")
    captions = dogs.LANGUAGE.sample(100, rng())
    drawn = model.sample(captions, rng=rng(1))
    assert judge.faithful(drawn, captions) > 0.8
    assert judge.valid(drawn) > 5 * judge.valid(in_one_go(16).sample(captions, rng=rng())) + 0.35


@pytest.mark.parametrize("name", checkpoints.MODELS)
def test_its_recipe_is_stored_with_it(name):
    with safe_open(checkpoints.FOLDER / f"{name}.safetensors", "pt") as stored:
        metadata = stored.metadata()
    recipe = checkpoints.MODELS[name]
    expected = [{"batch": stage.batch, "encoded": stage.encoded, **stage.budget} for stage in recipe.stages]
    stored = json.loads(metadata["recipe"])
    assert stored["seed"] == recipe.seed
    assert [{"encoded": None, **stage} for stage in stored["stages"]] == json.loads(json.dumps(expected))  # no tuples
    assert metadata["made_by"] == f"python -m helpers.checkpoints {name}"


def test_a_checkpoint_that_cannot_be_used_says_why(tmp_path):
    shipped = checkpoints.FOLDER / "autoregressive.safetensors"
    with pytest.raises(KeyError, match="there are autoregressive"):
        checkpoints.load("autoregresive")
    with pytest.raises(FileNotFoundError, match="makes it"):
        checkpoints.load("autoregressive", tmp_path / "none.safetensors")
    (tmp_path / "short.safetensors").write_bytes(shipped.read_bytes()[:100_000])
    with pytest.raises(ValueError, match="cut short"):
        checkpoints.load("autoregressive", tmp_path / "short.safetensors")
    save_file({"palette": torch.zeros(64, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="weights of another model"):
        checkpoints.load("autoregressive", tmp_path / "other.safetensors")


def test_making_a_checkpoint_and_loading_it_gives_the_model_back(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    stage = checkpoints.Stage({"steps": 2, "lr": 1e-3}, batch=2)
    recipe = checkpoints.Recipe(checkpoints.build_autoregressive, 16, (stage,))
    monkeypatch.setitem(checkpoints.MODELS, "autoregressive", recipe)
    checkpoints.make("autoregressive")
    files = sorted(file.name for file in (tmp_path / "checkpoints").iterdir())
    assert files == ["autoregressive.safetensors"]
    model = checkpoints.load("autoregressive")
    assert math.isfinite(model.loss(pictures_of(CAPTIONS, size=16), CAPTIONS).item())


class ByCaption(nn.Module):
    """An encoder whose vectors tell the caption apart, with a deviation of a tenth."""

    def encode(self, pictures, captions):
        mu = torch.tensor([[float(CAPTIONS.index(caption))] for caption in captions])
        return mu, torch.full_like(mu, math.log(0.01))


class Recording(nn.Module):
    """A second VAE, or a game, that keeps what it should have learned from."""

    def loss(self, vectors, captions, rng):
        self.seen = vectors, captions
        return vectors.sum()


def test_the_second_of_two_vaes_is_given_draws_from_the_vectors_of_its_captions(monkeypatch):
    monkeypatch.setattr(dogs.LANGUAGE, "sample", lambda n, rng: (CAPTIONS * n)[:n])
    stage, model = dataclasses.replace(checkpoints.RECIPES["vae"].stages[1], encoded=300), two_stage_vae(16)
    model.first.encode, model.second = ByCaption().encode, Recording()
    learner, loss = stage.begin(model, 16, rng())
    loss(learner, rng(1))
    vectors, captions = model.second.seen
    assert vectors.shape == (stage.batch, 1)
    error = vectors[:, 0] - torch.tensor([float(CAPTIONS.index(caption)) for caption in captions])
    assert error.abs().max() < 0.5  # each vector is of the caption beside it
    assert error.std().item() == pytest.approx(0.1, rel=0.2)
    assert len(set(captions)) == len(CAPTIONS)


def test_the_third_move_of_a_flow_begins_with_the_scale_of_what_it_is_given(monkeypatch):
    stage, model = dataclasses.replace(checkpoints.RECIPES["flow"].stages[1], encoded=300), flow(16)
    fitted = {}
    monkeypatch.setattr(checkpoints, "initialise", lambda flow, vectors, captions: fitted.update(n=vectors, c=captions))
    learner, loss = stage.begin(model, 16, rng())
    pictures = dogs.draw(dogs.sample_scenes(fitted["c"], rng()), 16)
    assert fitted["n"].shape == (300, 16) == model.vectors(pictures, fitted["c"], rng()).shape
    assert loss(learner, rng(1)).requires_grad


@pytest.mark.parametrize(("name", "part"), [("vae", "second."), ("flow", "flow.layers.1.")])
def test_the_second_of_two_trainings_leaves_the_first_alone_and_a_broken_making_goes_on(
    name, part, tmp_path, monkeypatch
):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    budget = {"steps": 3, "lr": 1e-2, "ema_decay": 0.1}
    build = checkpoints.RECIPES[name].build
    stages = [dataclasses.replace(s, budget=budget, batch=4, encoded=20) for s in checkpoints.RECIPES[name].stages]
    recipe = checkpoints.Recipe(build, 16, tuple(stages))
    monkeypatch.setitem(checkpoints.MODELS, name, recipe)
    checkpoints.make(name)
    unbroken = checkpoints.load(name).state_dict()

    trained, train = [], checkpoints.train

    def cut_off(model, loss, rng, **options):
        trained.append(model)
        if len(trained) == 2:
            raise KeyboardInterrupt
        return train(model, loss, rng, **options)

    monkeypatch.setattr(checkpoints, "train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.make(name)
    halfway = checkpoints.load(name, tmp_path / "cache" / f"{name}_stage_1.safetensors").state_dict()
    torch.manual_seed(0)
    untrained = recipe.build(rng()).state_dict()
    first = [key for key in halfway if not key.startswith(part)]
    assert all(torch.equal(halfway[key], value.half().float()) for key, value in untrained.items() if key not in first)
    assert any(not torch.equal(halfway[key], untrained[key].half().float()) for key in first)
    checkpoints.make(name)
    assert len(trained) == 3  # the first training was not done again
    resumed = checkpoints.load(name).state_dict()
    changed = [key for key in halfway if not torch.equal(halfway[key], resumed[key])]
    assert changed
    assert all(key.startswith(part) for key in changed)
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_model_of_one_step_is_shown_where_the_steps_of_its_beginning_lead(monkeypatch):
    recipe = checkpoints.MODELS["one_step"]
    model, seen = recipe.build(rng()), {}
    teacher = checkpoints.load("vector_diffusion")
    learner, loss = dataclasses.replace(recipe.stages[0], encoded=30, batch=8).begin(model, 16, rng())
    monkeypatch.setattr(hybrids, "distillation_loss", lambda model, led, captions, z: seen.update(locals()))
    loss(learner, rng(1))
    led = teacher.sample_inside(seen["captions"], seen["z"], steps=10, spacing="quadratic")
    assert led.shape == (8, *model.latent_shape)
    assert torch.allclose(seen["led"], led, atol=1e-4)
    assert (seen["z"][:1] - seen["z"][1:]).abs().amax() > 0.1


def test_the_game_is_about_vectors_on_the_scale_that_the_model_has():
    recipe, game = checkpoints.MODELS["one_step"], Recording()
    model = recipe.build(rng())
    stage = dataclasses.replace(recipe.stages[1], encoded=500, batch=400, game=lambda _: game)
    learner, loss = stage.begin(model, 16, rng())
    loss(learner, rng(1))
    x, captions = game.seen
    assert x.shape == (400, *model.latent_shape)
    assert len(captions) == 400
    assert x.std().item() == pytest.approx(1, abs=0.05)
    assert abs(model.diffusion.std.item() - 1) > 0.1  # so it is not the vectors as they come


@pytest.mark.parametrize("moves_made", [0, 2])
def test_a_game_after_a_first_training_goes_on_where_it_was_broken_off(moves_made, tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    for name in ("vae", "vector_diffusion"):
        shutil.copy(checkpoints.FOLDER / f"{name}.safetensors", folder)
    monkeypatch.setattr(checkpoints, "FOLDER", folder)
    budget = {"steps": 3, "lr": 1e-3, "ema_decay": 0.1}
    stages = checkpoints.MODELS["one_step"].stages
    stages = tuple(dataclasses.replace(stage, budget=budget, batch=4, encoded=20) for stage in stages)
    small = dataclasses.replace(checkpoints.MODELS["one_step"], stages=stages)
    monkeypatch.setitem(checkpoints.MODELS, "one_step", small)
    checkpoints.make("one_step")
    unbroken = checkpoints.load("one_step").state_dict()
    begun = checkpoints.load("vector_diffusion").state_dict()
    still = [key for key in unbroken if torch.equal(unbroken[key], begun[key.removeprefix("diffusion.")])]
    assert {key for key in unbroken if not key.startswith("diffusion.network.")} <= set(still)

    trained, train = [], checkpoints.train

    def cut_off(model, loss, rng, **options):
        trained.append(type(model).__name__)
        moves = []

        def breaking(game, source):
            moves.append(game)
            if len(trained) == 2 and len(moves) > moves_made:
                raise KeyboardInterrupt
            return loss(game, source)

        return train(model, breaking, rng, **options)

    monkeypatch.setattr(checkpoints, "train", cut_off)
    monkeypatch.setattr(training, "CHECKPOINT_EVERY", 1)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.make("one_step")
    assert (tmp_path / "cache" / "one_step_in_training.pt").exists() == (moves_made > 0)
    halfway = checkpoints.load("one_step", tmp_path / "cache" / "one_step_stage_1.safetensors").state_dict()
    assert any(not torch.equal(halfway[key], unbroken[key]) for key in unbroken)
    checkpoints.make("one_step")
    assert trained == ["OneStep", "WithDiscriminator", "WithDiscriminator"]
    resumed = checkpoints.load("one_step").state_dict()
    assert all(torch.equal(unbroken[key], resumed[key]) for key in unbroken)
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(("name", "part"), [("vector_diffusion", "vae."), ("one_step", "diffusion.vae.")])
def test_a_part_that_is_another_models_is_stored_once(name, part, tmp_path, monkeypatch):
    model, file = checkpoints.load(name), tmp_path / "model.safetensors"
    checkpoints.store(model, file, name)
    with safe_open(file, "pt") as stored:
        assert set(stored.keys()) == {key for key in model.state_dict() if not key.startswith(part)}
    again = checkpoints.load(name, file).state_dict()
    assert all(torch.equal(weights, again[key]) for key, weights in model.state_dict().items())
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path)
    with pytest.raises(FileNotFoundError, match=r"vae\.safetensors is missing; `python -m helpers.checkpoints vae`"):
        checkpoints.load(name, file)


def test_half_of_a_model_by_another_recipe_is_not_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "FOLDER", tmp_path / "checkpoints")
    half = tmp_path / "cache" / "vae_stage_1.safetensors"
    half.parent.mkdir()
    save_file({"x": torch.zeros(1)}, half, {"recipe": json.dumps({"seed": 1})})
    with pytest.raises(ValueError, match="another recipe; delete it"):
        checkpoints.make("vae")
    assert half.exists()
