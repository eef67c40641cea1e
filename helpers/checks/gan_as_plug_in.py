"""Checks of the exercises of ``10_gan_as_plug_in``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of
from helpers.models.diffusion import add_noise, posterior


def _features(captions, pictures: Tensor) -> Tensor:
    """Three numbers of a picture: here the means of its colours, a hundred times."""
    return 100 * pictures.mean((2, 3))


@check("a difference of what the discriminator sees, squared and averaged.")
def similarity(answer) -> None:
    """Mean squared difference in features, for ``features(captions, pictures)`` and two sets of pictures."""
    x, redrawn = torch.rand(2, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    redrawn.requires_grad_()
    value = answer(_features, [""] * 4, x, redrawn)
    require(isinstance(value, Tensor) and value.ndim == 0, "the answer should be one number, averaged over everything")
    difference = (_features(None, x) - _features(None, redrawn)).detach()
    wrong = {
        "that is the error of the pixels: ask features(captions, pictures) for both, and compare what it says": (
            (x - redrawn).square().mean().detach()
        ),
        "that averages the absolute difference; square it": difference.abs().mean(),
        "that adds up the whole batch; average over pictures and features": difference.square().sum(),
        "that adds up the features of a picture; average over them too": difference.square().sum(1).mean(),
        "that is the root of it; leave the mean of the squares as it is": difference.square().mean().sqrt(),
        "a square of the mean: differences up and down cancel. Square first": difference.mean().square(),
    }
    require_none_of(wrong, value.detach(), rtol=1e-4)
    require(
        torch.allclose(value.detach(), difference.square().mean(), rtol=1e-4),
        f"it should be {difference.square().mean():.3f} here, and you give {value:.3f}",
    )
    require(
        value.requires_grad,
        "right, but no gradient reaches the redrawn picture: nothing would be learned",
    )


@check("the mean of DDPM's step and its noise: a draw, once the picture is chosen.")
def drawn_step(answer) -> None:
    """A draw of x_{t-1} given x_t, a picture, alpha_bar now and before, and noise."""
    now, before = torch.tensor(0.2), torch.tensor(0.7)
    x_t, picture, noise = torch.randn(3, 2000, generator=torch.Generator().manual_seed(0))
    value = answer(x_t, picture, now, before, noise)
    require(
        isinstance(value, Tensor) and value.shape == x_t.shape, "the answer should be one tensor, in the shape of x_t"
    )
    mean, variance = posterior(x_t, picture, now, before)
    right = mean + variance.sqrt() * noise
    wrong = {
        "that is the mean; a draw has noise too": mean,
        "the noise is multiplied by the variance; multiply it by the standard deviation, the root of it": (
            mean + variance * noise
        ),
        "that adds noise to the picture and forgets x_t: right on average over all x_t, and wrong for this one": (
            add_noise(picture, noise, before)
        ),
        "that adds noise of variance 1; multiply it by the standard deviation": mean + noise,
    }
    require_none_of(wrong, value, atol=1e-4)
    swapped = posterior(x_t, picture, before, now)[0]
    require(
        not torch.allclose(value - value.mean(), swapped - swapped.mean(), atol=1e-2),
        "now and before are exchanged: posterior(x_t, picture, now, before)",
    )
    mirrored = mean - variance.sqrt() * noise  # as good a draw
    require(
        torch.allclose(value, right, atol=1e-4) or torch.allclose(value, mirrored, atol=1e-4),
        "take mean and variance from posterior(x_t, picture, now, before), then mean + root of the variance * noise",
    )


@check("first to x_{t-1}, and from there one step on: the two share their noise as two points of one way do.")
def one_way(answer) -> None:
    """x_{t-1} and x_t of one way into the noise, for x_0, alpha_bar now and before, and rng."""
    now, before = torch.tensor(0.3), torch.tensor(0.8)
    x = torch.full((40_000,), 2.0)
    given = answer(x, now, before, torch.Generator().manual_seed(0))
    require(isinstance(given, tuple) and len(given) == 2, "return two things: x_{t-1}, then x_t")
    x_before, x_t = given
    require(
        isinstance(x_before, Tensor) and isinstance(x_t, Tensor) and x_before.shape == x_t.shape == x.shape,
        "x_{t-1} and x_t should be tensors in the shape of x",
    )
    require(
        not (x_before.var() > x_t.var() + 0.05),
        "x_t comes before x_{t-1} here; return x_{t-1} first, the one with less noise",
    )
    require(
        abs(x_before.mean() - 2 * before.sqrt()) < 0.03 and abs(x_before.var() - (1 - before)) < 0.02,
        "x_{t-1} should be add_noise(x, noise, before)",
    )
    shared = ((x_before - x_before.mean()) * (x_t - x_t.mean())).mean() / (x_before.var() * x_t.var()).sqrt()
    right = ((now / before) * (1 - before) / (1 - now)).sqrt()
    require(
        shared > 0.05,
        "both have fresh noise, as if x_t had come by another way: nobody could step back from it. Go on from x_{t-1}",
    )
    require(
        shared < 0.95,
        "both have the same noise, so x_t says exactly what x_{t-1} was; the step from one to the other adds its own",
    )
    require(
        abs(x_t.mean() - 2 * now.sqrt()) < 0.03,
        "from x_{t-1} to x_t the step keeps now / before of alpha_bar, not now: some of it is gone already",
    )
    require(
        abs(x_t.var() - (1 - now)) < 0.03 and abs(shared - right) < 0.02,
        "x_t should be add_noise(x_{t-1}, fresh noise, now / before)",
    )
