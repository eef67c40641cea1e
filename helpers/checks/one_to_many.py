"""Checks of the exercises of ``01_one_to_many``."""

import math

import torch

from helpers import dogs
from helpers.checks import check, require
from helpers.dogs import LANGUAGE


@check("m answers that are equally right leave log2 m bits open.")
def bits_left_open(answer) -> None:
    """H(a given y) in bits: what a caption y leaves open of the attributes a."""
    for caption in ("a running dog", "a white running dog", "a small white dog running left on the sand"):
        value, m = answer(caption), len(LANGUAGE.answers(caption))
        right = math.log2(m)
        if isinstance(value, torch.Tensor) and value.ndim == 0:  # what torch.log2 gives
            value = value.item()
        require(isinstance(value, float | int), f"for {caption!r} the answer should be a number, not {value!r}")
        require(value != m, f"{caption!r} has {m} answers; how many yes-or-no questions single out one of them?")
        require(
            not math.isclose(value, math.log(m), rel_tol=1e-6),
            f"for {caption!r} you give {value:.3f}, which is right in nats. One bit is log 2 nats: take log2.",
        )
        require(
            not math.isclose(value, LANGUAGE.entropy() - right, rel_tol=1e-6) or math.isclose(value, right),
            f"for {caption!r} you give {value:.3f}: that is what the caption names. What does it leave open?",
        )
        require(
            math.isclose(value, right, rel_tol=1e-6, abs_tol=1e-9),
            f"for {caption!r} you give {value:.3f}. Count the rows of dogs.LANGUAGE.answers(caption) first.",
        )


@check("of all single pictures the mean has the least squared error, and no answer of the world looks like it.")
def best_single_picture(answer) -> None:
    """The one picture ``(3, s, s)`` with the least mean squared error to a batch ``(n, 3, s, s)``."""
    rng = torch.Generator().manual_seed(5)
    pictures = dogs.draw(dogs.sample_scenes(101, rng), 16)
    value = answer(pictures)
    require(
        isinstance(value, torch.Tensor),
        f"the answer should be a picture, a tensor of shape (3, 16, 16), not {type(value).__name__}",
    )
    require(
        value.ndim > 0 and value.shape[-2:] == (16, 16),
        f"your answer has the shape {tuple(value.shape)}: average over the pictures, which are dimension 0, "
        "and not over the pixels",
    )
    require(
        value.shape == (3, 16, 16),
        f"one picture has the shape (3, 16, 16); yours has {tuple(value.shape)}",
    )
    require(
        not torch.allclose(value, pictures.sum(0)),
        "your picture is the sum of all; divide it by how many there are",
    )
    require(
        not torch.allclose(value, pictures.median(0).values),
        "you took the median, which is best for the mean *absolute* error. Here the error is squared.",
    )
    require(
        not (value == pictures).flatten(1).all(1).any(),
        "you chose one of the right answers. It is a dog, and yet another picture has a smaller squared error to all.",
    )
    error, least = ((pictures - guess).square().mean().item() for guess in (value, pictures.mean(0)))
    require(
        torch.allclose(value, pictures.mean(0), atol=1e-5),
        f"your picture has a squared error of {error:.4f}; {least:.4f} is possible. Where is its slope zero?",
    )


@check("half the sum of the differences: 0 where the shares agree, 1 where they have nothing in common.")
def total_variation(answer) -> None:
    """The total variation distance of two lists of shares ``(k,)``."""
    p, q = torch.tensor([0.5, 0.3, 0.2, 0.0]), torch.tensor([0.25, 0.25, 0.25, 0.25])
    value = float(answer(p, q))
    difference = (p - q).abs()
    require(
        not math.isclose(value, 0, abs_tol=1e-6),
        "your answer is 0 for two lists that differ: differences of both signs cancel. Take absolute values first.",
    )
    require(
        not math.isclose(value, difference.sum().item(), rel_tol=1e-5),
        "twice too large: what one list has too much another place has too little, so the sum counts everything twice.",
    )
    require(
        not math.isclose(value, difference.max().item(), rel_tol=1e-5)
        or math.isclose(difference.max().item(), difference.sum().item() / 2, rel_tol=1e-5),
        "you took the largest difference alone; every place counts",
    )
    require(
        not math.isclose(value, difference.mean().item(), rel_tol=1e-5),
        "you averaged over the places; with more places the distance would shrink. Sum, then halve.",
    )
    require(
        math.isclose(value, difference.sum().item() / 2, rel_tol=1e-5),
        f"for shares {p.tolist()} and {q.tolist()} you give {value:.3f}, and it should be "
        f"{difference.sum().item() / 2:.3f}",
    )
    apart = float(answer(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])))
    require(math.isclose(apart, 1, rel_tol=1e-5), f"two lists with nothing in common are 1 apart; you give {apart:.3f}")
