"""Checks of the workshop and the exercise of ``06_flow``."""

import math

import torch
from torch import Tensor
from torch.distributions import Normal

from helpers.checks import check, require, require_none_of

STAYS, MOVES = torch.tensor([1, 4]), torch.tensor([0, 2, 3])  # places of five numbers


class _Guess:
    """Mean and log deviation of three numbers from the two that stay; remembers what it was asked."""

    def __init__(self):
        rng = torch.Generator().manual_seed(1)
        self.weight = torch.randn(2, 6, generator=rng).requires_grad_()
        self.asked: list[Tensor] = []

    def __call__(self, known: Tensor) -> tuple[Tensor, Tensor]:
        require(
            isinstance(known, Tensor) and known.shape == (4, 2),
            "guess is asked of the numbers that stay, and of nothing else: those at the places in stays, (n, k)",
        )
        self.asked.append(known.detach().clone())
        mean, log_deviation = (known @ self.weight).tanh().chunk(2, dim=1)
        return mean, log_deviation


def _vectors() -> Tensor:
    """Four vectors of five numbers."""
    return 0.5 + torch.randn(4, 5, generator=torch.Generator().manual_seed(0))


@check("what stays is handed on, of the others only the surprise, and the logarithms of 1 / deviation add up.")
def forwards(answer) -> None:
    """y ``(n, size)`` and log_det ``(n,)`` of an affine coupling, for x, the places, and a guess."""
    x, guess = _vectors(), _Guess()
    given = x.clone()
    value = answer(given, STAYS, MOVES, guess)
    require(
        isinstance(value, tuple) and len(value) == 2 and all(isinstance(part, Tensor) for part in value),
        "two tensors are wanted, y and log_det: end with `return y, ...`",
    )
    y, log_det = value
    require(torch.equal(given, x), "your code changes x itself; begin with y = x.clone()")
    require(guess.asked, "you never ask guess: mean, log_deviation = guess(x[:, stays])")
    require(
        all(torch.equal(asked, x[:, STAYS]) for asked in guess.asked),
        "guess is asked of something else than the numbers that stay, x[:, stays]",
    )
    require(y.shape == x.shape, f"y should have the shape of x, {tuple(x.shape)}, not {tuple(y.shape)}")
    require(torch.equal(y[:, STAYS], x[:, STAYS]), "the numbers at the places in stays should come out as they went in")
    mean, log_deviation = guess(x[:, STAYS])
    others, deviation = x[:, MOVES], log_deviation.exp()
    wrong = {
        "that is the way back; forwards, subtract the mean and divide by the deviation": others * deviation + mean,
        "you multiply by the deviation; divide by it": (others - mean) * deviation,
        "you divide first and subtract the mean afterwards; subtract first": others / deviation - mean,
        "you divide by the logarithm of the deviation; the deviation is log_deviation.exp()": (
            (others - mean) / log_deviation
        ),
        "the mean is there; now divide by the deviation, log_deviation.exp()": others - mean,
    }
    require_none_of(wrong, y[:, MOVES], atol=1e-5)
    require(
        torch.allclose(y[:, MOVES], (others - mean) / deviation, atol=1e-5),
        f"a number {others[0, 0]:.2f} with mean {mean[0, 0]:.2f} and log deviation {log_deviation[0, 0]:.2f} becomes "
        f"{((others - mean) / deviation)[0, 0]:.2f}; you give {y[0, MOVES[0]]:.2f}",
    )
    right = -log_deviation.sum(1)
    require(
        log_det.shape != log_deviation.shape,
        "log_det has one number for each changed number; the determinant is their product, so its logarithm is a sum",
    )
    require(log_det.ndim > 0, "log_det is one number for the whole batch; every vector has a determinant of its own")
    require(
        log_det.shape == right.shape,
        f"log_det should have the shape (4,), one number for each vector, not {tuple(log_det.shape)}",
    )
    wrong = {
        "the sign of log_det is turned: a division by a large deviation makes volumes smaller": -right,
        "the product of k factors has the sum of k logarithms, not their mean": right / 3,
        "that is the determinant itself; its logarithm is wanted": right.exp(),
        "log_deviation is a logarithm already; log_det needs no further one, and no exponential": -deviation.sum(1),
        "a determinant has no absolute value inside: a factor above 1 and one below 1 may cancel": (
            -log_deviation.abs().sum(1)
        ),
    }
    require_none_of(wrong, log_det, atol=1e-5)
    require(
        torch.allclose(log_det, right, atol=1e-5),
        f"for log deviations {[round(v, 2) for v in log_deviation[0].tolist()]} log_det is {right[0]:.2f}; "
        f"you give {log_det[0]:.2f}",
    )
    for part, name in ((y, "y"), (log_det, "log_det")):
        require(part.requires_grad, f"no gradient comes back from {name} to the network that guesses; do not detach it")


@check("the numbers that stay are still there, so the same question gets the same answer.")
def backwards(answer) -> None:
    """The x ``(n, size)`` that an affine coupling turns into y, for y, the places, and a guess."""
    x, guess = _vectors(), _Guess()
    mean, log_deviation = (part.detach() for part in guess(x[:, STAYS]))
    y, guess.asked = x.clone(), []
    y[:, MOVES] = (x[:, MOVES] - mean) / log_deviation.exp()
    given = y.clone()
    value = answer(given, STAYS, MOVES, guess)
    require(isinstance(value, Tensor), "only x is wanted, one tensor: drawing needs no log_det")
    require(torch.equal(given, y), "your code changes y itself; begin with x = y.clone()")
    require(guess.asked, "you never ask guess: the numbers that stay are in y too, y[:, stays]")
    require(
        all(torch.equal(asked, y[:, STAYS]) for asked in guess.asked),
        "guess is asked of something else than the numbers that stay, y[:, stays]",
    )
    require(value.shape == y.shape, f"x should have the shape of y, {tuple(y.shape)}, not {tuple(value.shape)}")
    require(
        torch.equal(value[:, STAYS], y[:, STAYS]), "the numbers at the places in stays should come out as they went in"
    )
    others, deviation = y[:, MOVES], log_deviation.exp()
    wrong = {
        "that is the way forwards once more; undo it": (others - mean) / deviation,
        "undo the last thing first: multiply by the deviation, then add the mean": (others + mean) * deviation,
        "forwards divided by the deviation, so on the way back multiply by it": others / deviation + mean,
        "forwards subtracted the mean, so on the way back add it": others * deviation - mean,
        "you multiply by the logarithm of the deviation; the deviation is log_deviation.exp()": (
            others * log_deviation + mean
        ),
    }
    require_none_of(wrong, value[:, MOVES], atol=1e-5)
    require(
        torch.allclose(value, x, atol=1e-5),
        f"the first number that moves should become {x[0, MOVES[0]]:.2f} again; you give {value[0, MOVES[0]]:.2f}",
    )


@check("the density of z under N(0, I), and what the map does to volumes. This is exact.")
def change_of_variables(answer) -> None:
    """log p(x) in nats, ``(n,)``, from z ``(n, size)`` and log_det ``(n,)``."""
    z = _vectors().requires_grad_()
    log_det = torch.tensor([2.0, -1.0, 0.5, 3.0], requires_grad=True)
    value = answer(z, log_det)
    each = Normal(0.0, 1.0).log_prob(z)  # (4, 5)
    normal = each.sum(1)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for each of the n vectors")
    require(
        value.shape != z.shape, "that is one number for each number of z; they are independent, so add their logarithms"
    )
    require(value.ndim > 0, "that is one number for the whole batch; give one for each vector, and average in training")
    require(value.shape == log_det.shape, f"one number for each of the 4 vectors is wanted, not {tuple(value.shape)}")
    wrong = {
        "that is the density of z; by how much did the map change the volume? Add log_det": normal,
        "the sign of log_det is turned: where the map to z spreads points apart, they lie dense in x": normal - log_det,
        "log(2 pi) is missing, once for each number of z": -z.square().sum(1) / 2 + log_det,
        "log(2 pi) counts once for each number of z, not once for all": (
            -(z.square().sum(1) + math.log(2 * math.pi)) / 2 + log_det
        ),
        "twice too large: the logarithm of a normal density begins with minus one half": 2 * normal + log_det,
        "the sign of the first part is turned: a z far from 0 is unlikely": -normal + log_det,
        "log_det belongs to the whole vector: add it once, after the sum": normal + 5 * log_det,
        "the numbers of z are independent: their logarithms add up, they are not averaged": each.mean(1) + log_det,
        "that is the density; its logarithm is wanted": (normal + log_det).exp(),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, normal + log_det, atol=1e-4),
        f"for the first z and log_det = 2 it is {normal[0] + 2:.2f} nats, and you give {value[0]:.2f}",
    )
    slopes = torch.autograd.grad(value.sum(), (z, log_det), allow_unused=True) if value.requires_grad else (None, None)
    require(
        all(slope is not None for slope in slopes),
        "no gradient comes back to z and log_det; do not detach them",
    )


@check("Bayes' rule: what all captions share cancels, and the largest log p is taken off before anything is too large.")
def caption_posterior(answer) -> None:
    """p(caption | picture), ``(n, captions)``, from log p(picture | caption) in nats; captions are equally likely."""
    usual = torch.tensor([[0.0, -1.0, -2.0, -0.5], [-3.0, 1.0, 0.5, 0.0], [-1.0, -1.0, -1.0, -1.0]])
    value = answer(usual)
    require(isinstance(value, Tensor), "the answer should be a tensor, (n, captions)")
    require(
        value.shape == usual.shape,
        f"a probability for each caption is wanted, {tuple(usual.shape)}, not only the best: {tuple(value.shape)}",
    )
    right = usual.softmax(1)
    wrong = {
        "those are densities; the captions of one picture should add up to 1: divide by their sum": usual.exp(),
        "those are logarithms; take the exponential": usual.log_softmax(1),
        "your columns add up to 1. For each picture, a row, the captions should": usual.softmax(0),
        "all pictures together add up to 1; each picture, a row, should": usual.flatten().softmax(0).view_as(usual),
        "logarithms do not add up to anything: take the exponential first, then divide by the sum": (
            usual / usual.sum(1, keepdim=True)
        ),
        "log p is in nats, so the base is e": (usual * math.log(2)).softmax(1),
        "the best caption gets all; how sure is it?": (usual == usual.amax(1, keepdim=True)).float(),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, right, atol=1e-4),
        f"for log p of 0, -1, -2 and -0.5 the first is {right[0, 0]:.3f}, and you give {value[0, 0]:.3f}",
    )
    for shift, what in ((1400.0, "infinite"), (-1400.0, "0")):
        require(
            torch.allclose(answer(usual + shift), right, atol=1e-3),
            f"right for small numbers, but with {shift:g} nats more e to that power becomes {what}: "
            "take the largest log p of each picture off first; it cancels",
        )
