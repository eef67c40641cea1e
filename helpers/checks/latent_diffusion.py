"""Checks of the exercises of ``11_latent_diffusion``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of


@check("one number for all channels, and the noise of the diffusion has something its own size to cover.")
def scale_of_the_grids(answer) -> None:
    """The number that gives grids ``(n, c, h, w)`` the standard deviation 1 when they are multiplied by it."""
    rng = torch.Generator().manual_seed(0)
    grids = 0.3 + torch.tensor([2.0, 5.0, 8.0]).view(1, 3, 1, 1) * torch.randn(64, 3, 4, 4, generator=rng)
    value = torch.as_tensor(answer(grids))
    require(
        value.numel() == 1,
        f"there should be one number for all channels, and yours has the shape {tuple(value.shape)}; "
        "the differences between channels may stay",
    )
    std = grids.std()
    wrong = {
        "that is the standard deviation itself; multiplied by it, the grids get larger still": std,
        "that is the variance": std.square(),
        "you divide by the variance; divide by the standard deviation": 1 / std.square(),
        "that brings the largest number to 1, and one strange picture would set the scale": 1 / grids.abs().max(),
        "you average the standard deviations of the channels; take that of all numbers together": (
            1 / grids.std((0, 2, 3)).mean()
        ),
    }
    require_none_of(wrong, value, rtol=1e-3)
    require(
        torch.allclose(value, 1 / std, rtol=2e-3), f"multiplied by yours, the deviation is {(value * std).item():.3f}"
    )


@check("padding is masked, and changes nothing.")
def mean_of_the_words(answer) -> None:
    """The mean of vectors ``(n, w, d)`` over the places where ``empty`` ``(n, w)`` is False: ``(n, d)``."""
    rng = torch.Generator().manual_seed(0)
    vectors = 1 + torch.randn(3, 5, 4, generator=rng)
    empty = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] + [True] * 4])
    words = (~empty).sum(1, keepdim=True)  # (3, 1)
    there = vectors.masked_fill(empty[..., None], 0)
    value = answer(vectors.clone(), empty.clone())
    require(isinstance(value, Tensor), f"the answer should be a tensor, not {type(value).__name__}")
    require(
        value.shape != (3, 5),
        "that averages the numbers within each word; average over the words, the second dimension",
    )
    require(value.shape == (3, 4), f"there should be a vector for each caption, (n, d), not {tuple(value.shape)}")
    wrong = {
        "the empty places count as words here; leave them out of the sum and out of the count": vectors.mean(1),
        "the empty places are out of the sum, but you still divide by all places": there.mean(1),
        "that is the sum; a long caption would count for more than a short one": there.sum(1),
        "that is the mean of what is not there; `empty` is True where there is no word": (
            (vectors - there).sum(1) / (5 - words).clamp(min=1)
        ),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(torch.allclose(value, there.sum(1) / words, atol=1e-4), "some caption's mean is not that of its words")
