"""Checks of the exercises of ``07_diffusion``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of
from helpers.models import diffusion


@check("signal and noise are weighed so that their squares add up to one: any step in one jump.")
def noised_in_one_jump(answer) -> None:
    """x_t from x_0 ``(n, d)``, noise ``(n, d)`` and alpha_bar ``(n, 1)``."""
    rng = torch.Generator().manual_seed(0)
    x, noise = torch.randn(2, 4, 6, generator=rng)
    alpha_bar = torch.tensor([0.9, 0.5, 0.2, 0.04])[:, None]
    value = answer(x, noise, alpha_bar)
    right = diffusion.add_noise(x, noise, alpha_bar)
    require(
        isinstance(value, Tensor) and value.shape == x.shape,
        "the answer should be a tensor with the shape of x, (n, d)",
    )
    wrong = {
        "you scale the noise by its variance, 1 - alpha_bar; it needs the standard deviation, the root of that": (
            alpha_bar.sqrt() * x + (1 - alpha_bar) * noise
        ),
        "both factors need a square root: alpha_bar is a share of variance": alpha_bar * x + (1 - alpha_bar) * noise,
        "the picture keeps its full size; then the sum grows and never becomes standard normal": (
            x + (1 - alpha_bar).sqrt() * noise
        ),
        "signal and noise are exchanged: alpha_bar near 1 should leave the picture nearly as it is": (
            (1 - alpha_bar).sqrt() * x + alpha_bar.sqrt() * noise
        ),
        "1 - sqrt(alpha_bar) is not sqrt(1 - alpha_bar): the squares of both factors should add up to one": (
            alpha_bar.sqrt() * x + (1 - alpha_bar.sqrt()) * noise
        ),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, right, atol=1e-4),
        f"for x = {x[2, 0]:.2f}, noise = {noise[2, 0]:.2f} and alpha_bar = 0.2 it is {right[2, 0]:.2f}; "
        f"you give {value[2, 0]:.2f}",
    )


@check("what is left of the old noise and what is new have, together, the noise of the new level.")
def step_with_less_noise(answer) -> None:
    """A DDIM step from x_t, the picture believed in, alpha_bar now and before, fresh noise, eta."""
    rng = torch.Generator().manual_seed(0)
    picture, noise, fresh = torch.randn(3, 5, 6, generator=rng)
    now, before = torch.tensor(0.2), torch.tensor(0.6)
    x_t = diffusion.add_noise(picture, noise, now)
    value = answer(x_t, picture, now, before, fresh, 0.0)
    require(
        isinstance(value, Tensor) and value.shape == x_t.shape, "the answer should be a tensor with the shape of x_t"
    )
    signal = before.sqrt() * picture
    wrong = {
        "with eta = 0 no fresh noise should come in": signal + (1 - before).sqrt() * fresh,
        "the noise that is kept is scaled by its variance; take the square root of 1 - before": (
            signal + (1 - before) * noise
        ),
        "you keep the noise of the old level, sqrt(1 - now); the new level has sqrt(1 - before)": (
            signal + (1 - now).sqrt() * noise
        ),
        "the picture should be scaled by the square root of before, where you go, not of now": (
            now.sqrt() * picture + (1 - before).sqrt() * noise
        ),
        "the old noise is missing: work out what noise is in x_t, and keep some of it": signal,
        "you add x_t where its noise should stand: take the picture's part away first": signal
        + (1 - before).sqrt() * x_t,
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, signal + (1 - before).sqrt() * noise, atol=1e-4),
        "with eta = 0 it should be sqrt(before) times the picture plus sqrt(1 - before) times the old noise",
    )
    mean, variance = diffusion.posterior(x_t, picture, now, before)
    still, moved = (answer(x_t, picture, now, before, new, 1.0) for new in (torch.zeros(5, 6), torch.ones(5, 6)))
    grown = moved - still
    require(not torch.allclose(grown, torch.zeros(5, 6)), "with eta = 1 fresh noise should come in; yours never does")
    require(
        not torch.allclose(grown, variance, atol=1e-4),
        "the fresh noise is scaled by its variance; sigma is the square root of it",
    )
    require(
        not torch.allclose(still, signal + (1 - before).sqrt() * noise, atol=1e-4),
        "where fresh noise comes in, old noise must go: keep only sqrt(1 - before - sigma ** 2) of it",
    )
    require(
        torch.allclose(grown, variance.sqrt(), atol=1e-4),
        f"with eta = 1, alpha_bar now 0.2 and before 0.6, sigma is {variance.sqrt():.3f}; yours is {grown[0, 0]:.3f}",
    )
    require(torch.allclose(still, mean, atol=1e-4), "with eta = 1 the mean should be that of DDPM; check what is kept")
    last = answer(x_t, picture, now, torch.tensor(1.0), fresh, 1.0)
    require(torch.allclose(last, picture, atol=1e-4), "the last step, to alpha_bar = 1, should give the picture itself")


@check("0 forgets the caption, 1 is the network as trained, and more goes on in the same direction.")
def guided_prediction(answer) -> None:
    """The prediction with the caption, without it, and a scale."""
    rng = torch.Generator().manual_seed(0)
    told, untold = torch.randn(2, 5, 6, generator=rng)
    value = answer(told, untold, 3.0)
    require(isinstance(value, Tensor) and value.shape == told.shape, "the answer should have the shape of a prediction")
    wrong = {
        "with and without are exchanged: scale 1 should give the prediction with the caption": told
        + 3 * (untold - told),
        "that starts from the prediction with the caption, so that scale 0 is already the network as trained; "
        "start from the one without": told + 3 * (told - untold),
        "where does the direction start? Add the prediction without the caption": 3 * (told - untold),
        "add the difference of the two, not the prediction itself": untold + 3 * told,
        "that makes the whole prediction larger; only what the caption changes should grow": 3 * told,
    }
    require_none_of(wrong, value, atol=1e-4)
    for scale, right, what in ((0.0, untold, "without"), (1.0, told, "with")):
        require(
            torch.allclose(answer(told, untold, scale), right, atol=1e-4),
            f"scale {scale:.0f} should give the prediction {what} the caption",
        )
    require(
        torch.allclose(value, untold + 3 * (told - untold), atol=1e-4),
        "from without, go the scale times the way to with: a straight line in the scale",
    )
