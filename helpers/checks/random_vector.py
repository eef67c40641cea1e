"""Checks of the exercises of ``04_random_vector``."""

import torch
from torch import Tensor

from helpers.checks import check, require


@check(
    "the smallest z gives the smallest example, the largest the largest: the inverse of the cumulative distribution."
)
def bend(answer) -> None:
    """Uniform numbers ``(n,)`` to samples of the distribution of ``data (m,)``."""
    rng = torch.Generator().manual_seed(0)
    data = torch.cat([torch.rand(600, generator=rng) ** 2, 3 + torch.randn(1400, generator=rng)])
    data = data[torch.randperm(len(data), generator=rng)]
    z = torch.rand(2000, generator=rng)
    value, right = answer(z, data), torch.quantile(data, z)
    require(
        isinstance(value, Tensor) and value.shape == z.shape,
        "the answer should be one number for each z, a tensor of the same length",
    )
    value = value.to(data)
    require(
        not torch.allclose(value, data[(z * len(data)).long()], atol=1e-4),
        "that draws from the data, and yet neighbours in z land anywhere: a map should be a curve. Sort the data first",
    )
    cumulative = (data[:, None] <= z).float().mean(0)
    require(
        not torch.allclose(value, cumulative, atol=1e-2),
        "that is the cumulative distribution: it takes an example to its rank. You want the way back",
    )
    require(
        not torch.allclose(value, data.min() + (data.max() - data.min()) * z, atol=1e-3),
        "you stretch z to the range of the data; it stays evenly spread, and the data are not",
    )
    require(
        not torch.allclose(value, data.mean() + data.std() * z, atol=1e-3)
        and not torch.allclose(value, data.mean() + data.std() * torch.special.ndtri(z), atol=1e-3),
        "mean and standard deviation are right, the shape is not: two heaps cannot be had by shifting and stretching",
    )
    require(
        not _at_share(value, data, 1 - z).all(),
        "right in distribution, but turned round: let small z give small values",
    )
    fits = _at_share(value, data, z)
    worst = int(torch.where(fits, -1, (value - right).abs()).argmax())
    require(
        fits.all(),
        f"for z = {z[worst]:.2f} the answer should be near {right[worst]:.2f}, the value below which {z[worst]:.0%} of "
        f"the data lie; you give {value[worst]:.2f}",
    )


def _at_share(value: Tensor, data: Tensor, share: Tensor) -> Tensor:
    """Whether each value lies where that share of the data ends, between the neighbours in the sorted list.

    There are many rules for a quantile, which differ by up to a rank: the nearest example or a value between two.
    """
    ranked, last = data.sort().values, len(data) - 1
    rank = share * last
    lowest, highest = (ranked[place.long().clamp(0, last)] for place in (rank.floor() - 1, rank.ceil() + 1))
    return (value >= lowest - 1e-5) & (value <= highest + 1e-5)


@check("on the way from one to the other the length stays what a normal vector's length is.")
def slerp(answer) -> None:
    """Spherical interpolation between two vectors ``(d,)``."""
    rng = torch.Generator().manual_seed(0)
    a, other = torch.randn(2, 768, generator=rng).unbind(0)
    b = 0.5 * a + 0.75**0.5 * other  # about 60 degrees apart
    for t in (0.0, 0.5, 0.25, 1.0):
        value = answer(a, b, t)
        omega = torch.arccos(a @ b / (a.norm() * b.norm()))
        right = (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)
        require(
            isinstance(value, Tensor) and value.shape == a.shape,
            "the answer should be a vector like a and b",
        )
        require(
            t in (0, 1) or not torch.allclose(value, (1 - t) * a + t * b, atol=1e-4),
            f"that is the straight way; halfway it is only {((a + b) / 2).norm():.1f} long, and a is {a.norm():.1f}",
        )
        require(
            t == 0.5
            or not torch.allclose(
                value, (torch.sin(t * omega) * a + torch.sin((1 - t) * omega) * b) / omega.sin(), atol=1e-4
            ),
            "at t = 0 you are at b: exchange the two",
        )
        require(
            not torch.allclose(value, right * torch.sin(omega), atol=1e-4) or torch.allclose(value, right, atol=1e-4),
            "divide by the sine of the angle",
        )
        require(
            torch.allclose(value, right, atol=1e-3),
            f"at t = {t} your vector is {value.norm():.2f} long, and it should be {right.norm():.2f}. Is omega in "
            "radians, and is it the angle between a and b whatever their lengths?",
        )
