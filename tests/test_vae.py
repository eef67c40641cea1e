"""The VAE: its two terms against closed forms and sampling, its bound against a likelihood that is known exactly."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal, Normal

from helpers import checkpoints, dogs, judge
from helpers.models.vae import VAE, TwoStageVAE, kl_divergence, reparameterise
from helpers.training import train


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


class Linear(nn.Module):
    """A linear map in the place of an encoder or a decoder; captions are not read."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.map = nn.Linear(inputs, outputs)

    def forward(self, captions, x):
        return self.map(x)


def linear_vae(loadings, sigma):
    """The VAE whose exact likelihood is known, x = W z + sigma noise (5 numbers, z of 3), with the exact posterior.

    The columns of W must be orthogonal: only then is the true posterior a Gaussian without correlations.
    """
    numbers, size = loadings.shape
    vae = VAE(Linear(numbers, 2 * size), Linear(size, numbers), size, sigma)
    precision = 1 + loadings.square().sum(0) / sigma**2
    with torch.no_grad():
        vae.decoder.map.weight.copy_(loadings)
        vae.decoder.map.bias.zero_()
        vae.encoder.map.weight.copy_(
            torch.cat([loadings.T / sigma**2 / precision[:, None], torch.zeros(size, numbers)])
        )
        vae.encoder.map.bias.copy_(torch.cat([torch.zeros(size), -precision.log()]))
    return vae


def bound_and_likelihood(vae, loadings, sigma, n=200_000):
    """Mean ELBO of one x over many draws, and the exact log p(x), in nats."""
    x = torch.tensor([[0.8, -1.2, 0.3, 0.9, -0.4]])
    with torch.no_grad():
        log_likelihood, kl, _, _ = vae.terms(x.expand(n, -1), None, rng())
    covariance = loadings @ loadings.T + sigma**2 * torch.eye(len(loadings))
    return (log_likelihood - kl).mean().item(), MultivariateNormal(torch.zeros(5), covariance).log_prob(x).item()


@pytest.fixture
def loadings():
    orthogonal, _ = torch.linalg.qr(torch.randn(5, 3, generator=rng(3)))
    return orthogonal * torch.tensor([2.0, 1.0, 0.5])


# ---- The two terms ----


def test_kl_divergence_against_sampling():
    mu, log_var = torch.tensor([[1.0, -0.5, 0.0]]), torch.tensor([[-1.0, 0.5, 0.0]])
    q = Normal(mu, (log_var / 2).exp())
    z = mu + (log_var / 2).exp() * torch.randn(400_000, 3, generator=rng())
    sampled = (q.log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(1).mean()
    assert kl_divergence(mu, log_var).item() == pytest.approx(sampled.item(), abs=0.01)


def test_kl_divergence_sums_over_the_numbers_of_z_and_leaves_the_batch():
    mu, log_var = torch.randn(2, 7, 4, generator=rng())
    whole = kl_divergence(mu, log_var)
    assert whole.shape == (7,)
    parts = [kl_divergence(mu[:, [i]], log_var[:, [i]]) for i in range(4)]
    assert torch.allclose(whole, sum(parts), atol=1e-5)
    assert kl_divergence(torch.zeros(1, 4), torch.zeros(1, 4)).item() == 0
    assert (whole > 0).all()


def test_reparameterised_draws_have_the_right_mean_and_spread_and_a_gradient():
    mu, log_var = torch.tensor([[2.0, -1.0]], requires_grad=True), torch.tensor([[1.0, -2.0]], requires_grad=True)
    z = reparameterise(mu.expand(100_000, -1), log_var.expand(100_000, -1), rng())
    assert torch.allclose(z.mean(0), mu[0], atol=0.02)
    assert torch.allclose(z.std(0), (log_var[0] / 2).exp(), rtol=0.02)
    z.square().mean(0).sum().backward()  # E[z^2] = mu^2 + exp(log_var)
    assert torch.allclose(mu.grad, 2 * mu, atol=0.05)
    assert torch.allclose(log_var.grad, log_var.exp(), rtol=0.05)


# ---- The bound ----


def test_with_the_exact_posterior_the_bound_is_the_likelihood(loadings):
    bound, exact = bound_and_likelihood(linear_vae(loadings, 0.7), loadings, 0.7)
    assert bound == pytest.approx(exact, abs=0.02)


@pytest.mark.parametrize("shift", [0.5, -0.5])
def test_with_another_encoder_the_bound_lies_below_the_likelihood_by_the_divergence_between_posteriors(loadings, shift):
    vae = linear_vae(loadings, 0.7)
    with torch.no_grad():
        vae.encoder.map.bias[:3] += shift  # mu moves, the variances stay
    bound, exact = bound_and_likelihood(vae, loadings, 0.7)
    precision = 1 + loadings.square().sum(0) / 0.49
    assert exact - bound == pytest.approx((shift**2 * precision).sum().item() / 2, rel=0.02)


def test_the_loss_is_the_bound_for_each_number_averaged_over_the_batch(loadings):
    vae, x = linear_vae(loadings, 0.7), torch.randn(64, 5, generator=rng())
    log_likelihood, kl, _, _ = vae.terms(x, None, rng(1))
    assert log_likelihood.shape == kl.shape == (64,)
    assert vae.loss(x, None, rng(1)).item() == pytest.approx((kl - log_likelihood).mean().item() / 5, rel=1e-5)
    vae.beta = 3.0
    assert vae.loss(x, None, rng(1)).item() == pytest.approx((3 * kl - log_likelihood).mean().item() / 5, rel=1e-5)


def test_the_noise_that_is_not_given_is_the_likeliest(loadings):
    vae, x = linear_vae(loadings, 0.7), torch.randn(64, 5, generator=rng())
    vae.sigma = None
    best = vae.terms(x, None, rng(1))[0].mean()
    for sigma in (0.3, 0.5, 0.7, 1.0, 1.5, 2.0):
        vae.sigma = sigma
        assert vae.terms(x, None, rng(1))[0].mean() < best


def test_a_linear_vae_is_probabilistic_pca():
    """It learns to spend half a log of variance over noise on each direction, and nothing on what varies less."""
    variances = torch.tensor([4.0, 1.0, 0.25, 0.04, 0.01])
    turned, _ = torch.linalg.qr(torch.randn(5, 5, generator=rng(5)))
    data = torch.randn(20_000, 5, generator=rng()) * variances.sqrt() @ turned.T
    torch.manual_seed(0)
    vae = VAE(Linear(5, 8), Linear(4, 5), 4, sigma=0.3)

    def loss(model, rng):
        return model.loss(data[torch.randint(len(data), (512,), generator=rng)], None, rng)

    train(vae, loss, rng(), steps=1500, lr=1e-2, ema_decay=0.98)
    mu, log_var = vae.encode(data, None)
    found = ((mu.square() + log_var.exp() - 1 - log_var).mean(0) / 2).sort(descending=True).values
    expected = (variances[:4] / 0.09).log().clamp(min=0) / 2
    assert torch.allclose(found, expected, atol=0.06)


# ---- Two stages, and what is shipped ----


def test_the_second_stage_sends_no_gradient_into_the_first():
    torch.manual_seed(0)
    model = TwoStageVAE(dogs.LANGUAGE, 4, size=8, width=8)
    captions = dogs.LANGUAGE.sample(4, rng())
    pictures = dogs.draw(dogs.sample_scenes(captions, rng()), 8)
    first = model.first.loss(pictures, captions, rng(1))
    alone = torch.autograd.grad(first, list(model.first.parameters()), allow_unused=True)
    both = torch.autograd.grad(
        model.loss(pictures, captions, rng(1)), list(model.first.parameters()), allow_unused=True
    )
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(alone, both, strict=True) if a is not None)


def test_the_two_trainings_are_of_the_two_losses():
    torch.manual_seed(0)
    model = TwoStageVAE(dogs.LANGUAGE, 4, size=8, width=8)
    captions = dogs.LANGUAGE.sample(4, rng())
    pictures = dogs.draw(dogs.sample_scenes(captions, rng()), 8)
    assert torch.equal(model.first_loss(pictures, captions, rng(1)), model.first.loss(pictures, captions, rng(1)))
    vectors = model.vectors(pictures, captions, rng())
    mu, log_var = model.first.encode(pictures, captions)
    assert vectors.shape == (4, 2, 4)
    source = rng(2)
    drawn = mu + (log_var / 2).exp() * torch.randn(4, 4, generator=source)
    expected = model.second.loss(drawn, captions, source)
    assert torch.allclose(model.second_loss(vectors, captions, rng(2)), expected)


@pytest.mark.parametrize("seed", range(4))
def test_training_stays_finite_and_the_first_stage_learns(seed):
    torch.manual_seed(seed)
    model = TwoStageVAE(dogs.LANGUAGE, 4, size=8, width=8)

    def batch(n, rng):
        captions = dogs.LANGUAGE.sample(n, rng)
        return dogs.draw(dogs.sample_scenes(captions, rng), 8), captions, rng

    before = model.first.loss(*batch(256, rng(9)))
    train(model, lambda model, rng: model.loss(*batch(32, rng)), rng(seed), steps=60, lr=3e-3, ema_decay=0.9)
    assert model.first.loss(*batch(256, rng(9))) < before - 0.5
    assert torch.isfinite(model.sample(["a running dog"] * 50, rng=rng(seed))).all()


def test_the_shipped_model_draws_dogs_that_do_what_was_asked():
    captions = dogs.LANGUAGE.sample(300, rng(1))
    drawn = checkpoints.load("vae").sample(captions, rng=rng(2))
    assert judge.valid(drawn) > 0.5
    assert judge.faithful(drawn, captions) > 0.85
    assert judge.coverage(drawn, captions) > judge.coverage_of_real(captions, round(300 * judge.valid(drawn))) - 0.12


def test_its_decoder_refuses_a_z_of_another_shape():
    with pytest.raises(ValueError, match="shape"):
        checkpoints.load("vae").sample(["a running dog"], torch.zeros(1, 15))
    with pytest.raises(ValueError, match="purple"):
        checkpoints.load("vae").sample(["a purple running dog"], rng=rng())


def test_the_bound_is_in_nats():
    """A decoder that is always wrong by one, with noise 1, pays half a nat and the log of the square root of 2 pi."""
    vae = VAE(Linear(3, 4), Linear(2, 3), 2, sigma=1.0)
    with torch.no_grad():
        vae.decoder.map.weight.zero_()
        vae.decoder.map.bias.fill_(1.0)
    log_likelihood, _, _, _ = vae.terms(torch.zeros(1, 3), None, rng())
    assert log_likelihood.item() == pytest.approx(-3 * (0.5 + math.log(2 * math.pi) / 2), rel=1e-5)
