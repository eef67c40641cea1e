"""Checks of the exercises of ``08_gan``."""

import math

import torch
from torch import Tensor, nn

from helpers.checks import check, require, require_none_of
from helpers.models.gan import gradient_penalty, jensen_shannon, optimal_discriminator


@check("of all things seen here, the share that came from the real side.")
def best_discriminator(answer) -> None:
    """D* for ``p`` and ``q`` ``(k,)``, in [0, 1]."""
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0, 0.0]), torch.tensor([0.1, 0.3, 0.0, 0.6, 0.0])
    value = answer(p, q)
    require(
        isinstance(value, Tensor) and value.shape == p.shape,
        "the answer should be one probability for each outcome, a tensor of the same length",
    )
    nowhere = value[-1]
    p, q, value = p[:-1], q[:-1], value[:-1]
    right = optimal_discriminator(p, q)
    wrong = {
        "that is the chance of being made; D* is the chance of being real": 1 - right,
        "p / q is the ratio itself, which is no probability: divide by all that comes here, p + q": p / q,
        "that takes a side outright; D* is a probability, and one half where p = q": (p > q).float(),
        "that is p; what matters is p compared with q": p,
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, right, atol=1e-4),
        f"where p = 0.5 and q = 0.1 it is {right[0]:.3f}, and you give {value[0]:.3f}",
    )
    require(
        nowhere == 0.5,
        f"where p = q = 0 you give {nowhere:.3f}: neither puts anything there, and one half is wanted (torch.where)",
    )


@check("each is compared with their mixture: 0 for equals, log 2 for strangers.")
def divergence(answer) -> None:
    """JSD(p || q) in nats, a scalar, for ``(k,)`` twice."""
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]), torch.tensor([0.1, 0.3, 0.4, 0.2])
    value = torch.as_tensor(answer(p, q))
    require(value.ndim == 0, "the answer should be one number for the two distributions: sum over the outcomes")
    require(
        not value.isnan(), "0 log 0 gave NaN; it counts as 0, and torch.xlogy(a, a) is a log a with that convention"
    )
    right = jensen_shannon(p, q)
    wrong = {
        "twice too large: the two divergences are averaged": 2 * right,
        "the sign is turned: a divergence is never negative": -right,
        "right in bits; it should be in nats, with the natural logarithm": right / math.log(2),
        "that is the total variation distance": (p - q).abs().sum() / 2,
        "that is V(D*); JSD is what is left of it: (V + log 4) / 2": 2 * right - math.log(4),
    }
    require_none_of(wrong, value, atol=1e-5)
    require(
        torch.allclose(torch.as_tensor(answer(q, p)), value, atol=1e-5),
        "exchange p and q and it should stay the same; compare each with their mixture (p + q) / 2",
    )
    require(torch.allclose(value, right, atol=1e-5), f"it should be {right:.4f} nats here, and you give {value:.4f}")


class _Square(nn.Module):
    """D(x) = w |x|^2 / 2, whose slope at x is w x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def forward(self, captions, x: Tensor) -> Tensor:
        return self.w * x.square().flatten(1).sum(1) / 2


@check("squared, summed over a picture, averaged over the batch, and it trains the discriminator.")
def squared_slope(answer) -> None:
    """The mean squared slope of a discriminator at x, and its logits."""
    model, x = _Square(), torch.randn(5, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    given = answer(model, [""] * 5, x)
    require(isinstance(given, tuple) and len(given) == 2, "return two things: the penalty and the logits")
    value, logits = given
    right = gradient_penalty(model, [""] * 5, x)[0]
    require(isinstance(value, Tensor) and value.ndim == 0, "the penalty should be one number, averaged over the batch")
    each = 4 * x.square().flatten(1).sum(1)
    wrong = {
        "that is the slope's length; square it": each.sqrt().mean(),
        "that averages over the pixels; sum over a picture, then average over the batch": right.detach() / 12,
        "that adds up the whole batch; average over the pictures": right.detach() * 5,
        "that is the penalty of WGAN-GP, which wants a slope of one; R1 wants none": (each.sqrt() - 1).square().mean(),
    }
    require_none_of(wrong, value, rtol=1e-4)
    require(torch.allclose(value, right, rtol=1e-4), f"it should be {right:.2f} here, and you give {value:.2f}")
    require(
        value.requires_grad,
        "right, and of no use to training: no gradient reaches the discriminator. Give autograd.grad create_graph=True",
    )
    require(torch.allclose(logits, model(None, x)), "the second thing returned should be the logits at x")
