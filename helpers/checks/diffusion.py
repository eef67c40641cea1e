"""Checks of the workshop of ``07_diffusion``."""

import itertools

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


@check("one jump, one question, one weighted square: any level of noise is as good a place to learn as any other.")
def denoising_error(answer) -> None:
    """The loss of a network: captions, x ``(n, 3, s, s)``, alpha_bar ``(n, 1, 1, 1)``, noise, what it predicts."""
    rng = torch.Generator().manual_seed(0)
    x, noise, offset = torch.randn(3, 4, 3, 4, 4, generator=rng)
    alpha_bar = torch.tensor([0.98, 0.7, 0.3, 0.02]).view(4, 1, 1, 1)
    captions = ["a running dog", "a white running dog", "a black running dog", "a small running dog"]
    x_t = diffusion.add_noise(x, noise, alpha_bar)
    asked = []

    def network(*question):
        asked.append(question)
        return gain * (0.5 * question[1] + offset)

    for predicts in ("picture", "noise"):
        gain = torch.tensor(1.0, requires_grad=True)
        value = answer(network, captions, x, alpha_bar, noise, predicts)
        require(asked, "the network was never asked: network(captions, x_t, alpha_bar.flatten())")
        told = asked.pop()
        require(len(told) == 3, "the network takes three things: captions, x_t and alpha_bar")
        require(
            isinstance(told[1], Tensor) and not torch.allclose(told[1], x, atol=1e-4),
            "the network was shown the picture without noise; show it x_t, and keep x for the answer",
        )
        require(
            told[1].shape == x.shape and torch.allclose(told[1], x_t, atol=1e-4),
            "what the network is shown is not x_t; make it with your add_noise(x, noise, alpha_bar)",
        )
        require(
            isinstance(told[2], Tensor) and told[2].shape == (4,),
            "the network wants one alpha_bar for each picture, (n,): alpha_bar.flatten()",
        )
        require(isinstance(value, Tensor), "the answer should be a tensor with one number, so that gradients flow")
        difference = 0.5 * x_t + offset - diffusion.target(predicts, x, noise, alpha_bar)
        weight = diffusion.loss_weight(predicts, alpha_bar)
        other = (
            0.5 * x_t + offset - diffusion.target("noise" if predicts == "picture" else "picture", x, noise, alpha_bar)
        )
        right = (weight * difference.square()).mean()
        require(value.ndim == 0, "one number is wanted for the whole batch: take the mean")
        as_total = "that is a sum; take the mean, so that the loss does not grow with the batch and the picture"
        wrong = {
            as_total: (weight * difference.square()).sum(),
            "that is the absolute error; square it": (weight * difference.abs()).mean(),
        }
        if predicts == "picture":
            wrong |= {
                "the weight is missing: loss_weight(predicts, alpha_bar) says what each picture counts": (
                    difference.square().mean()
                ),
                "the weight belongs to each picture: multiply first, then take the mean": (
                    weight.mean() * difference.square().mean()
                ),
                "the network should say the picture, and you compare with the noise: target(predicts, ...) knows": (
                    weight * other.square()
                ).mean(),
            }
        else:
            wrong |= {
                'with predicts="noise" compare with the noise: target(predicts, x, noise, alpha_bar)': (
                    other.square().mean()
                ),
                'with predicts="noise" every picture counts the same; hand predicts to loss_weight as well': (
                    diffusion.loss_weight("picture", alpha_bar) * difference.square()
                ).mean(),
            }
        require_none_of(wrong, value.detach(), rtol=1e-3)
        require(
            torch.allclose(value.detach(), right, rtol=1e-3),
            f"for the picture of the check it should be {right:.3f}; you give {value:.3f}",
        )
        require(value.requires_grad, "no gradient comes back to the network; do not detach its answer")


@check("a guess, the mean and the spread that Bayes gives, fresh noise, and again: that is DDPM.")
def sampler(answer) -> None:
    """x_0 for an exact denoiser of one Gaussian, z ``(n, d)``, the levels from 1 down, and a generator."""
    centre, spread = torch.tensor([1.5, -1.0]), torch.tensor([0.3, 0.6])
    levels = diffusion.cosine_schedule(100).float()
    asked = []

    def estimate(x_t, alpha_bar):
        asked.append(float(torch.as_tensor(alpha_bar).flatten()[0]))
        variance = alpha_bar * spread**2 + 1 - alpha_bar
        return centre + alpha_bar.sqrt() * spread**2 / variance * (x_t - alpha_bar.sqrt() * centre)

    z = torch.randn(8000, 2, generator=torch.Generator().manual_seed(0))
    value = answer(estimate, z, levels, torch.Generator().manual_seed(1))
    require(isinstance(value, Tensor) and value.shape == z.shape, "the answer should be a tensor with the shape of z")
    require(asked, "the denoiser was never asked; each step needs its guess: estimate(x, now)")
    require(
        asked[0] < 0.5,
        "you begin at the level with no noise; levels run from 1 down, and the way back from the end: levels.flip(0)",
    )
    require(
        min(asked) < max(asked) and all(a <= b for a, b in itertools.pairwise(asked)),
        "the noise should get less from step to step: give the denoiser the level where x is now",
    )
    require(
        len(asked) == 100,
        f"from 101 levels there are 100 steps, and the denoiser should be asked once in each; yours was {len(asked)} "
        "times",
    )
    require(
        levels[-1] <= asked[0] < levels[-2],
        "the first question is about pure noise: ask at the level where x is (now), not where it goes (before)",
    )
    again = answer(estimate, z, levels, torch.Generator().manual_seed(1))
    require(
        torch.equal(value, again), "the same generator should give the same pictures: pass generator=rng to torch.randn"
    )
    other = answer(estimate, z, levels, torch.Generator().manual_seed(2))
    require(
        not torch.allclose(value, other, atol=1e-3),
        "no fresh noise comes in: add the root of the variance times torch.randn(x.shape, generator=rng)",
    )
    require(torch.isfinite(value).all(), "your x becomes infinite or nan; do mean and variance come from posterior?")
    moved = value - other
    require(
        (moved.std(0) > moved.mean(0).abs()).all() and moved.T.corrcoef()[0, 1] < 0.5,
        "pictures share their fresh noise; draw some for each number of x: torch.randn(x.shape, generator=rng)",
    )
    right = diffusion.ancestral_sampling(estimate, z, levels, torch.Generator().manual_seed(1))
    require(
        torch.allclose(value.mean(0), right.mean(0), atol=0.05),
        f"the pictures should have the mean {right[:, 0].mean():.2f}, and yours have {value[:, 0].mean():.2f}; is the "
        "next x the mean of the posterior plus noise?",
    )
    said = f"the spread should be {right[:, 1].std():.2f} and yours is {value[:, 1].std():.2f}"
    require(
        (value.std(0) > 0.95 * right.std(0)).all(),
        f"{said}: too little noise; scale it by the root of the variance",
    )
    require((value.std(0) < 1.02 * right.std(0)).all(), f"{said}: too much noise; the last step adds none")


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
