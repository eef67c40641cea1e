"""The GAN: the game where everything is known, the players' gradients, and what keeps them from running in circles."""

import math

import pytest
import torch
from torch import nn

from helpers import checkpoints, dogs, judge
from helpers.layers import PictureDecoder
from helpers.models.gan import (
    GAN,
    Discriminator,
    adversarial_losses,
    discriminator_loss,
    game_value,
    generator_loss,
    gradient_penalty,
    jensen_shannon,
    optimal_discriminator,
    paired_losses,
    play_round,
)
from helpers.training import train

CAPTIONS = ["a running dog", "a small white dog running left on the sand"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def distributions(k=6, seed=0):
    return torch.rand(2, k, generator=rng(seed), dtype=torch.float64).softmax(1)


class Bilinear(nn.Module):
    """D(x) = x . w: the discriminator of the smallest game (Mescheder et al. 2018, definition 2.1)."""

    def __init__(self, weights):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(weights))

    def forward(self, captions, x):
        return x @ self.w


def small_gan(**options):
    torch.manual_seed(0)
    return GAN(PictureDecoder(dogs.LANGUAGE, 4, 8, width=8), Discriminator(dogs.LANGUAGE, 8, width=8), 4, **options)


# ---- The game, exactly ----


@pytest.mark.parametrize("seed", range(5))
def test_the_optimal_discriminator_is_where_a_numerical_search_ends(seed):
    p, q = distributions(seed=seed)
    logits = torch.zeros(6, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-10, tolerance_change=1e-14)

    def loss():
        search.zero_grad()
        cost = -game_value(p, q, logits.sigmoid())
        cost.backward()
        return cost

    search.step(loss)
    assert torch.allclose(logits.detach().sigmoid(), optimal_discriminator(p, q), atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_the_best_value_is_minus_log_4_and_twice_the_jensen_shannon_divergence(seed):
    p, q = distributions(seed=seed)
    best = game_value(p, q, optimal_discriminator(p, q))
    m = torch.distributions.Categorical((p + q) / 2)
    kl = [torch.distributions.kl_divergence(torch.distributions.Categorical(x), m) for x in (p, q)]
    assert jensen_shannon(p, q).item() == pytest.approx(sum(kl).item() / 2, rel=1e-6)
    assert best.item() == pytest.approx(-math.log(4) + 2 * jensen_shannon(p, q).item(), rel=1e-6)
    assert best > game_value(p, q, torch.full((6,), 0.4, dtype=torch.float64))


def test_alike_it_cannot_tell_and_apart_it_always_can():
    p = distributions()[0]
    assert torch.allclose(optimal_discriminator(p, p), torch.full_like(p, 0.5))
    assert game_value(p, p, optimal_discriminator(p, p)).item() == pytest.approx(-math.log(4))
    assert jensen_shannon(p, p).item() == pytest.approx(0, abs=1e-12)
    left, right = torch.tensor([0.4, 0.6, 0, 0, 0]), torch.tensor([0, 0, 0.3, 0.7, 0])
    assert optimal_discriminator(left, right).tolist() == [1, 1, 0, 0, 0.5]
    assert game_value(left, right, optimal_discriminator(left, right)).item() == pytest.approx(0)
    assert jensen_shannon(left, right).item() == pytest.approx(math.log(2))


# ---- Losses and who they reach ----


class Given(nn.Module):
    """A discriminator whose logits are what it is shown."""

    def forward(self, captions, x):
        return x


def test_the_discriminators_loss_is_the_value_of_the_game_with_its_sign_turned():
    real, made = torch.randn(2, 500, generator=rng(), dtype=torch.float64)
    value = real.sigmoid().log().mean() + (1 - made.sigmoid()).log().mean()
    assert discriminator_loss(Given(), None, real, made).item() == pytest.approx(-value.item())
    assert generator_loss(Given(), None, made).item() == pytest.approx(-made.sigmoid().log().mean().item())


def test_a_gradient_comes_back_to_what_is_made_from_the_generators_loss_only():
    made = torch.ones(4, 2, requires_grad=True)
    of_discriminator = discriminator_loss(Bilinear([1.0, -2.0]), None, torch.ones(4, 2), made)
    assert torch.autograd.grad(of_discriminator, made, allow_unused=True) == (None,)
    (slope,) = torch.autograd.grad(generator_loss(Bilinear([1.0, -2.0]), None, made), made)
    assert torch.allclose(-slope / slope.norm(), torch.tensor([1.0, -2.0]).expand(4, 2) / math.sqrt(20))


class Dot(nn.Module):
    """One made point, which needs no z."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.ones(1, 1))

    def forward(self, captions, z):
        return self.place


def test_a_round_of_the_smallest_game_is_what_its_slopes_say():
    generator, discriminator, pace = Dot(), Bilinear([0.5]), 0.1
    optimizers = [torch.optim.SGD(player.parameters(), pace) for player in (discriminator, generator)]
    place, w = 1.0, 0.5
    for _ in range(3):  # slopes that a round before has left behind would be seen
        losses = play_round(
            generator, discriminator, optimizers, (discriminator_loss, generator_loss), None, torch.zeros(1, 1), None
        )
        first = math.log(2) + math.log(1 + math.exp(w * place))
        w -= pace * place / (1 + math.exp(-w * place))
        assert losses == pytest.approx((first, math.log(1 + math.exp(-w * place))), rel=1e-5)
        place += pace * w / (1 + math.exp(w * place))
        assert (generator.place.item(), discriminator.w.item()) == pytest.approx((place, w), rel=1e-5)


def test_pairs_are_compared_and_a_shift_of_all_logits_changes_nothing():
    real, made = torch.randn(2, 50, generator=rng(), dtype=torch.float64)
    first, second = paired_losses(real, made)
    assert first.item() == pytest.approx(-(real - made).sigmoid().log().mean().item())
    assert second.item() == pytest.approx(-(made - real).sigmoid().log().mean().item())
    assert paired_losses(real + 3, made + 3)[0].item() == pytest.approx(first.item())
    plain = [discriminator_loss(Given(), None, real + shift, made + shift).item() for shift in (0, 3)]
    assert plain[0] != pytest.approx(plain[1], rel=0.01)


@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_each_loss_reaches_its_own_player_and_the_sum_reaches_both_alike(gamma):
    model = small_gan(gamma=gamma)
    pictures = dogs.draw(dogs.sample_scenes(CAPTIONS, rng()), 8)
    players = {"discriminator": model.discriminator, "generator": model.generator}
    together = torch.autograd.grad(model.loss(pictures, CAPTIONS, rng(1)), list(model.parameters()), allow_unused=True)
    together = dict(zip(model.parameters(), together, strict=True))
    for number, player in enumerate(players.values()):
        model.zero_grad()
        model.losses(pictures, CAPTIONS, rng(1))[number].backward()
        own = set(player.parameters())
        for parameter in model.parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().sum() > 0)
            assert not (reached and parameter not in own)
            if parameter in own and parameter.grad is not None:
                assert torch.allclose(parameter.grad, together[parameter], atol=1e-7)
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in own)


def test_the_generator_goes_where_the_discriminator_sees_more_reality():
    made = torch.zeros(4, 2, requires_grad=True)
    real = torch.ones(4, 2)
    _, loss = adversarial_losses(Bilinear([1.0, -2.0]), None, real, made, 0.0)
    (slope,) = torch.autograd.grad(loss, made)
    assert torch.allclose(-slope / slope.norm(), torch.tensor([1.0, -2.0]).expand(4, 2) / math.sqrt(20))


def test_the_penalty_is_the_squared_slope():
    penalty, logits = gradient_penalty(Bilinear([3.0, 4.0]), None, torch.randn(7, 2, generator=rng()))
    assert penalty.item() == pytest.approx(25)
    assert logits.shape == (7,)
    model = small_gan().discriminator.double()
    pictures = torch.rand(2, 3, 8, 8, generator=rng(), dtype=torch.float64)
    slopes = torch.zeros_like(pictures)
    for i in range(pictures[0].numel()):
        nudge = torch.zeros_like(pictures).flatten(1)
        nudge[:, i] = 1e-5
        up, down = (model(CAPTIONS, pictures + s * nudge.view_as(pictures)) for s in (1, -1))
        slopes.view(2, -1)[:, i] = ((up - down) / 2e-5).detach()
    penalty = gradient_penalty(model, CAPTIONS, pictures)[0].item()
    assert penalty == pytest.approx(slopes.square().flatten(1).sum(1).mean().item(), rel=1e-4)


def test_the_penalty_pulls_on_the_discriminator_alone_and_gamma_is_its_weight():
    discriminator, real = Bilinear([0.5, 0.0]), torch.randn(9, 2, generator=rng())
    made = torch.randn(9, 2, generator=rng(1), requires_grad=True)
    without, with_it = (adversarial_losses(discriminator, None, real, made, gamma) for gamma in (0.0, 4.0))
    assert (with_it[0] - without[0]).item() == pytest.approx(4 / 2 * (0.25 + 0.25))
    assert with_it[1].item() == pytest.approx(without[1].item())
    assert torch.autograd.grad(with_it[0], made, allow_unused=True) == (None,)


def test_the_smallest_game_runs_in_circles_and_the_penalty_ends_them():
    """One real point at 0, one made point, D(x) = w x (Mescheder et al. 2018, section 2): outwards, or home."""
    distance = {}
    for gamma in (0.0, 1.0):
        discriminator, made = Bilinear([0.0]), torch.ones(1, 1, requires_grad=True)
        for _ in range(1000):
            losses = adversarial_losses(discriminator, None, torch.zeros(1, 1), made, gamma)
            slopes = torch.autograd.grad(sum(losses), [made, discriminator.w])
            with torch.no_grad():
                for player, slope in zip([made, discriminator.w], slopes, strict=True):
                    player -= 0.1 * slope
        distance[gamma] = math.hypot(made.item(), discriminator.w.item())
    assert distance[0.0] > 100 * distance[1.0]
    assert distance[1.0] < 1e-3


# ---- With captions ----


def test_the_discriminator_listens_to_the_caption():
    model = small_gan().discriminator
    pictures = torch.rand(1, 3, 8, 8, generator=rng()).expand(2, -1, -1, -1)
    one, other = model(CAPTIONS, pictures)
    assert (one - other).abs() > 1e-3
    assert torch.allclose(model(CAPTIONS[:1] * 2, pictures), one.expand(2), atol=1e-5)


def test_it_learns_which_caption_belongs_to_a_picture():
    torch.manual_seed(0)
    model = Discriminator(dogs.LANGUAGE, 8, width=8)
    sides = ["a dog running left", "a dog running right"] * 32

    def wrong_pair_loss(model, generator):
        pictures = dogs.draw(dogs.sample_scenes(sides, generator), 8)
        fits, does_not = model(sides, pictures), model(sides[::-1], pictures)
        return (nn.functional.softplus(-fits) + nn.functional.softplus(does_not)).mean()

    losses = train(model, wrong_pair_loss, rng(), steps=150, lr=3e-3)
    assert losses[0] == pytest.approx(math.log(4), abs=0.3)
    assert sum(losses[-10:]) / 10 < 0.7


def test_a_gan_goes_through_the_one_loop_and_what_it_makes_comes_nearer():
    model = small_gan()

    def batch(n, generator):
        captions = dogs.LANGUAGE.sample(n, generator)
        return dogs.draw(dogs.sample_scenes(captions, generator), 8), captions

    real, captions = batch(200, rng(5))

    def apart():
        return (model.sample(captions, rng=rng(6)).mean(0) - real.mean(0)).square().mean().item()

    before = apart()
    # The two go round each other: a long mean of the weights lies nearer to where they settle than the last of them.
    budget = {"steps": 400, "lr": 5e-4, "part_lr": {"discriminator": 3e-3}, "betas": (0.0, 0.99), "ema_decay": 0.98}
    train(model, lambda model, generator: model.loss(*batch(16, generator), generator), rng(), **budget)
    assert apart() < before / 3
    assert isinstance(model.generator, PictureDecoder)


# ---- What the course ships ----


def test_the_shipped_generator_does_what_is_asked_and_shows_many_answers():
    model = checkpoints.load("gan")
    captions = dogs.LANGUAGE.sample(300, rng(1))
    real = dogs.draw(dogs.sample_scenes(captions, rng(3)), 16)
    drawn = model.sample(captions, rng=rng(2))
    untrained = checkpoints.build_gan(rng()).sample(captions, rng=rng(2))
    assert judge.faithful(drawn, captions) > 0.75
    assert judge.frechet_distance(drawn, real) < 0.3 * judge.frechet_distance(untrained, real)
    one = model.sample(["a running dog"] * 192, rng=rng(4))
    assert len(judge.read(one).scenes.attributes.unique(dim=0)) > 50
