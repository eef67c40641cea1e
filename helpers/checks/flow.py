"""Checks of the exercises of ``06_flow``."""

import math

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of


@check("each changed number counts with one over its deviation, and logarithms of factors add up.")
def coupling_log_det(answer) -> None:
    """log |det dy/dx| of y = (x - guess) / deviation, from the log deviations: ``(n, k)`` to ``(n,)``."""
    log_deviation = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    value = answer(log_deviation)
    right = -log_deviation.sum(1)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for each of the n vectors")
    require(
        value.shape != log_deviation.shape,
        "that is one number for each changed number; the determinant is their product, so its logarithm is a sum",
    )
    require(value.ndim > 0, "that is one number for the whole batch; every vector has a log-determinant of its own")
    require(value.shape == right.shape, f"one number for each of the 5 vectors is wanted, not {tuple(value.shape)}")
    wrong = {
        "the sign is turned: a division by a large deviation makes volumes smaller": -right,
        "the product of k factors has the sum of k logarithms, not their mean": right / 3,
        "that is the determinant itself; its logarithm is wanted": right.exp(),
        "the exercise hands you logarithms of the deviations already; no further logarithm or exponential is needed": (
            -log_deviation.exp().sum(1)
        ),
        "a determinant has no absolute value inside: a factor above 1 and one below 1 may cancel": (
            -log_deviation.abs().sum(1)
        ),
    }
    require_none_of(wrong, value, atol=1e-5)
    require(
        torch.allclose(value, right, atol=1e-5),
        f"for log deviations {[round(v, 2) for v in log_deviation[0].tolist()]} it is {right[0]:.2f}; "
        f"you give {value[0]:.2f}",
    )


@check("the same small determinant once at every pixel: that is why this layer is cheap.")
def conv1x1_log_det(answer) -> None:
    """log |det dy/dx| of a 1x1 convolution of pictures ``(n, c, height, width)``: one number."""
    weight = torch.tensor([[0.0, 2.0, 0.0], [3.0, 0.0, 0.5], [0.0, 0.0, 0.5]])  # its determinant is -3
    height, width = 4, 6
    value = torch.as_tensor(answer(weight, height, width))
    right = height * width * math.log(3)
    require(value.numel() == 1, "the matrix is the same for all pictures, so one number is wanted")
    require(
        not value.isnan(),
        "a determinant may be negative (this one is -3), and then it has no logarithm: take its absolute value",
    )
    wrong = {
        "that is for a single pixel; the matrix is applied at every one": math.log(3),
        "the picture has height times width pixels, and the matrix is applied at every one of them": (
            (height + width) * math.log(3)
        ),
        "count the pixels only; the channels are inside the matrix": 3 * right,
        "the sign is turned: a matrix with a determinant of 3 makes volumes larger": -right,
        "that is the determinant, not its logarithm": height * width * 3.0,
        "that is in bits; nats are wanted, the natural logarithm": right / math.log(2),
    }
    require_none_of(wrong, value, rtol=0, atol=1e-3)
    require(
        abs(value.item() - right) < 1e-3,
        f"for a determinant of -3 and 4 by 6 pixels it is 24 log 3 = {right:.2f}; you give {value.item():.2f}",
    )


@check("nats to bits, whole picture to one number, and 8 bits for a density of 1.")
def bits_per_dim(answer) -> None:
    """Bits for each number at 256 levels, from log p in nats of pictures in [0, 1]: ``(n,)`` to ``(n,)``."""
    log_prob, numbers = torch.tensor([0.0, 500.0, 1000.0]), 768
    value = answer(log_prob, numbers)
    right = 8 - log_prob / (numbers * math.log(2))
    require(
        isinstance(value, Tensor) and value.shape == log_prob.shape,
        "the answer should be one number for each picture, a tensor of the same length as log_prob",
    )
    wrong = {
        "the likelier a picture, the fewer bits it costs: the sign before log_prob is turned": (
            8 + log_prob / (numbers * math.log(2))
        ),
        "a density of 1 everywhere on [0, 1] is one in 256 for each level, 8 bits; you begin from 0": right - 8,
        "log_prob is in nats; a bit is log 2 nats, so divide": 8 - log_prob / numbers,
        "a bit is log 2 nats: divide by log 2, do not multiply": 8 - log_prob * math.log(2) / numbers,
        "that is for the whole picture; how many numbers does it have?": 8 - log_prob / math.log(2),
        "every number has 8 bits, and the sum was divided already": 8 * numbers - log_prob / (numbers * math.log(2)),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(
        torch.allclose(value, right, atol=1e-4),
        f"for log p = 500 and 768 numbers it is {right[1]:.3f} bits; you give {value[1]:.3f}",
    )
