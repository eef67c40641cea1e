"""Checks of the exercises of ``08_gan``."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from helpers.checks import check, require, require_none_of
from helpers.models.gan import discriminator_loss, generator_loss, gradient_penalty, play_round


class _Linear(nn.Module):
    """D(x) has the logit w . x, with a slope in w at every x."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor([2.0, -1.0]))

    def forward(self, captions, x: Tensor) -> Tensor:
        return x @ self.w


def _points() -> tuple[Tensor, Tensor]:
    """Real and made points ``(5, 2)``; gradients may come back to what is made."""
    real, made = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(0))
    return real, made.requires_grad_()


@check("-V(D): it asks for high logits of real and low ones of made, and leaves what was made alone.")
def value_of_game(answer) -> None:
    """-V(D) in nats, a scalar that trains the discriminator only."""
    model, (real, made) = _Linear(), _points()
    value = answer(model, [""] * 5, real, made)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for the whole batch")
    require(value.shape != (5,), "that is one number for each picture; average over the batch")
    require(value.ndim == 0, f"the answer should be one number for the whole batch, not of the shape {(*value.shape,)}")
    of_real, of_made = model(None, real), model(None, made)
    right = (F.softplus(-of_real) + F.softplus(of_made)).mean()
    wrong = {
        "the sign is turned: the discriminator wants V large, and a loss is made small": -right,
        "real and made are exchanged: a real picture should get a high logit, and a high logit costs nothing there": (
            (F.softplus(of_real) + F.softplus(-of_made)).mean()
        ),
        "both terms pull the same way; a made picture should get a low logit: its term is softplus(logit)": (
            (F.softplus(-of_real) + F.softplus(-of_made)).mean()
        ),
        "the half of the made pictures is missing: -log(1 - D) is softplus(logit)": F.softplus(-of_real).mean(),
        "the half of the real pictures is missing: -log D is softplus(-logit)": F.softplus(of_made).mean(),
        "that is half of it: each of the two terms is an average of its own, and they add up": right / 2,
        "that adds up the batch; average over it": right * 5,
        "you treat the logit as if it were D; D is its sigmoid, and -log D is softplus(-logit)": (
            -(of_real.clamp(1e-6, 1).log() + (1 - of_made).clamp(1e-6).log()).mean()
        ),
    }
    require_none_of(wrong, value.detach(), rtol=1e-4)
    require(torch.allclose(value, right, rtol=1e-4), f"it should be {right:.3f} here, and you give {value:.3f}")
    require(value.requires_grad, "no gradient reaches the discriminator; do not detach its logits")
    slopes = torch.autograd.grad(value, [model.w, made], allow_unused=True, materialize_grads=True)
    require(
        torch.allclose(slopes[0], torch.autograd.grad(right, model.w)[0], rtol=1e-3),
        "the value is right and its slope in the discriminator is not: detach what was made, and nothing else",
    )
    require(
        not slopes[1].any(),
        "a gradient comes back to what was made, and would help the generator to be found out: give the discriminator "
        "made.detach()",
    )


@check("-log D: a slope also where D is sure, and this one comes back to what was made.")
def opinion_of_made(answer) -> None:
    """-log D of what was made, a scalar whose gradient reaches it."""
    model, (_, made) = _Linear(), _points()
    value = answer(model, [""] * 5, made)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for the whole batch")
    require(value.shape != (5,), "that is one number for each picture; average over the batch")
    require(value.ndim == 0, f"the answer should be one number for the whole batch, not of the shape {(*value.shape,)}")
    logits = model(None, made)
    right = F.softplus(-logits).mean()
    wrong = {
        "that is log(1 - D), which is flat where D is sure; -log D is softplus(-logit)": -F.softplus(logits).mean(),
        "that is what the discriminator minimises; the generator wants the opposite": F.softplus(logits).mean(),
        "the sign is turned: D should become large, and a loss is made small": -right,
        "that adds up the batch; average over it": right * 5,
        "that is the mean logit, as a critic of WGAN gives it; take -log D, softplus(-logit)": -logits.mean(),
        "that is D itself; take -log D": logits.sigmoid().mean(),
    }
    require_none_of(wrong, value.detach(), rtol=1e-4)
    require(torch.allclose(value, right, rtol=1e-4), f"it should be {right:.3f} here, and you give {value:.3f}")
    slope = torch.zeros_like(made)
    if value.requires_grad:
        (slope,) = torch.autograd.grad(value, made, allow_unused=True, materialize_grads=True)
    require(
        slope.any(), "no gradient comes back to what was made, so the generator learns nothing: detach nothing here"
    )


class _Moved(nn.Module):
    """Makes z + place."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.tensor([1.0, 0.5]))

    def forward(self, captions, z: Tensor) -> Tensor:
        return z + self.place


PACES = 0.3, 0.2  # of the discriminator and of the generator


def _after(play, rounds: int) -> tuple[list[float], list[Tensor]]:
    """The losses of all rounds, and where the generator and the discriminator end."""
    players = generator, discriminator = _Moved(), _Linear()
    optimizers = [torch.optim.SGD(p.parameters(), pace) for p, pace in zip(reversed(players), PACES, strict=True)]
    losses = (discriminator_loss, generator_loss)
    rng, given = torch.Generator().manual_seed(0), []
    for _ in range(rounds):
        real, z = torch.randn(2, 5, 2, generator=rng)
        both = play(generator, discriminator, optimizers, losses, [""] * 5, real, z)
        require(
            isinstance(both, tuple) and len(both) == 2,
            "return two numbers: the discriminator's loss and the generator's",
        )
        given += [float(loss) for loss in both]
    return given, [generator.place.detach(), discriminator.w.detach()]


def _too_early(generator, discriminator, optimizers, losses, captions, real, z) -> tuple[float, float]:
    """A round in which the generator answers the discriminator as it was before its move."""
    made = generator(captions, z)
    optimizers[1].zero_grad()
    losses[1](discriminator, captions, made).backward()
    optimizers[0].zero_grad()
    losses[0](discriminator, captions, real, made).backward()
    for optimizer in optimizers:
        optimizer.step()
    return 0.0, 0.0


def _never_cleared(generator, discriminator, optimizers, losses, captions, real, z) -> tuple[float, float]:
    """A round that leaves all earlier slopes in the discriminator."""
    made = generator(captions, z)
    losses[0](discriminator, captions, real, made).backward()
    optimizers[0].step()
    optimizers[1].zero_grad()
    losses[1](discriminator, captions, made).backward()
    optimizers[1].step()
    return 0.0, 0.0


@check("first the discriminator, then the generator against the one that has just moved: a game, round by round.")
def one_round(answer) -> None:
    """Three rounds of two small players, compared with where they should stand."""
    start = [_Moved().place.detach(), _Linear().w.detach()]
    losses, ends = _after(answer, 1)
    right_losses, right = _after(play_round, 1)
    for which, name, number in ((1, "discriminator", 0), (0, "generator", 1)):
        require(
            not torch.equal(ends[which], start[which]),
            f"the {name} has not moved: call backward() on its loss, and step() on optimizers[{number}]",
        )
        require(
            not torch.allclose(ends[which] - start[which], start[which] - right[which], atol=1e-5),
            f"the {name} moved the wrong way: an optimizer makes a loss small as it is; turn no sign",
        )
    _, before = _after(_too_early, 1)
    require(
        not torch.allclose(ends[0], before[0], atol=1e-5) or not torch.allclose(ends[1], right[1], atol=1e-5),
        "the generator answered the discriminator as it was before its move: compute the generator's loss after the "
        "discriminator's step",
    )
    require(
        torch.allclose(ends[1], right[1], atol=1e-5),
        "the discriminator is not where its own loss would take it. It moves first, along losses[0] alone, and the "
        "generator's slopes must not reach its step",
    )
    require(
        torch.allclose(ends[0], right[0], atol=1e-5),
        "the generator is not where its own loss would take it: it moves once, along losses[1] alone",
    )
    require(
        torch.allclose(torch.tensor(losses), torch.tensor(right_losses), atol=1e-4),
        f"return the two losses, the discriminator's first: {right_losses[0]:.3f} and {right_losses[1]:.3f} here",
    )
    _, ends = _after(answer, 3)
    require(
        not torch.allclose(ends[1], _after(_never_cleared, 3)[1][1], atol=1e-5),
        "right in the first round, and wrong from the second on: the generator's loss leaves slopes in the "
        "discriminator. Clear them with optimizers[0].zero_grad() before its backward()",
    )
    require(
        all(torch.allclose(end, true, atol=1e-5) for end, true in zip(ends, _after(play_round, 3)[1], strict=True)),
        "right in the first round, and wrong in the next ones: call zero_grad() of each optimizer in every round, "
        "before backward()",
    )


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
