"""Bending: a map that turns a simple distribution into another one.

On a line it can be written down: the inverse of the cumulative distribution. In more dimensions a network learns it,
and is told nothing but how far the crowd that it makes is from a crowd of real points.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def inverse_cdf(z: Tensor, x: Tensor, density: Tensor) -> Tensor:
    """Uniform numbers to draws from a density on a line (Devroye 1986, II.2): straight between the points of a grid.

    Args:
        z: ``(n,)`` in [0, 1).
        x: ``(m,)``, rising.
        density: ``(m,)``, at each x; its integral need not be 1, and it may be 0 on a part of the line.

    Returns:
        ``(n,)``.
    """
    mass = (density[1:] + density[:-1]) / 2 * x.diff()  # of each interval of the grid
    cdf = torch.cat([torch.zeros(1), mass.cumsum(0)])
    cdf = cdf / cdf[-1]
    right = torch.searchsorted(cdf, z, right=True)  # the first point of the grid by which more than z is reached
    share = (z - cdf[right - 1]) / (cdf[right] - cdf[right - 1])
    return torch.lerp(x[right - 1], x[right], share)


def crowd_loss(
    generator: Callable[[Tensor], Tensor],
    real: Tensor,
    latent_size: int,
    distance: Callable[[Tensor, Tensor], Tensor],
    rng: torch.Generator,
) -> Tensor:
    """How far a crowd of new points is from one of real points, of which none has a partner.

    Li, Swersky and Zemel 2015, arXiv:1502.02761, train generators so, by another distance between crowds.

    Args:
        generator: z ``(n, latent_size)`` to points ``(n, d)``.
        real: ``(n, d)``.
        latent_size: numbers in z, which is standard normal.
        distance: of two crowds of points.
        rng: the source of z.
    """
    z = torch.randn(len(real), latent_size, generator=rng)
    return distance(generator(z), real)
