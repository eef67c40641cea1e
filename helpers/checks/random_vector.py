"""Checks of the exercises of ``04_random_vector``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of


@check("cumulate the density, and read the curve backwards: where F is steep, many z land; where it is flat, none.")
def bends_on_a_line(answer) -> None:
    """Uniform numbers ``(n,)`` to draws from a ``density (m,)`` given at the points ``x (m,)`` of a grid."""
    rng = torch.Generator().manual_seed(0)
    x = torch.cat([torch.linspace(0, 2, 1500), torch.linspace(2.01, 5, 300)])  # finer at the left
    density = 3 * torch.where((x < 0.1) | (x > 1.2) & (x < 2.5), 0, 1 + x)  # has gaps; its integral is far from 1
    cdf = _cumulated(x, density)
    z = torch.cat([torch.rand(2000, generator=rng), torch.zeros(1)])
    value = answer(z, x, density)
    require(
        isinstance(value, Tensor) and value.shape == z.shape,
        "the answer should be one number for each z, a tensor of the same length",
    )
    value = value.to(x)
    require(
        not value.isnan().any(),
        "some answers are not numbers. Where the density is 0 the cumulative distribution stands still: do you divide "
        "by its rise there? Take the first point of the grid where it is *more* than z (searchsorted, right=True)",
    )
    wrong = {
        "that is the cumulative distribution: it takes a size to its share. You want the way back": _curve(z, x, cdf),
        "you stretch z to the range of x; it stays evenly spread, and the density is not even": x[0]
        + (x[-1] - x[0]) * z,
        "right in distribution, but turned round: let small z give small values": _curve(1 - z, cdf, x),
    }
    require_none_of(wrong, value, atol=2e-2)
    order = z.argsort()
    require(
        (value[order].diff() >= -1e-4).all(),
        "a larger z should never give a smaller answer. Is the answer read off a curve that rises, and z used once?",
    )
    per_point = density.cumsum(0) / density.sum()
    reached = _curve(value, x, cdf)
    require(
        (reached - z).abs().amax() < 0.01 or (_curve(value, x, per_point) - z).abs().amax() > 0.01,
        "you add up the densities alone, and this grid is finer at the left: the mass of an interval is its density "
        "times its width, x.diff()",
    )
    area = torch.trapezoid(density, x)
    require(
        (_curve(value, x, cdf * area).clamp(max=1) - z).abs()[z < cdf[-1]].amax() > 0.01
        or (reached - z).abs().amax() < 0.01,
        f"the integral of this density is {area:.1f}, not 1: divide what you have added up by its last value",
    )
    worst = int((reached - z).abs().argmax())
    require(
        (reached - z).abs().amax() < 0.01,
        f"for z = {z[worst]:.2f} the answer should be near {_curve(z[worst], cdf, x):.2f}, below which {z[worst]:.0%} "
        f"of the mass lies; you give {value[worst]:.2f}",
    )
    coarse = torch.tensor([0.0, 1.0, 4.0])
    value = answer(torch.linspace(0, 0.99, 100), coarse, torch.ones(3))
    require(
        len(value.unique()) > 3,
        "all your answers are points of the grid; go on between them: how far is z on its way through the interval?",
    )
    require(
        torch.allclose(value, 4 * torch.linspace(0, 0.99, 100), atol=1e-3),
        "between two points of the grid go straight: an even density from 0 to 4 should give 4 z",
    )


def _cumulated(x: Tensor, density: Tensor) -> Tensor:
    """The cumulative distribution at each x, from 0 to 1."""
    cdf = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(density, x)])
    return cdf / cdf[-1]


def _curve(at: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The height at ``at`` of the curve that goes straight from one point (x, y) to the next; both rise."""
    right = torch.searchsorted(x, at, right=True).clamp(1, len(x) - 1)
    share = (at - x[right - 1]) / (x[right] - x[right - 1]).clamp(min=1e-12)
    return torch.lerp(y[right - 1], y[right], share.clamp(0, 1))


@check("twice between, minus within each: zero on average for two crowds of one distribution, and for no others.")
def far_apart(answer) -> None:
    """The energy distance of two crowds of points, ``(n, d)`` and ``(m, d)``, without bias."""
    rng = torch.Generator().manual_seed(0)
    a, b = torch.randn(40, 3, generator=rng), 1 + 2 * torch.randn(40, 3, generator=rng)
    for second in (b, b[:25]):  # crowds of one size, and of two
        value = answer(a, second)
        require(isinstance(value, Tensor), "the answer should be a tensor, so that gradients pass through it")
        require(
            value.ndim == 0,
            f"one number for the two crowds is wanted, not {tuple(value.shape)}: take means of the pairs",
        )
        between, (in_a, in_b) = torch.cdist(a, second).mean(), map(_within, (a, second))
        biased = 2 * between - torch.cdist(a, a).mean() - torch.cdist(second, second).mean()
        squares = [torch.cdist(p, q).square() for p, q in ((a, second), (a, a), (second, second))]
        wrong = {
            "a point is at distance 0 from itself, and these pairs say nothing: divide the sum within a crowd of n by "
            "n (n - 1), not by n n; else two crowds of one distribution would never come to 0": biased,
            "the distance between the crowds counts twice, for two are taken away: one within each": (
                between - in_a - in_b
            ),
            "the distances within the second crowd are missing: you compare with a crowd of unknown width": (
                2 * between - in_a
            ),
            "the distances within the first crowd are missing. They keep the points that you make from all going to "
            "one place": 2 * between - in_b,
            "only the distances between the crowds are there; they are smallest if all points go to the middle of the "
            "others. Take away the distances within each crowd": 2 * between,
            "the sign is turned: far crowds must get more": in_a + in_b - 2 * between,
            "take the root of the energy distance for a length; here it stays as it is, and is 0 or less by chance": (
                (2 * between - in_a - in_b).sqrt()
            ),
            "with squared distances everything but the two means cancels: then two crowds with one mean are equal": (
                2 * squares[0].mean() - squares[1].mean() - squares[2].mean()
            ),
            "that compares the two means; crowds can have one mean and differ": (a.mean(0) - second.mean(0)).norm(),
        }
        if len(second) == len(a):
            wrong[
                "you pair the first with the first, the second with the second; nobody has a partner. Take the "
                "distances of *all* pairs, torch.cdist(a, b)"
            ] = (a - second).norm(dim=1).mean()
        require_none_of(wrong, value, rtol=1e-3)
        right = 2 * between - in_a - in_b
        require(
            torch.allclose(value, right, rtol=1e-3),
            f"for crowds of {len(a)} and {len(second)} points it should be {right:.3f}, and you give {value:.3f}",
        )
    leaf = a.clone().requires_grad_()
    value = answer(leaf, b)
    require(value.requires_grad, "no gradient comes back to the points; do not detach them")
    require(
        torch.autograd.grad(value, leaf)[0].isfinite().all(),
        "its slopes are not numbers: a root has none at 0, where a point meets itself. torch.cdist takes care of that",
    )


def _within(crowd: Tensor) -> Tensor:
    """The mean distance of two members of a crowd."""
    return torch.pdist(crowd).mean()


@check("fresh z for every point, and the two crowds compared as crowds: nobody is told which z belongs to which point.")
def learns_from_crowds(answer) -> None:
    """The distance of ``real (n, d)`` from as many points that a generator makes of standard normal z."""
    rng = torch.Generator().manual_seed(0)
    real = torch.randn(500, 5, generator=rng)
    weight = torch.randn(3, 5, generator=rng).requires_grad_()
    given, asked = [], []

    def generator(z: Tensor) -> Tensor:
        require(
            z.shape[-1] == 3,
            "a z has latent_size numbers, whatever a point has; and there is one for each real point",
        )
        given.append(z)
        return z @ weight

    def distance(a: Tensor, b: Tensor) -> Tensor:
        asked.append((a, b))
        return 2 * torch.cdist(a, b).mean() - _within(a) - _within(b)

    def loss(seed: int) -> Tensor:
        given.clear()
        asked.clear()
        return answer(generator, real, 3, distance, torch.Generator().manual_seed(seed))

    value = loss(0)
    require(isinstance(value, Tensor) and value.ndim == 0, "the answer should be one number, a tensor: the distance")
    require(given, "the generator was never called: it makes the points, from z")
    z = given[0]
    require(z.shape == (500, 3), f"z should have the shape (len(real), latent_size), not {tuple(z.shape)}")
    require(z.std(0).amin() > 0.1, "all points get the same z, and so the generator can only make one point")
    require(
        z.min() < -2 and abs(z.mean()) < 0.3 and abs(z.std() - 1) < 0.2,
        "z should be standard normal; yours is "
        f"between {z.min():.1f} and {z.max():.1f}, with mean {z.mean():.1f}: torch.randn",
    )
    first = z.clone()
    loss(0)
    require(torch.equal(given[0], first), "the same generator of randomness should give the same z: pass generator=rng")
    loss(1)
    require(not torch.equal(given[0], first), "z is the same whatever rng is; draw it with generator=rng")
    value = loss(0)
    require(
        asked or not torch.allclose(value, (given[0] @ weight - real).square().mean(), rtol=1e-3),
        "that gives each z a real point for a partner, as if somebody knew which belong together; compare the crowds: "
        "distance(made, real)",
    )
    require(asked, "compare the crowds by the distance that you are given")
    require(
        any(b is real or a is real for a, b in asked),
        "measure the distance from the real crowd, all of it",
    )
    require(value.requires_grad, "no gradient comes back to the generator; do not detach what it makes")
    made = given[0] @ weight
    right = distance(made, real)
    require_none_of({"the sign is turned: the loss must fall as the crowds come together": -right}, value, rtol=1e-3)
    require(
        torch.allclose(value, right, rtol=1e-3),
        f"the distance of the two crowds is {right:.3f}, and you give {value:.3f}; return it as it is",
    )


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
