"""Diffusion: the way to noise against its closed form, the way back against Bayes and a mixture known exactly."""

import itertools
import math

import pytest
import torch
from torch import nn

from helpers import checkpoints, dogs, judge
from helpers.models.diffusion import (
    Diffusion,
    add_noise,
    ancestral_sampling,
    classifier_free_guidance,
    cosine_schedule,
    ddim_step,
    denoise,
    denoising_loss,
    linear_schedule,
    loss_weight,
    posterior,
    spaced,
    target,
    to_picture,
)
from helpers.unet import Attention, Denoiser, UNet

SCHEDULES = pytest.mark.parametrize("schedule", [linear_schedule, cosine_schedule])
PREDICTS = pytest.mark.parametrize("predicts", ["noise", "picture", "velocity"])
NOW, BEFORE = torch.tensor(0.3), torch.tensor(0.55)  # alpha_bar of a step and of the one that it leads to


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


# ---- The way to noise ----


@SCHEDULES
def test_noise_added_step_by_step_is_noise_added_in_one_jump(schedule):
    alpha_bar, generator = schedule(50), rng()
    x = torch.full((100_000,), 1.5, dtype=torch.float64)
    for t, (before, now) in enumerate(itertools.pairwise(alpha_bar), start=1):
        beta = 1 - now / before
        x = (1 - beta).sqrt() * x + beta.sqrt() * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        if t in (1, 10, 25, 50):
            assert x.mean().item() == pytest.approx(1.5 * now.sqrt().item(), abs=0.02)
            assert x.std().item() == pytest.approx((1 - now).sqrt().item(), rel=0.02)
    once = add_noise(torch.tensor(1.5), torch.randn(100_000, generator=generator), alpha_bar[25])
    assert once.mean().item() == pytest.approx(1.5 * alpha_bar[25].sqrt().item(), abs=0.02)
    assert once.std().item() == pytest.approx((1 - alpha_bar[25]).sqrt().item(), rel=0.02)


def test_the_noise_has_the_standard_deviation_and_not_the_variance():
    alpha_bar = torch.tensor(0.36)
    assert add_noise(torch.tensor(0.0), torch.tensor(1.0), alpha_bar).item() == pytest.approx(0.8)
    assert add_noise(torch.tensor(1.0), torch.tensor(0.0), alpha_bar).item() == pytest.approx(0.6)


@SCHEDULES
def test_every_schedule_of_every_length_begins_with_the_picture_and_ends_in_noise(schedule):
    for steps in range(10, 1001):
        alpha_bar = schedule(steps)
        beta = 1 - alpha_bar[1:] / alpha_bar[:-1]
        assert alpha_bar.shape == (steps + 1,)
        assert alpha_bar[0] == 1
        assert 0 < alpha_bar[-1].sqrt() < 0.01, f"{steps} steps leave {alpha_bar[-1].sqrt():.3f} of the signal"
        assert (beta > 0).all()
        assert (beta < 1).all()


def test_the_schedules_are_those_of_the_papers():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    ho = (1 - betas).cumprod(0)
    assert torch.allclose(linear_schedule(1000)[1:].sqrt(), ho.sqrt(), atol=2e-3)
    half = math.cos((0.5 + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert cosine_schedule(1000)[500].item() == pytest.approx(half)


# ---- What a network can be asked for ----


@PREDICTS
def test_a_prediction_gives_the_picture_back(predicts):
    x, noise = torch.randn(2, 5, 3, 4, 4, generator=rng())
    x_t = add_noise(x, noise, NOW)
    picture = to_picture(predicts, target(predicts, x, noise, NOW), x_t, NOW)
    assert torch.allclose(picture, x, atol=1e-5)


def test_the_velocity_is_the_speed_along_the_circle():
    angle = torch.tensor(0.7, requires_grad=True)
    x_t = add_noise(torch.tensor(1.3), torch.tensor(-0.4), angle.cos().square())
    (speed,) = torch.autograd.grad(x_t, angle)
    assert target("velocity", torch.tensor(1.3), torch.tensor(-0.4), angle.detach().cos().square()).item() == (
        pytest.approx(speed.item(), rel=1e-5)
    )


# ---- The way back ----


def test_the_posterior_is_that_of_bayes():
    x_t, picture = torch.tensor(0.4), torch.tensor(-0.9)
    x = torch.linspace(-6, 6, 200_001, dtype=torch.float64)
    alpha = NOW / BEFORE
    log_p = -((x - BEFORE.sqrt() * picture) ** 2) / (2 * (1 - BEFORE)) - (x_t - alpha.sqrt() * x) ** 2 / (
        2 * (1 - alpha)
    )
    p = log_p.softmax(0)
    mean, variance = posterior(x_t, picture, NOW, BEFORE)
    assert mean.item() == pytest.approx((p * x).sum().item(), abs=1e-5)
    assert variance.item() == pytest.approx((p * x**2).sum().item() - (p * x).sum().item() ** 2, abs=1e-5)


def test_with_eta_1_ddim_is_ddpm_in_law():
    x_t, picture = torch.randn(2, 100, generator=rng())
    mean, variance = posterior(x_t, picture, NOW, BEFORE)
    still = ddim_step(x_t, picture, NOW, BEFORE, torch.zeros(100), eta=1)
    moved = ddim_step(x_t, picture, NOW, BEFORE, torch.ones(100), eta=1)
    assert torch.allclose(still, mean, atol=1e-5)
    assert torch.allclose(moved - still, variance.sqrt(), atol=1e-5)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_a_step_leads_to_the_noise_of_the_level_it_leads_to(eta):
    picture, noise, fresh = torch.tensor(0.7), *torch.randn(2, 200_000, generator=rng())
    x = ddim_step(add_noise(picture, noise, NOW), picture, NOW, BEFORE, fresh, eta)
    assert x.mean().item() == pytest.approx(BEFORE.sqrt().item() * 0.7, abs=0.01)
    assert x.std().item() == pytest.approx((1 - BEFORE).sqrt().item(), rel=0.01)


def test_the_last_step_adds_no_noise():
    x_t, picture, fresh = torch.randn(3, 100, generator=rng())
    mean, variance = posterior(x_t, picture, NOW, torch.tensor(1.0))
    assert torch.allclose(mean, picture)
    assert variance == 0
    for eta in (0.0, 1.0):
        assert torch.allclose(ddim_step(x_t, picture, NOW, torch.tensor(1.0), fresh, eta), picture)


MEANS = torch.tensor([[-2.0, 0.0], [1.0, 1.5], [1.5, -1.0]], dtype=torch.float64)
SPREADS = torch.tensor([0.2, 0.4, 0.1], dtype=torch.float64)  # standard deviation of each, the same in all directions
SHARES = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)


def exact_estimate(x_t, alpha_bar):
    """E[x_0 | x_t] if x_0 comes from the mixture: a mean over components, each weighed by how likely it made x_t."""
    variance = alpha_bar * SPREADS**2 + 1 - alpha_bar  # (3,): of x_t, for each component
    offset = x_t[:, None] - alpha_bar.sqrt() * MEANS  # (n, 3, 2)
    log_weight = SHARES.log() - variance.log() - offset.square().sum(2) / (2 * variance)
    each = MEANS + (alpha_bar.sqrt() * SPREADS**2 / variance)[:, None] * offset
    return (log_weight.softmax(1)[..., None] * each).sum(1)


@pytest.mark.parametrize(
    ("schedule", "steps", "eta"),
    [(linear_schedule, 1000, 1.0), (cosine_schedule, 500, 1.0), (cosine_schedule, 200, 0.0)],
)
def test_with_the_exact_denoiser_the_sampler_gives_the_mixture_back(schedule, steps, eta):
    z = torch.randn(6000, 2, generator=rng(1), dtype=torch.float64)
    *_, (x, picture) = denoise(exact_estimate, z, schedule(steps), eta, rng(2))
    assert torch.allclose(x, picture)
    nearest = torch.cdist(x, MEANS).div(SPREADS).argmin(1)
    for k in range(3):
        mine = x[nearest == k]
        assert len(mine) / len(x) == pytest.approx(SHARES[k].item(), abs=0.025)
        assert torch.allclose(mine.mean(0), MEANS[k], atol=0.03)
        assert torch.allclose(mine.std(0), SPREADS[k], rtol=0.08)


def test_eta_0_needs_no_randomness_and_any_other_does():
    z = torch.randn(50, 2, generator=rng(), dtype=torch.float64)
    first, again = (list(denoise(exact_estimate, z, cosine_schedule(20)))[-1][0] for _ in range(2))
    assert torch.equal(first, again)
    noisy = [list(denoise(exact_estimate, z, cosine_schedule(20), 1.0, rng(k)))[-1][0] for k in (1, 1, 2)]
    assert torch.equal(noisy[0], noisy[1])
    assert not torch.equal(noisy[0], noisy[2])
    with pytest.raises(ValueError, match="fresh noise needs a source"):
        next(denoise(exact_estimate, z, cosine_schedule(20), 0.5))


def test_the_sampler_that_lessons_write_out_draws_what_the_model_draws_with_eta_1():
    z = torch.randn(50, 2, generator=rng(), dtype=torch.float64)
    levels = cosine_schedule(30)
    for some in (levels, levels[::10]):
        *_, (x, _) = denoise(exact_estimate, z, some, 1.0, rng(3))
        assert torch.allclose(ancestral_sampling(exact_estimate, z, some, rng(3)), x, atol=1e-5)


@pytest.mark.parametrize("left", [0.01, 0.5, 0.8])
def test_an_error_of_the_picture_counts_as_much_as_that_of_the_velocity_that_follows(left):
    alpha_bar = torch.tensor(left)
    x, noise, guess = (torch.randn(500, generator=rng(seed)) for seed in range(3))
    x_t = add_noise(x, noise, alpha_bar)
    implied = (x_t - alpha_bar.sqrt() * guess) / (1 - alpha_bar).sqrt()
    of_velocity = target("velocity", guess, implied, alpha_bar) - target("velocity", x, noise, alpha_bar)
    counted = loss_weight("picture", alpha_bar) * (guess - x).square()
    assert torch.allclose(counted, of_velocity.square(), rtol=1e-3, atol=1e-4)


@PREDICTS
def test_the_loss_is_the_weighted_square_of_what_the_network_says_of_x_t(predicts):
    x, noise = torch.randn(2, 2, 1, 3, 3, generator=rng())
    alpha_bar, asked = torch.tensor([0.9, 0.2]).view(2, 1, 1, 1), []

    def network(captions, x_t, levels):
        asked.append((captions, x_t, levels))
        return 0 * x_t

    value = denoising_loss(network, ["a", "b"], x, alpha_bar, noise, predicts)
    ((captions, x_t, levels),) = asked
    assert captions == ["a", "b"]
    assert torch.equal(x_t, add_noise(x, noise, alpha_bar))
    assert levels.tolist() == pytest.approx([0.9, 0.2])
    each = [
        loss_weight(predicts, a) * target(predicts, x[k], noise[k], a).square().mean()
        for k, a in enumerate(torch.tensor([0.9, 0.2]))
    ]
    assert value.item() == pytest.approx((sum(each) / 2).item(), rel=1e-5)


def test_steps_with_next_to_no_noise_do_not_count_for_all():
    alpha_bar = torch.tensor([0.9, 0.99, 0.999])
    assert loss_weight("picture", alpha_bar).tolist() == [6, 6, 6]
    assert loss_weight("noise", alpha_bar).tolist() == [1, 1, 1]


# ---- The model ----


class Knowing(nn.Module):
    """A network that knows that every picture is grey with this value, and one other where nothing is asked for."""

    def __init__(self, predicts, grey=0.7, other=0.3):
        super().__init__()
        self.language, self.predicts, self.calls = dogs.LANGUAGE, predicts, 0
        self.grey, self.other = grey, other

    def forward(self, captions, x, alpha_bar):
        self.calls += 1
        alpha_bar = alpha_bar.view(-1, 1, 1, 1)
        values = [self.other if caption == dogs.LANGUAGE.captions[0] else self.grey for caption in captions]
        picture = 4 * torch.tensor(values).view(-1, 1, 1, 1).expand(x.shape) - 2
        noise = (x - alpha_bar.sqrt() * picture) / (1 - alpha_bar).sqrt()
        return target(self.predicts, picture, noise, alpha_bar)


WHITE = ["a white running dog"] * 4


@PREDICTS
def test_who_knows_the_picture_has_no_loss_and_draws_it(predicts):
    model = Diffusion(Knowing(predicts), 8, linear_schedule(100), predicts)
    pictures = torch.full((4, 3, 8, 8), 0.7)
    assert model.loss(pictures, WHITE, rng()).item() < 1e-4
    assert model.loss(pictures - 0.1, WHITE, rng()).item() > 1e-3
    for steps, eta in ((1, 0.0), (5, 0.0), (100, 1.0)):
        drawn = model.sample(WHITE, rng=rng(), steps=steps, eta=eta)
        assert torch.allclose(drawn, pictures, atol=1e-3)


@pytest.mark.parametrize(("guidance", "grey", "calls"), [(1.0, 0.7, 5), (0.0, 0.3, 10), (1.5, 0.9, 10)])
def test_guidance_goes_from_what_no_caption_gives_beyond_what_the_caption_gives(guidance, grey, calls):
    model = Diffusion(Knowing("picture"), 8, cosine_schedule(50), "picture")
    drawn = model.sample(WHITE, rng=rng(), steps=5, guidance=guidance)
    assert torch.allclose(drawn, torch.tensor(grey), atol=1e-4)
    assert model.network.calls == calls


def test_guidance_is_linear():
    a, b = torch.randn(2, 10, generator=rng())
    assert torch.equal(classifier_free_guidance(a, b, 0.0), b)
    assert torch.allclose(classifier_free_guidance(a, b, 1.0), a)
    assert torch.allclose(classifier_free_guidance(a, b, 3.0), 3 * a - 2 * b, atol=1e-5)


def lively(model):
    """The model with weights that do something; an untrained one begins by doing nothing."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=rng()))
    return model.eval()


@pytest.mark.parametrize("spacing", ["linear", "quadratic"])
@pytest.mark.parametrize(("steps", "of"), [(1, 1), (1, 50), (7, 7), (20, 21), (20, 1000), (100, 1000), (1000, 1000)])
def test_a_sampler_stops_as_often_as_it_is_told_from_the_picture_to_the_end_and_never_twice(steps, of, spacing):
    stops = spaced(steps, of, spacing)
    assert len(stops) == steps + 1
    assert (stops[0], stops[-1]) == (0, of)
    assert (stops.diff() > 0).all()


def test_quadratic_spacing_has_more_stops_near_the_picture():
    assert spaced(5, 100).tolist() == [0, 20, 40, 60, 80, 100]
    assert spaced(5, 100, "quadratic").tolist() == [0, 4, 16, 36, 64, 100]
    model, seen = Diffusion(Knowing("picture"), 8, cosine_schedule(50), "picture"), []
    estimate = model.estimate
    model.estimate = lambda x_t, alpha_bar, *rest: seen.append(alpha_bar) or estimate(x_t, alpha_bar, *rest)
    model.sample(WHITE, rng=rng(), steps=5, spacing="quadratic")
    assert torch.equal(torch.stack(seen), model.alpha_bar[[50, 32, 18, 8, 2]])
    with pytest.raises(ValueError, match="linear or quadratic, not 'cubic'"):
        model.sample(WHITE, rng=rng(), steps=5, spacing="cubic")


def test_the_whole_way_ends_in_the_sample_and_no_step_is_left_out():
    torch.manual_seed(0)
    model = lively(Diffusion(Denoiser(dogs.LANGUAGE, 8, width=32), 8, cosine_schedule(30)))
    way = list(model.trajectory(WHITE, rng=rng(), steps=7))
    assert len(way) == 7
    assert torch.equal(way[-1][1].clamp(0, 1), model.sample(WHITE, rng=rng(), steps=7))
    assert torch.allclose((way[-1][0] + 2) / 4, way[-1][1], atol=1e-5)
    for steps in (0, 31):
        with pytest.raises(ValueError, match=f"from 1 to 30, not {steps}"):
            model.sample(WHITE, rng=rng(), steps=steps)


@pytest.mark.parametrize("alpha_bar", [[1.0], [0.9, 0.5], [1.0, 0.5, 0.5], [0.1, 0.5, 1.0], [[1.0, 0.5]], [1.0, -0.1]])
def test_what_is_no_schedule_is_refused(alpha_bar):
    with pytest.raises(ValueError, match="falls at every step"):
        Diffusion(Knowing("noise"), 8, torch.tensor(alpha_bar), "noise")


def test_a_network_that_predicts_something_else_is_refused():
    with pytest.raises(ValueError, match="noise, picture or velocity, not 'score'"):
        Diffusion(Knowing("noise"), 8, cosine_schedule(10), "score")


def test_the_weights_fit_a_schedule_of_any_length():
    torch.manual_seed(0)
    long, short = (Diffusion(Denoiser(dogs.LANGUAGE, 8, width=32), 8, cosine_schedule(t)) for t in (1000, 10))
    short.load_state_dict(long.state_dict())


# ---- The network ----


@pytest.mark.parametrize(
    ("size", "levels", "channels", "fold"), [(16, 2, 3, 2), (32, 3, 3, 2), (64, 4, 3, 2), (8, 1, 4, 2), (32, 2, 3, 4)]
)
def test_one_u_net_for_every_size(size, levels, channels, fold):
    torch.manual_seed(0)
    net = UNet(16, size, channels, width=32, levels=levels, fold=fold)
    x, condition = torch.randn(2, channels, size, size, generator=rng()), torch.randn(2, 16, generator=rng())
    assert torch.equal(*net(x, condition))  # an untrained one says the same of every picture
    net = lively(net)
    assert net(x, condition).shape == x.shape
    assert not torch.allclose(net(x, condition), net(x, condition.flip(0)))


def test_every_weight_of_the_network_learns():
    torch.manual_seed(0)
    denoiser = Denoiser(dogs.LANGUAGE, 16, width=32)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng()))
    captions = dogs.LANGUAGE.sample(64, rng())
    x = torch.randn(64, 3, 16, 16, generator=rng())
    denoiser(captions, x, torch.rand(64, generator=rng())).square().sum().backward()
    still = [name for name, p in denoiser.named_parameters() if p.grad is None or p.grad.abs().max() == 0]
    assert not still
    for join in denoiser.unet.join:  # what comes up from the coarser grid, and what was seen on the way down
        assert (join.weight.grad.abs().amax((0, 2, 3)) > 0).all()


def test_attention_carries_news_from_every_point_to_every_other():
    torch.manual_seed(0)
    look = lively(Attention(32, 16))
    x = torch.randn(1, 32, 4, 4, generator=rng(), requires_grad=True)
    look(x)[0, :, 0, 0].sum().backward()
    assert (x.grad.abs().sum(1) > 0).all()


def test_the_network_hears_the_caption_and_the_amount_of_noise():
    torch.manual_seed(0)
    denoiser = lively(Denoiser(dogs.LANGUAGE, 16, width=32))
    x = torch.randn(1, 3, 16, 16, generator=rng())
    half = torch.tensor([0.5])
    answer = denoiser(["a running dog"], x, half)
    assert not torch.allclose(answer, denoiser(["a white running dog"], x, half))
    assert not torch.allclose(answer, denoiser(["a running dog"], x, torch.tensor([0.6])))


# ---- What is shipped ----


def test_the_shipped_model_does_what_was_asked_and_more_so_with_guidance():
    model, captions = checkpoints.load("diffusion"), dogs.LANGUAGE.sample(150, rng(1))
    faithful = [judge.faithful(model.sample(captions, rng=rng(2), steps=10, guidance=s), captions) for s in (0, 1, 2)]
    assert faithful[0] + 0.2 < faithful[1] < faithful[2]
    assert faithful[1] > 0.65


def test_the_shipped_model_gives_what_it_gave_before_its_loss_was_written_for_students():
    model, generator = checkpoints.load("diffusion"), rng(3)
    captions = dogs.LANGUAGE.sample(8, generator)
    drawn = model.sample(captions, rng=generator, steps=5, eta=1, guidance=2.0)
    assert drawn[0, 0, 8, :4].tolist() == pytest.approx([0.3789, 0.3848, 0.3328, 0.4517], abs=2e-3)
    pictures = dogs.draw(dogs.sample_scenes(captions, generator), 16)
    assert model.loss(pictures, captions, generator).item() == pytest.approx(0.05125, rel=0.01)
