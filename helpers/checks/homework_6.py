"""Checks of the exercises of ``12_homework_6``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of


@check("a sample is as original as its nearest training picture is far.")
def distance_to_the_nearest(answer) -> None:
    """Distances ``(n,)`` of samples ``(n, ...)`` to the nearest of the training pictures ``(m, ...)``."""
    rng = torch.Generator().manual_seed(0)
    samples, training = torch.rand(4, 3, 2, 2, generator=rng), torch.rand(6, 3, 2, 2, generator=rng)
    training[5] = samples[1]
    every = (samples[:, None] - training).flatten(2).norm(dim=2)  # (4, 6)
    value, right = answer(samples, training), every.amin(1)
    require(isinstance(value, Tensor), f"the answer should be a tensor, not {type(value).__name__}")
    require(value.shape != (6,), "that has one number for each training picture; take the minimum over these")
    require(value.shape == (4,), f"there should be one distance for each of the 4 samples, not {tuple(value.shape)}")
    wrong = {
        "that is the mean distance to all training pictures; a copy is near one of them only": every.mean(1),
        "those are squared; take the root": right.square(),
        "that is the farthest; take the smallest": every.amax(1),
        "that is the sum of absolute differences; Euclidean is the root of the sum of squares": (
            (samples[:, None] - training).abs().flatten(2).sum(2).amin(1)
        ),
    }
    require_none_of(wrong, value, atol=1e-4)
    require(torch.allclose(value, right, atol=1e-3), f"it should be {right.tolist()}, and you give {value.tolist()}")


@check("half of them, left to right, each by its own number.")
def mirrored_half(answer) -> None:
    """Pictures ``(n, 3, s, s)``, mirrored where u ``(n,)`` is below one half."""
    pictures = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    before, u = pictures.clone(), torch.tensor([0.2, 0.7, 0.9, 0.1])
    value = answer(pictures, u)
    require(
        isinstance(value, Tensor) and value.shape == pictures.shape,
        "the answer should have the shape of the pictures, (n, 3, s, s)",
    )
    require(torch.equal(pictures, before), "the pictures that were given have changed; leave them as they are")

    def chosen(where: Tensor, changed: Tensor) -> Tensor:
        return torch.where(where[:, None, None, None], changed, before)

    wrong = {
        "that turns them upside down: the last dimension runs from left to right": chosen(u < 0.5, before.flip(-2)),
        "those are the others: mirror where u is below one half": chosen(u >= 0.5, before.flip(-1)),
        "all are mirrored; only those whose u is below one half should be": before.flip(-1),
        "none has changed": before,
        "that reverses the batch, or the colours": chosen(u < 0.5, before.flip(1)),
        "that turns them round by 180 degrees; mirror one dimension only": chosen(u < 0.5, before.flip(-1, -2)),
    }
    require_none_of(wrong, value, atol=1e-6)
    require(
        torch.allclose(value, chosen(u < 0.5, before.flip(-1))), "some picture is neither itself nor its mirror image"
    )
