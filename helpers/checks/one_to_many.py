"""Checks of the exercises of ``01_one_to_many``."""

import math

import torch

from helpers import dogs
from helpers.checks import check, require
from helpers.dogs import LANGUAGE


@check("the bits of all open attributes add up to log2 of the number of right answers.")
def bits_left_open(answer) -> None:
    """H(a given y) in bits: what a caption y leaves open of the attributes a."""
    for caption in ("a running dog", "a white running dog", "a small white dog running left on the sand"):
        value, m = answer(caption), len(LANGUAGE.answers(caption))
        right = math.log2(m)
        still_open = [len(v) for name, v in LANGUAGE.attributes.items() if name not in LANGUAGE.parse(caption)]
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
            not math.isclose(value, right - 2, rel_tol=1e-6),
            f"for {caption!r} you give {value:.3f}, 2 too few: no caption names the skyline, so it is always open.",
        )
        require(
            not math.isclose(value, math.prod(map(math.log2, still_open)), rel_tol=1e-6) or math.isclose(value, right),
            f"for {caption!r} you give {value:.3f}: you multiplied the bits. Numbers of answers multiply; bits add up.",
        )
        require(
            math.isclose(value, right, rel_tol=1e-6, abs_tol=1e-9),
            f"for {caption!r} you give {value:.3f}. Which attributes are open, and how many values has each?",
        )


@check("whatever the guess, the two parts add up to its squared error, and the first part is the same.")
def split_error(answer) -> None:
    """The variance of pictures ``(n, 3, s, s)`` and the squared distance of a guess ``(3, s, s)`` from their mean."""
    rng = torch.Generator().manual_seed(5)
    pictures = dogs.draw(dogs.sample_scenes(7, rng), 16)
    mean = pictures.mean(0)
    variance = (pictures - mean).square().mean().item()
    for name, guess in {
        "a grey field": torch.full_like(mean, 0.5),
        "one of them": pictures[0],
        "their mean": mean,
    }.items():
        value = answer(guess, pictures)
        require(
            isinstance(value, tuple | list) and len(value) == 2, "give two numbers: the variance, then the distance"
        )
        require(
            all(torch.as_tensor(part).numel() == 1 for part in value),
            f"your parts have the shapes {[(*torch.as_tensor(part).shape,) for part in value]}; average each over "
            "pixels and colours, so that it is one number",
        )
        first, second = (float(part) for part in value)
        error, distance = (pictures - guess).square().mean().item(), (guess - mean).square().mean().item()
        require(
            not _same(first, distance) or not _same(second, variance) or _same(first, second),
            f"for {name} you give {first:.4f} and {second:.4f}: these are the right parts in the wrong order",
        )
        require(
            not _same(first, variance * 7 / 6),
            f"your variance is {first:.4f} and should be {variance:.4f}: var() divides by n - 1, a mean by n.",
        )
        require(
            not _same(first, (pictures - pictures.mean()).square().mean().item()),
            "you took the mean over everything, which is one number. The mean of the right answers is a picture: "
            "average over dimension 0 only.",
        )
        require(
            not _same(first, error) or _same(error, variance),
            f"for {name} your first part is {first:.4f}, which is the whole error. How far do the pictures lie from "
            "their mean? That does not depend on the guess.",
        )
        require(
            not _same(first, variance * pictures[0].numel()),
            "your first part is 768 times too large, and a picture has 768 numbers: average, do not sum",
        )
        require(
            not _same(second, (guess - mean).abs().mean().item()) or _same(second, distance),
            f"for {name} your second part is {second:.4f}: that is the distance without its square",
        )
        require(
            _same(first, variance) and _same(second, distance),
            f"for {name} you give {first:.4f} + {second:.4f}; the variance is {variance:.4f}, the distance of this "
            f"guess from the mean {distance:.4f}, and its error {error:.4f}",
        )


def _same(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)


@check("0 where every answer has its share, and near 1 where one answer stands for many.")
def total_variation(answer) -> None:
    """How far the answers seen ``(n, 5)`` are from even shares of the right ones ``(m, 5)``."""
    right = LANGUAGE.answers("a small white dog running left on the sand")  # four of them
    wrong = LANGUAGE.answers("a large black dog running left on the sand")[:1]
    even = right.repeat(5, 1)
    value = float(answer(even, right))
    require(not _same(value, 1), "1 where all is as it should be: that is the coverage, which is 1 minus this distance")
    require(_same(value, 0), f"where four answers come five times each, nothing has to change; you give {value:.3f}")
    for seen, share, words in (
        (right[[0, 0, 0, 0]], 0.75, "one of four answers, four times"),
        (right[[0, 0, 1, 1, 2]], 0.3, "three of four answers, two, two and one times"),
        (torch.cat([right, wrong.repeat(4, 1)]), 0.5, "four right answers and four times a wrong one"),
    ):
        value = float(answer(seen, right))
        shares = (seen[:, None] == right).all(2).float().mean(0)
        difference = (shares - 1 / len(right)).abs()
        require(
            not _same(value, (shares - 1 / len(right)).sum().item()) or _same(value, share),
            f"for {words} you give {value:.3f}: differences of both signs cancel. Take only what is missing.",
        )
        require(
            not _same(value, 2 * share),
            f"for {words} you give {value:.3f}, twice too much: what one answer has too much another has too little, "
            "so the sum of all differences counts everything twice",
        )
        require(
            not _same(value, difference.max().item()) or _same(value, share),
            f"for {words} you give {value:.3f}, the largest difference alone; every answer counts",
        )
        require(
            not _same(value, difference.mean().item()),
            f"for {words} you give {value:.3f}, an average over the answers, which shrinks with more of them. Sum up.",
        )
        require(
            not _same(value, difference.sum().item() / 2) or _same(value, share),
            f"for {words} you give {value:.3f}, and it should be {share:.3f}: pictures with an answer that is not "
            "on the list must change as well",
        )
        require(_same(value, share), f"for {words} you give {value:.3f}, and it should be {share:.3f}")
