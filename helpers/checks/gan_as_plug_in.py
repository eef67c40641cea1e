"""Checks of the exercises of ``10_gan_as_plug_in``."""

import types

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of
from helpers.models.diffusion import add_noise, cosine_schedule, posterior


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


class _Pupil:
    """Stands for a model that is asked once: it answers with a multiple of z, and keeps what it was asked."""

    def __init__(self):
        self.diffusion = types.SimpleNamespace(alpha_bar=cosine_schedule(100).float())
        self.latent_shape = (1, 4, 4)
        self.gain = torch.tensor(0.8, requires_grad=True)
        self.asked = []

    def vector(self, captions, z: Tensor) -> Tensor:
        """Four fifths of z, for captions of any kind."""
        self.asked.append((captions, z.detach().clone()))
        return self.gain * z


@check("the pupil is asked once, about the z that the teacher was led from, and every error is squared.")
def shown_where(answer) -> None:
    """Mean squared error of a pupil, for where a teacher's steps led, captions and z."""
    z, led = torch.randn(2, 6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    captions, pupil = [f"caption {k}" for k in range(6)], _Pupil()
    value = answer(pupil, led.clone(), captions, z.clone())
    require(isinstance(value, Tensor), "the answer should be a tensor, one number")
    require(pupil.asked, "the pupil has not been asked: pupil.vector(captions, z) is its answer")
    require(len(pupil.asked) == 1, f"the pupil was asked {len(pupil.asked)} times; once for all z is enough")
    said, seen = pupil.asked[0]
    require(
        seen.shape == z.shape and torch.equal(seen, z),
        "the pupil is asked about something else than z; ask about the z from which the teacher's steps began",
    )
    require(list(said) == captions, "the pupil should be asked with the captions that the teacher had")
    require(value.numel() == 1, f"give one number, averaged over all; yours has the shape {tuple(value.shape)}")
    error = (0.8 * z - led).flatten(1)
    wrong = {
        "that compares with z, the noise; compare with `led`, where the teacher's steps led": (
            (0.8 * z - z).square().mean()
        ),
        "that adds up everything; average, or the pace of learning hangs on the size of the batch": (
            error.square().sum()
        ),
        "that adds up the numbers of each vector; average over them too": error.square().sum(1).mean(),
        "that averages the absolute error; square it": error.abs().mean(),
        "that is the root of it; leave the mean of the squares as it is": error.square().mean().sqrt(),
        "a square of the mean: errors up and down cancel. Square first": error.mean().square(),
    }
    require_none_of(wrong, value.detach(), rtol=1e-4)
    right = error.square().mean()
    require(torch.allclose(value.detach(), right), f"it should be {right:.3f} here, and you give {value.item():.3f}")
    require(
        value.requires_grad, "right, but no gradient comes back to the pupil: it would learn nothing. Detach nothing"
    )


@check("both sides are under the same noise, and its amount, which both know, is another for every pair.")
def under_one_noise(answer) -> None:
    """``(captions, alpha_bar)``, real and made vectors under the same noise, for a pupil, x, captions and rng."""
    rng, pupil = torch.Generator().manual_seed(0), _Pupil()
    x, captions = 3 + torch.randn(800, *pupil.latent_shape, generator=rng), ["a running dog"] * 800
    given = answer(pupil, x.clone(), captions, rng)
    require(
        isinstance(given, tuple) and len(given) == 3,
        "return three things: what both players know, then the real vectors, then the made ones",
    )
    known, real, made = given
    require(
        isinstance(known, tuple) and len(known) == 2 and isinstance(known[1], Tensor),
        "what both players know is a pair: (captions, alpha_bar)",
    )
    alpha_bar = known[1]
    require(list(known[0]) == captions, "the captions should be passed on as they are")
    require(
        isinstance(real, Tensor) and isinstance(made, Tensor) and real.shape == made.shape == x.shape,
        "real and made vectors should be tensors in the shape of x",
    )
    require(pupil.asked, "the pupil has not been asked for a vector: pupil.vector(captions, noise)")
    z = pupil.asked[0][1]
    require(
        z.shape == x.shape and z.mean().abs() < 0.1 and abs(z.std() - 1) < 0.1,
        "the pupil should be asked about pure noise, torch.randn(x.shape, generator=rng), and not about something of x",
    )
    require(
        alpha_bar.is_floating_point(),
        "those are the numbers of the steps; both should know pupil.diffusion.alpha_bar[steps]",
    )
    _amounts(alpha_bar.detach(), len(x))
    signal, rest = (share.sqrt().view(-1, 1, 1, 1) for share in (alpha_bar, 1 - alpha_bar))
    drawn, seen = 0.8 * z, made.detach()
    require(
        not torch.allclose(real - seen, signal * (drawn - x), atol=1e-4),
        "real and made are exchanged: first the real ones",
    )
    noisy = rest.flatten() > 0.3
    on_real, on_made = ((side - signal * clean)[noisy] / rest[noisy] for side, clean in ((real, x), (seen, drawn)))
    require(not torch.allclose(real, x, atol=1e-4), "the real vectors have no noise: both sides need it")
    require(not torch.allclose(seen, drawn, atol=1e-4), "the made vectors have no noise: both sides need it")
    require(
        not torch.allclose(on_made, z[noisy], atol=1e-3),
        "the noise is the z that the vector was made from, and betrays it; draw other noise to cover both sides",
    )
    require(
        abs(on_real.std() - 1) < 0.05 and on_real.mean().abs() < 0.05,
        "the noise has not the amount that alpha_bar says: add_noise(x, noise, alpha_bar.view(-1, 1, 1, 1))",
    )
    require(
        torch.allclose(on_real, on_made, atol=1e-3),
        "each side has noise of its own; draw it once, and put it on both: then a pair differs in the vectors alone",
    )
    require(made.requires_grad, "no gradient comes back to the pupil from what it made; do not detach it")


def _amounts(alpha_bar: Tensor, n: int) -> None:
    """Whether the amounts of noise of n pairs are as the game needs them."""
    require(
        alpha_bar.ndim > 0 and alpha_bar.unique().numel() > 1,
        "every pair has the same amount of noise; draw a step for each: torch.randint(..., (len(x),), generator=rng)",
    )
    require(
        alpha_bar.shape == (n,), f"alpha_bar should be one number for each pair, (n,), not {tuple(alpha_bar.shape)}"
    )
    require(
        alpha_bar.max() > 0.95 and alpha_bar.min() < 0.05,
        "the amounts should reach from hardly any noise to nearly pure noise: draw from all steps of the schedule",
    )
