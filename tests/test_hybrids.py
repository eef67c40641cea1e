"""A discriminator after any decoder: who learns from what, and steps that are not Gaussian."""

import dataclasses
import itertools
import math

import pytest
import torch
from torch import nn

from helpers import checkpoints, comparison, dogs, judge, plugged_in
from helpers.layers import PictureDecoder, PictureEncoder
from helpers.models.autoregressive import PixelByPixel
from helpers.models.diffusion import Diffusion, cosine_schedule, posterior
from helpers.models.flow import PictureFlow
from helpers.models.gan import GAN, Discriminator
from helpers.models.hybrids import (
    FewSteps,
    OneStep,
    StepDiscriminator,
    VectorDiscriminator,
    WithDiscriminator,
    alike_in_features,
    distillation_loss,
    draw,
    exact_posterior,
    learned_similarity,
    noisy_pair,
    nothing,
    own_loss,
    step_back,
    two_levels,
)
from helpers.models.latent_diffusion import LatentDiffusion, VectorDenoiser
from helpers.models.vae import VAE, TwoStageVAE
from helpers.training import train
from helpers.unet import Denoiser

CAPTIONS = ["a running dog", "a small white dog running left on the sand"]
SIZE = 8


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def some_dogs(n=2):
    captions = CAPTIONS * (n // 2)
    return dogs.draw(dogs.sample_scenes(captions, rng(9)), SIZE), captions


def small_vae():
    encoder, decoder = PictureEncoder(dogs.LANGUAGE, 8, SIZE, 8), PictureDecoder(dogs.LANGUAGE, 4, SIZE, 8)
    return VAE(encoder, decoder, latent_size=4)


def small_diffusion():
    torch.manual_seed(0)
    model = Diffusion(Denoiser(dogs.LANGUAGE, SIZE, width=32, levels=1), SIZE, cosine_schedule(100))
    nn.init.normal_(model.network.unet.end[2].weight, std=0.05)  # an untrained U-Net says 0 to everything
    return model


def one_step():
    torch.manual_seed(0)
    vae = VAE(PictureEncoder(dogs.LANGUAGE, 32, SIZE, 8), PictureDecoder(dogs.LANGUAGE, 16, SIZE, 8), latent_size=16)
    denoiser = VectorDenoiser(dogs.LANGUAGE, 16, width=32, layers=2)
    for layer in denoiser.network.network[:2]:
        nn.init.normal_(layer.network[-1].weight, std=0.1)  # it begins by adding nothing
    return OneStep(LatentDiffusion(vae, denoiser, SIZE, cosine_schedule(100), predicts="velocity"))


FAMILIES = {
    "vae": small_vae,
    "two vaes": lambda: TwoStageVAE(dogs.LANGUAGE, 4, SIZE, 8),
    "flow": lambda: PictureFlow(dogs.LANGUAGE, SIZE, few=2, width=8, steps=2),
    "diffusion": small_diffusion,
    "few steps": lambda: FewSteps(small_diffusion(), 2, latent_size=4),
    "gan": lambda: GAN(PictureDecoder(dogs.LANGUAGE, 4, SIZE, 8), Discriminator(dogs.LANGUAGE, SIZE, 8), 4),
}


def build(family):
    torch.manual_seed(0)
    return FAMILIES[family]()


def opponent():
    torch.manual_seed(1)
    return Discriminator(dogs.LANGUAGE, SIZE, 8)


def reached(loss, module):
    """How long the gradient of a loss is in a module, 0 if none comes there."""
    gradients = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
    return sum(gradient.square().sum().item() for gradient in gradients if gradient is not None) ** 0.5


# ---- The plug ----


@pytest.mark.parametrize("family", FAMILIES)
def test_a_drawing_with_gradients_is_what_sample_draws(family):
    model = build(family)
    z = torch.randn(2, *model.latent_shape, generator=rng())
    sampled, drawn = model.sample(CAPTIONS, z), draw(model, CAPTIONS, z)
    assert torch.equal(sampled, drawn.detach())
    assert drawn.requires_grad
    assert not sampled.requires_grad


def test_where_no_gradient_comes_through_it_says_why():
    gpt = PixelByPixel(dogs.LANGUAGE, torch.rand(4, 3, generator=rng()), size=4, width=16, layers=1)
    with pytest.raises(ValueError, match="a choice has no slope"):
        draw(gpt, CAPTIONS, rng=rng())
    with pytest.raises(ValueError, match="frozen"):
        draw(small_vae().requires_grad_(False), CAPTIONS, rng=rng())


@pytest.mark.parametrize("family", FAMILIES)
def test_it_plugs_into_every_family_and_each_loss_reaches_its_own_player(family):
    hybrid = WithDiscriminator(build(family), opponent(), besides=nothing)
    of_discriminator, of_model = hybrid.losses(*some_dogs(), rng())
    assert reached(of_discriminator, hybrid.discriminator) > 0
    assert reached(of_discriminator, hybrid.model) == 0
    assert reached(of_model, hybrid.model) > 0
    assert reached(of_model, hybrid.discriminator) == 0


def test_the_adversarial_loss_reaches_the_decoder_alone_and_the_own_loss_the_encoder_too():
    hybrid = WithDiscriminator(small_vae(), opponent(), besides=nothing)
    _, adversarial = hybrid.losses(*some_dogs(), rng())
    assert reached(adversarial, hybrid.model.decoder) > 0
    assert reached(adversarial, hybrid.model.encoder) == 0
    hybrid.besides = own_loss
    _, both = hybrid.losses(*some_dogs(), rng())
    assert reached(both, hybrid.model.encoder) > 0


def test_besides_is_added_and_the_discriminators_loss_does_not_mind():
    alone = WithDiscriminator(small_vae(), opponent(), besides=nothing)
    both = WithDiscriminator(alone.model, alone.discriminator)
    generator = rng(3)
    first, second = alone.losses(*some_dogs(), rng(3)), both.losses(*some_dogs(), generator)
    again = rng(3)
    draw(alone.model, CAPTIONS, rng=again)  # uses as much of the randomness
    own = alone.model.loss(*some_dogs(), again)
    assert first[0].item() == pytest.approx(second[0].item())
    assert (second[1] - first[1]).item() == pytest.approx(own.item(), rel=1e-4)


def test_a_hybrid_samples_like_its_model_and_goes_through_the_one_loop():
    hybrid = WithDiscriminator(build("flow"), opponent())
    z = torch.randn(2, *hybrid.model.latent_shape, generator=rng())
    assert torch.equal(hybrid.sample(CAPTIONS, z), hybrid.model.sample(CAPTIONS, z))
    before = [parameter.clone() for parameter in hybrid.parameters()]
    train(hybrid, lambda model, generator: model.loss(*some_dogs(), generator), rng(), steps=3, lr=1e-3)
    moved = [not torch.equal(old, new) for old, new in zip(before, hybrid.parameters(), strict=True)]
    assert sum(moved) > 0.8 * len(moved)


# ---- Similarity ----


def test_learned_similarity_is_an_error_of_features():
    x, captions = some_dogs()
    doubled = learned_similarity(lambda _, pictures: 2 * pictures.mean((2, 3)), captions, x, x + 0.1)
    assert doubled.item() == pytest.approx(0.04, rel=1e-4)


def test_a_vae_that_learns_it_cannot_move_the_discriminators_eyes():
    hybrid = WithDiscriminator(small_vae(), opponent(), besides=alike_in_features)
    loss = alike_in_features(hybrid, *some_dogs(), rng())
    assert reached(loss, hybrid.discriminator) == 0
    assert reached(loss, hybrid.model.encoder) > 0
    assert reached(loss, hybrid.model.decoder) > 0


def test_to_the_shipped_discriminator_a_blur_is_worse_than_a_move_and_to_pixels_better():
    captions = dogs.LANGUAGE.sample(100, rng())
    scenes = dogs.sample_scenes(captions, rng())
    x = dogs.draw(scenes, 16)
    moved = dogs.draw(scenes.replace(x=scenes.x - 0.125 * scenes.x.sign()), 16)
    blurred = nn.functional.avg_pool2d(nn.functional.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1) / 2 + x / 2
    features = checkpoints.load("gan").discriminator.features
    pixels = [(x - other).square().mean() for other in (moved, blurred)]
    seen = [learned_similarity(features, captions, x, other) for other in (moved, blurred)]
    assert pixels[0] > pixels[1]
    assert seen[0] < seen[1] / 2


# ---- Steps ----

MEANS, SPREAD, SHARES = torch.tensor([-1.0, 1.5]).double(), 0.2, torch.tensor([0.3, 0.7]).double()


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_exact_posterior_is_what_a_long_experiment_finds(steps):
    """Draw x_0, x_{t-1}, x_t many times, and keep the x_{t-1} of those whose x_t came near one place."""
    levels = cosine_schedule(steps)
    generator = rng(steps)
    n = 400_000
    cloud = torch.multinomial(SHARES, n, replacement=True, generator=generator)
    x = MEANS[cloud] + SPREAD * torch.randn(n, generator=generator, dtype=torch.float64)
    for t in range(1, steps + 1):
        x_before = levels[t - 1].sqrt() * x + (1 - levels[t - 1]).sqrt() * torch.randn(n, generator=generator)
        kept = levels[t] / levels[t - 1]
        x_t = kept.sqrt() * x_before + (1 - kept).sqrt() * torch.randn(n, generator=generator)
        near = (x_t - 0.3).abs() < 0.02
        found, found_cloud = x_before[near], cloud[near]
        place = torch.tensor([0.3], dtype=torch.float64)
        weight, mean, variance = exact_posterior(place, levels[t], levels[t - 1], MEANS, SPREAD, SHARES)
        error = 4 / math.sqrt(len(found))
        assert weight[0, 1].item() == pytest.approx((found_cloud == 1).double().mean().item(), abs=error)
        for k in (0, 1):
            own = found[found_cloud == k]
            if len(own) > 500:
                wobble = 5 * variance.item() ** 0.5 / math.sqrt(len(own)) + 0.02
                assert mean[0, k].item() == pytest.approx(own.mean().item(), abs=wobble)
                assert variance.item() == pytest.approx(own.var().item(), rel=0.2)


def test_with_one_cloud_of_no_width_the_exact_posterior_is_ddpms():
    x_t, levels = torch.randn(5, generator=rng(), dtype=torch.float64), cosine_schedule(6)
    for before, now in itertools.pairwise(levels):
        mean, variance = posterior(x_t, torch.tensor(0.7), now, before)
        _, exact, exact_variance = exact_posterior(
            x_t, now, before, torch.tensor([0.7]).double(), 0.0, torch.ones(1).double()
        )
        assert torch.allclose(exact[:, 0], mean)
        assert exact_variance.item() == pytest.approx(variance.item(), abs=1e-12)


def test_two_levels_lie_on_one_way_into_the_noise():
    x, now, before = torch.full((200_000,), 2.0), torch.tensor(0.3), torch.tensor(0.8)
    x_before, x_t = two_levels(x, now, before, rng())
    assert x_before.mean().item() == pytest.approx(2 * 0.8**0.5, abs=0.01)
    assert x_t.var().item() == pytest.approx(0.7, rel=0.02)
    assert (x_t - (now / before).sqrt() * x_before).var().item() == pytest.approx(1 - 0.3 / 0.8, rel=0.02)


def test_steps_back_undo_steps_forth_where_the_picture_is_known():
    """From x_t the model goes back to an x_{t-1} that is distributed, with its x_t, as the world's own."""
    x, now, before = torch.full((200_000,), 2.0), torch.tensor(0.3), torch.tensor(0.8)
    x_before, x_t = two_levels(x, now, before, rng())
    back = step_back(x_t, x, now, before, torch.randn(x.shape, generator=rng(1)))
    for moment in (lambda a: a.mean(), lambda a: a.var(), lambda a: (a * x_t).mean()):
        assert moment(back).item() == pytest.approx(moment(x_before).item(), rel=0.02)


@pytest.mark.parametrize("loudness", [0.05, 2.0])  # the second says what no picture can be
@pytest.mark.parametrize("steps", [1, 3])
def test_before_its_vector_has_a_say_it_is_ddpm_with_so_many_steps(steps, loudness):
    diffusion = small_diffusion()
    nn.init.normal_(diffusion.network.unet.end[2].weight, std=loudness)
    model = FewSteps(diffusion, steps, latent_size=4)
    z = torch.randn(2, *model.latent_shape, generator=rng())
    noise = z[:, :, : 3 * SIZE * SIZE].unflatten(2, (3, SIZE, SIZE))
    x = noise[:, 0]
    for t in range(steps, 0, -1):
        with torch.no_grad():
            picture = diffusion.estimate(x, model.alpha_bar[t], CAPTIONS)
        mean, variance = posterior(x, picture, model.alpha_bar[t], model.alpha_bar[t - 1])
        x = mean + variance.sqrt() * noise[:, t - 1]
    assert torch.allclose(model.sample(CAPTIONS, z), ((x + 2) / 4).clamp(0, 1), atol=1e-5)


def test_by_itself_it_learns_the_picture_as_it_is_inside():
    model = FewSteps(small_diffusion(), 2, latent_size=4)
    nn.init.zeros_(model.diffusion.network.unet.end[2].weight)
    nn.init.zeros_(model.diffusion.network.unet.end[2].bias)
    pictures, captions = some_dogs()
    assert model.diffusion.predicts == "picture"
    assert model.loss(pictures, captions, rng()).item() == pytest.approx((4 * pictures - 2).square().mean().item())


def test_the_vector_chooses_once_it_may():
    model = FewSteps(small_diffusion(), 2, latent_size=4)
    x_t, level = torch.randn(2, 3, SIZE, SIZE, generator=rng()), torch.full((2,), 0.1)
    vectors = torch.randn(2, 2, 4, generator=rng(1))
    one, other = (model.picture(CAPTIONS, x_t, level, vector) for vector in vectors)
    assert torch.equal(one, other)
    nn.init.normal_(model.choice[-1].weight, std=0.1)
    one, other = (model.picture(CAPTIONS, x_t, level, vector) for vector in vectors)
    assert (one - other).abs().max() > 1e-3


def test_a_step_is_judged_by_who_knows_where_it_began():
    model = FewSteps(small_diffusion(), 2, latent_size=4)
    torch.manual_seed(1)
    hybrid = WithDiscriminator(
        model, StepDiscriminator(dogs.LANGUAGE, SIZE, 8), besides=nothing, pair=FewSteps.one_step
    )
    known, real, made = model.one_step(*some_dogs(), rng())
    captions, x_t, level = known
    with torch.no_grad():
        seen = hybrid.discriminator(known, real)
        for other in ((captions[::-1], x_t, level), (captions, -x_t, level), (captions, x_t, 1 - level)):
            assert not torch.allclose(hybrid.discriminator(other, real), seen, atol=1e-4)
    assert made.requires_grad
    assert not real.requires_grad
    of_discriminator, of_model = hybrid.losses(*some_dogs(), rng())
    assert reached(of_discriminator, model) == 0
    assert reached(of_model, model.diffusion.network) > 0
    assert reached(of_model, hybrid.discriminator) == 0


def test_the_step_of_the_world_is_real():
    """At the last step back x_{t-1} is the picture itself."""
    model = FewSteps(small_diffusion(), 1, latent_size=4)
    pictures, captions = some_dogs()
    _, real, _ = model.one_step(pictures, captions, rng())
    assert torch.allclose(real, 4 * pictures - 2, atol=1e-6)


# ---- One step ----


def test_a_picture_is_one_look_of_the_network_at_pure_noise_and_one_of_the_decoder():
    model, looks = one_step(), []
    for part in (model.diffusion.network, model.diffusion.vae.decoder):
        part.register_forward_hook(lambda module, inputs, output: looks.append((module, inputs)))
    z = torch.randn(2, *model.latent_shape, generator=rng())
    drawn = model.sample(CAPTIONS, z)
    assert [module for module, _ in looks] == [model.diffusion.network, model.diffusion.vae.decoder]
    captions, seen, alpha_bar = looks[0][1]
    assert captions == CAPTIONS
    assert torch.equal(seen, z)
    assert (alpha_bar == model.diffusion.alpha_bar[-1]).all()
    # Diffusion with a single step says the same: what a game changes is the weights.
    assert torch.equal(drawn, model.diffusion.sample(CAPTIONS, z, steps=1))


def test_a_real_and_a_made_vector_are_under_the_same_noise_and_both_sides_know_how_much():
    model = one_step()
    x = torch.randn(500, *model.latent_shape, generator=rng(1))
    captions = CAPTIONS * 250
    (said, alpha_bar), real, made = noisy_pair(model, x, captions, rng())
    assert said is captions
    signal = alpha_bar.sqrt().view(-1, 1, 1, 1)
    z = torch.randn(x.shape, generator=rng())  # the first thing that is drawn
    assert torch.allclose(real - made, signal * (x - model.vector(captions, z)), atol=1e-5)
    noise = (real - signal * x)[alpha_bar < 0.99] / (1 - alpha_bar).sqrt().view(-1, 1, 1, 1)[alpha_bar < 0.99]
    assert noise.mean().abs() < 0.05
    assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert alpha_bar.max() == 1  # without noise too
    assert alpha_bar.min() > model.diffusion.alpha_bar[-1]  # under pure noise all are alike
    assert made.requires_grad
    assert not real.requires_grad


def test_the_game_of_one_step_reaches_the_network_and_leaves_the_decoder_alone():
    model = one_step()
    hybrid = WithDiscriminator(
        model, VectorDiscriminator(model.diffusion.network), besides=nothing, pair=noisy_pair, gamma=0
    )
    captions = CAPTIONS * 8
    x = torch.randn(16, *model.latent_shape, generator=rng(1))
    of_discriminator, of_model = hybrid.losses(x, captions, rng())
    assert reached(of_discriminator, hybrid.discriminator) > 0
    assert reached(of_discriminator, model.diffusion.network) == 0
    assert reached(of_model, model.diffusion.network) > 0
    assert reached(of_model, hybrid.discriminator) == 0
    vae = {name: value.clone() for name, value in model.diffusion.vae.state_dict().items()}
    network = {name: value.clone() for name, value in model.diffusion.network.state_dict().items()}
    train(hybrid, lambda game, source: game.loss(x, captions, source), rng(), steps=3, ema_decay=0.1)
    assert all(torch.equal(value, vae[name]) for name, value in model.diffusion.vae.state_dict().items())
    assert any(not torch.equal(value, network[name]) for name, value in model.diffusion.network.state_dict().items())


def test_the_first_lesson_is_over_where_the_model_says_what_it_is_shown():
    model = one_step()
    z = torch.randn(2, *model.latent_shape, generator=rng())
    x = model.vector(CAPTIONS, z).detach()
    assert distillation_loss(model, x, CAPTIONS, z) == 0
    assert torch.allclose(distillation_loss(model, x + 0.5, CAPTIONS, z), torch.tensor(0.25))
    assert distillation_loss(model, x, CAPTIONS[::-1], z) > 1e-4


def test_the_shipped_model_of_one_step_draws_dogs_in_one_look():
    model, vae = checkpoints.load("one_step"), checkpoints.load("vae").first
    assert all(torch.equal(value, vae.state_dict()[key]) for key, value in model.diffusion.vae.state_dict().items())
    captions = dogs.LANGUAGE.sample(500, rng())
    score = judge.score(model.sample(captions, rng=rng(1)), captions, rng(2))
    assert score.valid > 0.88
    assert score.fd_dogs < 16.5  # after the first training alone it was 18.2, and 89 % were valid
    assert score.faithful > 0.95
    assert score.coverage > score.coverage_of_real - 0.1


def test_a_discriminator_that_begins_as_a_denoiser_sees_its_layers_the_caption_and_the_noise():
    denoiser = one_step().diffusion.network
    torch.manual_seed(1)
    discriminator = VectorDiscriminator(denoiser, features=8)
    x, alpha_bar = torch.randn(2, 1, 4, 4, generator=rng()), torch.tensor([0.3, 0.8])
    depths = denoiser.network.depths(CAPTIONS, denoiser.seen(x, alpha_bar))
    assert depths.shape == (2, 3 * 32)
    # The last of them is what the denoiser's answer is made of.
    assert torch.allclose(denoiser.network.network[-2:](depths[:, -32:]), denoiser(CAPTIONS, x, alpha_bar).flatten(1))
    logits = discriminator((CAPTIONS, alpha_bar), x)
    assert logits.shape == (2,)
    for other in ((CAPTIONS[::-1], alpha_bar), (CAPTIONS, 1 - alpha_bar)):
        assert not torch.allclose(discriminator(other, x), logits, atol=1e-4)
    with torch.no_grad():
        discriminator.features.weight.zero_()  # what is left is the caption's own say
        first, second = discriminator((CAPTIONS, alpha_bar), x)
    assert abs(first - second) > 1e-4
    seen = []
    discriminator.features.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    discriminator((CAPTIONS, alpha_bar), x)
    assert torch.equal(seen[0], depths)
    with torch.no_grad():
        discriminator.denoiser.network.begin.weight.zero_()  # a copy: the denoiser itself stays
    assert denoiser.network.begin.weight.abs().sum() > 0


# ---- The table ----


def test_every_arm_is_built_and_trained(monkeypatch):
    monkeypatch.setattr(plugged_in, "BATCH", 2)
    for build in plugged_in.ARMS.values():
        model, steps = plugged_in.train_arm(build, seed=0, steps=1)
        assert steps == 1
        assert model.sample(CAPTIONS, rng=rng()).shape == (2, 3, 16, 16)


def test_bits_per_dimension_are_more_for_who_was_told_less():
    shipped, untrained = plugged_in.flow(), checkpoints.RECIPES["flow"].build(None)
    assert plugged_in.bits_per_dimension(shipped, 0) + 1 < plugged_in.bits_per_dimension(untrained, 0)


def test_the_stored_table_is_of_this_plan_and_whole():
    rows = plugged_in.TABLE.rows()
    keys = [(row["arm"], row["seed"]) for row in rows]
    assert sorted(keys) == sorted(itertools.product(plugged_in.ARMS, plugged_in.PLAN["seeds"]))
    assert all((row["arm"].startswith("flow")) == ("bits_per_dimension" in row) for row in rows)


def test_a_table_that_was_begun_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(plugged_in, "BATCH", 2)
    monkeypatch.setattr(comparison, "JUDGED", 4)
    monkeypatch.setattr(plugged_in, "ARMS", {"vae": plugged_in.vae})
    plan = plugged_in.PLAN | {"seconds": 0.05, "seeds": [0]}
    table = dataclasses.replace(plugged_in.TABLE, file=tmp_path / "table.json", plan=plan)
    plugged_in.run(table)
    first = table.rows()
    monkeypatch.setattr(plugged_in, "ARMS", {"vae": plugged_in.vae, "flow": plugged_in.flow})
    plugged_in.run(table)
    rows = table.rows()
    assert [row["arm"] for row in rows] == ["vae", "flow"]
    assert rows[:1] == first
