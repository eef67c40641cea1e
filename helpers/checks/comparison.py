"""Checks of the exercises of ``09_comparison``."""

import torch
from torch import Tensor, nn

from helpers.checks import check, require, require_none_of
from helpers.comparison import frechet as right_frechet
from helpers.comparison import pareto_front as right_front


@check("a point in the middle, and how every two features go up and down together.")
def moments(answer) -> None:
    """Mean ``(d,)`` and covariance ``(d, d)`` of n points, ``(n, d)``."""
    rng = torch.Generator().manual_seed(0)
    points = torch.randn(7, 3, generator=rng, dtype=torch.float64) @ torch.tensor(
        [[1.0, 2.0, 0.0], [0.0, 1.0, 1.0], [0.0, 0.0, 3.0]], dtype=torch.float64
    ) + torch.tensor([5.0, -2.0, 1.0])
    kept = points.clone()
    value = answer(points)
    require(isinstance(value, tuple | list) and len(value) == 2, "two things are wanted: the mean, and the covariance")
    mean, covariance = value
    require(isinstance(mean, Tensor) and isinstance(covariance, Tensor), "both should be tensors")
    require(torch.equal(points, kept), "the features have changed: subtract the mean from a copy, not in place")
    require(
        mean.ndim > 0 and mean.shape != (7,),
        "the mean should have a number for each feature: average over the points, which is dimension 0",
    )
    require(mean.shape == (3,), f"the mean of points of 3 features has 3 numbers, not {tuple(mean.shape)}")
    require(torch.allclose(mean, points.mean(0)), f"the first feature is {points[:, 0].mean():.2f} on average")
    require(
        covariance.shape != (7, 7),
        "that is 7 by 7, and there are 7 points: each two features are wanted, not each two points. Transpose",
    )
    require(
        covariance.shape != (3,),
        "that is a variance for each feature; how two of them go together is missing: (3, 3) is wanted",
    )
    require(covariance.shape == (3, 3), f"3 features have a covariance of (3, 3), not {tuple(covariance.shape)}")
    right, away = points.T.cov(), points - points.mean(0)
    wrong = {
        "divide by n - 1: the mean was fitted to the same points, so they lie too close to it": right * 6 / 7,
        "that is a sum over the points; divide it by n - 1": right * 6,
        "subtract the mean first: this is the mean product of the features themselves": points.T @ points / 6,
        "subtract the mean first, and divide by n - 1": points.T @ points / 7,
        "that is the correlation: nothing should be divided by standard deviations": points.T.corrcoef(),
        "only the variances are there: two different features go together as well": right.diag().diag(),
        "that is the mean of absolute products; the sign tells whether two features go together or apart": (
            (away[:, :, None] * away[:, None]).abs().sum(0) / 6
        ),
    }
    require_none_of(wrong, covariance, rtol=1e-4)
    require(
        torch.allclose(covariance, right, rtol=1e-4),
        f"the variance of the first feature is {right[0, 0]:.2f}, and you give {covariance[0, 0]:.2f}",
    )


@check("the way between the middles, and what it takes to turn one spread into the other.")
def distance_of_gaussians(answer) -> None:
    """The squared Frechet distance of two Gaussians, given mean ``(d,)`` and covariance ``(d, d)`` of each."""
    rng = torch.Generator().manual_seed(0)
    mean, other_mean = torch.randn(2, 4, generator=rng, dtype=torch.float64)
    crowd, other = torch.randn(2, 9, 4, generator=rng, dtype=torch.float64)
    covariance, other_covariance = crowd.T.cov(), 2 * other.T.cov()
    given = mean, covariance, other_mean, other_covariance
    value, right = answer(*given), right_frechet(*given)
    require(
        not isinstance(value, float | int),
        "right or not, no gradient can come back from a Python number: give a tensor, without .item()",
    )
    require(isinstance(value, Tensor) and value.ndim == 0, "the answer should be one number, a tensor of no dimension")
    require(not value.is_complex(), "the roots came out complex by rounding: take the real part")
    apart = (mean - other_mean).square().sum()
    both, product = covariance.trace() + other_covariance.trace(), covariance @ other_covariance
    roots = (both - right + apart) / 2
    root, other_root = ((v * w.sqrt()) @ v.T for w, v in map(torch.linalg.eigh, (covariance, other_covariance)))
    lower = torch.linalg.eigvalsh(product)
    wrong = {
        "the means are missing": right - apart,
        "the spreads are missing": apart,
        "the distance of the means should be squared: no root of their part": right - apart + apart.sqrt(),
        "the roots are there once; they are subtracted twice": right + roots,
        "the sign of the last term is turned: equal Gaussians should be 0 apart": right + 4 * roots,
        "the roots of the eigenvalues are missing: you subtract twice the trace of the product": (
            apart + both - 2 * product.trace()
        ),
        "that is the root of the trace; take the root of each eigenvalue, and add them up": (
            apart + both - 2 * product.trace().sqrt()
        ),
        "sqrt takes the root of each entry; the root of a matrix has the roots of its eigenvalues": (
            apart + both - 2 * product.abs().sqrt().trace()
        ),
        "eigvalsh reads half of a matrix and believes it to be symmetric; C1 C2 is not: take eigvals": (
            apart + both - 2 * lower.clamp(min=0).sqrt().sum()
        ),
        "those are singular values; the eigenvalues of C1 C2 are wanted": (
            apart + both - 2 * torch.linalg.svdvals(product).sqrt().sum()
        ),
        "the root of a product is not the product of the roots, unless the two commute": (
            apart + both - 2 * (root @ other_root).trace()
        ),
        "that is the root of the distance; it is left squared here": right.sqrt(),
    }
    require_none_of(wrong, value, rtol=1e-5)
    require(value.isfinite(), "that is not a number: rounding can turn an eigenvalue of 0 into one just below it")
    require(
        torch.allclose(value, right, rtol=1e-4), f"for these two it should be {right:.3f}, and you give {value:.3f}"
    )
    few = crowd[:3].T.cov()  # three points span two directions: two eigenvalues are 0, or just below
    flat = answer(mean, few, mean, few)
    require(
        flat.isfinite() and abs(flat) < 1e-4,
        "for three points in four dimensions, and the same again, it should be 0: rounding can turn an eigenvalue of 0 "
        "into one just below it, and such a one has no root. Use clamp(min=0)",
    )
    slope = mean.clone().requires_grad_()
    require(
        answer(slope, *given[1:]).requires_grad,
        "right, but no gradient comes back: stay in torch, without numpy or detach. The lesson will need it",
    )


@check("one call is one evaluation, however many pictures go through at once.")
def counted_calls(answer) -> None:
    """How often a network is called while ``act()`` runs."""
    network = nn.Sequential(nn.Linear(2, 2), nn.SiLU())
    runs = []

    def act() -> None:
        runs.append(1)
        for _ in range(4):
            network(torch.zeros(5, 2))

    value = answer(network, act)
    require(runs, "nobody called act(): register the hook, run act(), and then count")
    require(len(runs) == 1, f"act() ran {len(runs)} times; sampling from a model takes long enough once")
    require(isinstance(value, int), f"the answer should be a whole number, not {type(value).__name__}")
    require(value != 20, "that counts pictures: five went through in one call, and that is one evaluation")
    require(value not in (8, 12), "that counts the layers inside as well; put the hook on the network itself only")
    require(value != 0, "no call was heard: the hook must be there before act() runs")
    require(value == 4, f"the network was asked 4 times, and you give {value}")
    hooked = any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
    require(
        not hooked and "forward" not in vars(network),
        "right, but the hook is still there: register_forward_hook gives a handle, and handle.remove() takes it off",
    )


@check("each one that is left can be beaten in one thing only by what is worse in the other.")
def unbeaten(answer) -> None:
    """Which rows of cost ``(n, 2)`` are on the Pareto front, ``(n,)`` bool."""
    cost = torch.tensor([[1.0, 9.0], [3.0, 3.0], [9.0, 1.0], [4.0, 4.0], [3.0, 5.0], [3.0, 3.0]])
    value, right = answer(cost), right_front(cost)
    require(
        isinstance(value, Tensor) and value.dtype == torch.bool and value.shape == (6,),
        "the answer should be a tensor of True and False, one for each row",
    )
    require(not (value == ~right).all(), "that is turned round: True is for those that nobody beats")
    require(value.any(), "you keep none: a row does not beat itself, nor one that equals it")
    require(
        not value[4],
        "[3, 5] is beaten by [3, 3], which is as good in the first and better in the second: a tie in one is enough",
    )
    require(
        value[1] or not (value[0] and value[2]),
        "you keep only what is first in something. [3, 3] is first in nothing, yet no other row is as good in both",
    )
    require(value[1] == value[5], "two equal rows do not beat each other: keep both or neither")
    require(value[0] and value[2], "[1, 9] and [9, 1] are each the best in one thing; nobody beats them")
    require((value == right).all(), f"here it should be {right.tolist()}, and you give {value.tolist()}")
