"""Checks of the exercises of ``05_vae``."""

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from helpers.checks import check, require, require_none_of


@check("the sampled vector and the gradient both come out right: noise beside the network, not inside it.")
def reparameterised(answer) -> None:
    """A draw from N(mu, exp(log_var)), for ``mu`` and ``log_var`` ``(n, d)`` and a generator."""
    mu, log_var = torch.tensor([[3.0, -2.0]]).repeat(20_000, 1), torch.tensor([[-2.0, 1.0]]).repeat(20_000, 1)
    leaves = mu.clone().requires_grad_(), log_var.clone().requires_grad_()
    value = answer(*leaves, torch.Generator().manual_seed(0))
    require(
        isinstance(value, Tensor) and value.shape == mu.shape,
        "the answer should be one number for each number of mu, a tensor of the same shape",
    )
    again = answer(*leaves, torch.Generator().manual_seed(0))
    require(
        torch.equal(value, again), "the same generator should give the same draw: pass generator=rng to torch.randn"
    )
    slopes = 2 * [torch.zeros_like(mu)]
    if value.requires_grad:  # a path back is not enough: torch.normal has one, and its slopes are zero
        slopes = torch.autograd.grad(value.sum(), leaves, allow_unused=True, materialize_grads=True)
    value = value.detach()
    require(slopes[0].any(), "no gradient comes back to mu; build the draw from mu by sums and products alone")
    require(
        value.std(0).amax() > 1e-3,
        "all draws for one mu are alike: where is the noise?",
    )
    require(
        ((value - mu) / (log_var / 2).exp()).diff(dim=1).abs().amax() > 1e-3,
        "both numbers of a vector got the same noise; draw one for each number: torch.randn(mu.shape)",
    )
    spread, right = value.std(0), (log_var[0] / 2).exp()
    for wrong, name in ((log_var[0].exp(), "the variance"), (log_var[0].abs(), "the logarithm of the variance")):
        require(
            not torch.allclose(spread, wrong, rtol=0.05),
            f"the spread is {name}; the noise should be scaled by the standard deviation, exp(log_var / 2)",
        )
    require(
        torch.allclose(value.mean(0), mu[0], atol=0.1),
        f"the mean of many draws should be {mu[0, 0]:.0f}, yours is {value[:, 0].mean():.2f}",
    )
    require(
        torch.allclose(spread, right, rtol=0.05),
        f"for log_var = 1 draws should have a standard deviation of {right[1]:.2f}; yours have {spread[1]:.2f}",
    )
    require(slopes[1].any(), "no gradient comes back to log_var: scale the noise by it, and do not detach it")
    require(
        torch.allclose(slopes[0], torch.ones_like(mu), atol=1e-3)
        and torch.allclose(slopes[1], (value - mu) / 2, atol=1e-3),
        "the draws are right and their slopes are not: by mu it is 1, by log_var half of the noise that was added. "
        "Build the draw from mu, log_var and fresh noise alone",
    )


@check("a sum over the numbers of z, one value a picture: zero for N(0, I) and nowhere else.")
def kl_to_normal(answer) -> None:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats, ``(n, d)`` twice to ``(n,)``."""
    rng = torch.Generator().manual_seed(0)
    mu, log_var = torch.randn(2, 5, 32, generator=rng)
    value = answer(mu, log_var)
    each = kl_divergence(Normal(mu, (log_var / 2).exp()), Normal(0.0, 1.0))  # (5, 32)
    right = each.sum(1)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for each of the n vectors")
    require(
        value.shape != each.shape,
        "that is one number for each number of z; the numbers of z are independent, so add theirs up",
    )
    require(
        value.ndim > 0, "that is one number for the whole batch; give one for each vector, and average when you train"
    )
    require(value.shape == right.shape, f"one number for each of the 5 vectors is wanted, not {tuple(value.shape)}")
    as_std = kl_divergence(Normal(mu, log_var.exp()), Normal(0.0, 1.0)).sum(1)
    reverse = kl_divergence(Normal(0.0, 1.0), Normal(mu, (log_var / 2).exp())).sum(1)
    wrong = {
        "your value is 32 times too small, and 32 is how many numbers z has: sum over them, do not average": right / 32,
        "twice too large: both logarithms begin with minus one half": 2 * right,
        "too large by one half for each number of z: on average (z - mu)^2 is sigma^2, so log q(z) brings a -1": (
            right + 16
        ),
        "you left log(2 pi) in: log q(z) and log p(z) both have it, and it cancels": (
            right + 16 * torch.tensor(2 * torch.pi).log()
        ),
        f"the sign is turned: a divergence is never negative, and yours is {value[0]:.1f}": -right,
        "you take exp(log_var) for the standard deviation; it is the variance": as_std,
        "that is the divergence the other way round, of N(0, I) from the encoder's Gaussian; it is not symmetric": (
            reverse
        ),
    }
    require_none_of(wrong, value, rtol=1e-3)
    require(
        torch.allclose(value, right, rtol=1e-3, atol=1e-4),
        f"for mu = {mu[0, 0]:.2f}, ... it should be {right[0]:.2f} nats, and you give {value[0]:.2f}",
    )


@check(
    "one Gaussian for each number of the picture, and their logarithms add up, even to more than zero: it is a density."
)
def gaussian(answer) -> None:
    """log N(x; mean, sigma^2 I) in nats, ``(n, ...)`` twice to ``(n,)``; sigma None: as large as the error."""
    rng = torch.Generator().manual_seed(0)
    x, mean = torch.rand(2, 4, 3, 5, 5, generator=rng)
    error = (x - mean).square()
    for sigma in (0.3, None):
        variance = error.mean() if sigma is None else torch.tensor(sigma**2)
        value = answer(x, mean, sigma)
        each = Normal(mean, variance.sqrt()).log_prob(x).flatten(1)  # (4, 75)
        right = each.sum(1)
        require(isinstance(value, Tensor), "the answer should be a tensor, one number for each of the n pictures")
        require(
            value.ndim > 0, "that is one number for the whole batch; give one for each picture, and average in training"
        )
        require(value.shape != x.shape, "that is one number for each number of the picture; flatten(1) and add them up")
        require(
            value.shape == right.shape, f"one number for each of the 4 pictures is wanted, not {tuple(value.shape)}"
        )
        squares = error.flatten(1).sum(1)
        wrong = {
            "your value is 75 times too small, and 75 is how many numbers a picture has: sum, do not average": right
            / 75,
            "the sign is turned: a picture that is redrawn better must get more": -right,
            "twice too large: the logarithm of a Gaussian begins with minus one half": 2 * right,
            "the squared error is there; log(sigma^2) + log(2 pi) is missing, and without it sigma costs nothing": (
                -squares / variance / 2
            ),
            "log(2 pi) is missing": -(squares / variance + 75 * variance.log()) / 2,
            "log(sigma^2) is missing: without it, sigma could grow for nothing": (
                -(squares / variance + 75 * torch.tensor(2 * torch.pi).log()) / 2
            ),
        }
        if sigma is None:
            each_its_own = error.flatten(1).mean(1, keepdim=True)
            wrong["sigma is that of each picture by itself; take one for the whole batch, error.mean()"] = (
                Normal(mean.flatten(1), each_its_own.sqrt()).log_prob(x.flatten(1)).sum(1)
            )
            wrong["where sigma is None you take 1; take the error itself: error.mean() is the variance"] = (
                Normal(mean, 1.0).log_prob(x).flatten(1).sum(1)
            )
        else:
            wrong["sigma is a standard deviation: divide by its square"] = (
                Normal(mean, sigma**0.5).log_prob(x).flatten(1).sum(1)
            )
        require_none_of(wrong, value, rtol=1e-3)
        require(
            torch.allclose(value, right, rtol=1e-3),
            f"for sigma = {sigma} it should be {right[0]:.2f} nats, and you give {value[0]:.2f}",
        )
    known = torch.full((2, 75), 0.1, requires_grad=True)
    total = answer(torch.zeros(2, 75), known, None).sum()
    require(total.requires_grad, "no gradient comes back to the mean; do not detach it")


@check("what varies less than the decoder's noise is not worth a nat, and the rest costs half a log of the ratio.")
def predicted_kl(answer) -> None:
    """The KL a direction of each variance ``(d,)`` costs at the best linear VAE whose decoder has noise sigma."""
    variances, sigma = torch.tensor([9.0, 4.0, 1.0, 0.25, 0.2, 0.01]), 0.5
    value = answer(variances, sigma)
    right = (variances / sigma**2).log().clamp(min=0) / 2
    require(
        isinstance(value, Tensor) and value.shape == variances.shape,
        "the answer should be one number for each variance, a tensor of the same length",
    )
    require(
        (value >= 0).all(),
        "a divergence is never negative: a direction that varies less than the noise costs nothing, so stop at zero",
    )
    wrong = {
        "twice too large: where is the one half of the KL divergence?": 2 * right,
        "that is the cost if mu were always 0; on average over the pictures its square is 1 - sigma^2 / variance": (
            ((sigma**2 / variances - 1 - (sigma**2 / variances).log()) / 2).where(variances > sigma**2, 0.0)
        ),
        "you compare variances with sigma itself; square it": (variances / sigma).log().clamp(min=0) / 2,
        "the answer should be in nats: take the natural logarithm": right / torch.tensor(2.0).log(),
        "that would be for a decoder without noise of its own scale: where is sigma?": variances.log().clamp(min=0) / 2,
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, right, atol=1e-4),
        f"for variance {variances[1]:.0f} and sigma {sigma} it is {right[1]:.2f} nats; you give {value[1]:.2f}",
    )
