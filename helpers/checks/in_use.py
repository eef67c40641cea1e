"""Checks of the workshop of ``13_in_use``."""

import inspect

import torch
from torch import Tensor, nn

from helpers.checks import check, require, require_none_of
from helpers.models import editing
from helpers.models.diffusion import add_noise, ddim_step


@check("the picture enters the way back at the level that you choose, and what its noise hides may change.")
def enters_halfway(answer) -> None:
    """x ``(n, ...)`` under the noise of the last of the levels, and back from there: as ``editing.image_to_image``."""
    x = torch.randn(3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([1.0, 0.9, 0.6, 0.3])
    asked = []

    def estimate(x_t: Tensor, alpha_bar: Tensor) -> Tensor:
        asked.append((x_t.clone(), round(float(alpha_bar), 3)))
        return torch.tanh(2 * x_t)

    value = answer(estimate, x.clone(), levels.clone(), torch.Generator().manual_seed(1))
    require(isinstance(value, Tensor) and value.shape == x.shape, "the answer should be a tensor of the shape of x")
    require(asked, "the network is never asked: at each level on the way back, call estimate(x, now)")
    seen = [level for _, level in asked]
    require(
        1.0 not in seen,
        f"you ask at the levels {seen}; at 1 there is no noise, so it is where the way ends: take "
        "itertools.pairwise(levels.flip(0))",
    )
    require(
        len(seen) > 1, f"the network is asked once, at {seen[0]}; go down level by level, and ask it at each of them"
    )
    wrong = {
        "x goes in as it is; it is the noise that opens it to change: add_noise(x, noise, levels[-1])": x,
        "you begin with pure noise, and nothing of x is in it": noise,
        "you put the noise on top of x; add_noise also lets x fade": x + noise,
        "the noise is that of levels[0], which is none; the way back begins at levels[-1]": add_noise(
            x, noise, levels[0]
        ),
        "the noise is that of levels[1]; the way back begins at levels[-1]": add_noise(x, noise, levels[1]),
    }
    require_none_of(wrong, asked[0][0], atol=1e-4)
    require(
        torch.allclose(asked[0][0], add_noise(x, noise, levels[-1]), atol=1e-4),
        "the network first sees something else than x under the noise of levels[-1]: "
        "add_noise(x, torch.randn(x.shape, generator=rng), levels[-1])",
    )
    require(seen == [0.3, 0.6, 0.9], f"ask at 0.3, then 0.6, then 0.9; you ask at {seen}")
    first = torch.tanh(2 * asked[0][0])
    require(
        not torch.allclose(asked[1][0], first, atol=1e-4),
        "you go on with the estimate itself; a step leads from x a little way towards it: ddim_step",
    )
    step = ddim_step(asked[0][0], first, levels[3], levels[2], torch.zeros_like(x), eta=0)
    require(
        torch.allclose(asked[1][0], step, atol=1e-4),
        "your first step does not end where ddim_step(x, estimate(x, now), now, before, ...) does, with eta=0",
    )
    right = editing.image_to_image(estimate, x, levels, torch.Generator().manual_seed(1))
    require(torch.allclose(value, right, atol=1e-4), "you return something else than where the last step leads")


@check("what is known is put back at every level, under just as much noise as what is drawn beside it.")
def keeps_what_is_known(answer) -> None:
    """A step from ``now`` to ``before`` in which ``known`` takes the place of what was drawn, where the mask is 1."""
    rng = torch.Generator().manual_seed(0)
    x_t, guess, known = torch.randn(3, 2, 4, 3, 3, generator=rng)
    mask = (torch.rand(2, 1, 3, 3, generator=rng) < 0.5).float()
    now, before = torch.tensor(0.3), torch.tensor(0.6)
    value = answer(x_t, guess, known, mask, now, before, torch.Generator().manual_seed(1))
    require(isinstance(value, Tensor), "the answer should be a tensor, x at the level that the step leads to")
    require(value.shape == x_t.shape, f"x has the shape {(*x_t.shape,)}, and the answer {(*value.shape,)}")
    noise = torch.randn(known.shape, generator=torch.Generator().manual_seed(1))
    drawn = ddim_step(x_t, guess, now, before, torch.zeros_like(x_t), eta=0)
    kept = add_noise(known, noise, before)

    def both(inside: Tensor, outside: Tensor) -> Tensor:
        return mask * inside + (1 - mask) * outside

    wrong = {
        "nothing is put back: where the mask is 1, known should take the place of what was drawn": drawn,
        "the mask is the wrong way round; it is 1 where the original stays": both(drawn, kept),
        "known is put back without noise; beside it there is noise, and the network expects it everywhere": (
            both(known, drawn)
        ),
        "known has the noise of the level that you come from; the step leads to before": (
            both(add_noise(known, noise, now), drawn)
        ),
        "outside the mask nothing has moved: take a step with ddim_step, and mix afterwards": both(kept, x_t),
        "outside the mask stands the guess itself, without noise; ddim_step leads a little way towards it": (
            both(kept, guess)
        ),
        "the two are added where they overlap; outside the mask, multiply what is kept by 0": kept + drawn,
    }
    require_none_of(wrong, value, atol=1e-4)
    outside = (1 - mask).expand_as(value) == 1
    require(
        torch.allclose(value[outside], drawn[outside], atol=1e-4),
        "outside the mask it is not where ddim_step(x_t, guess, now, before, ...) leads, with eta=0",
    )
    require(
        torch.allclose(value, both(kept, drawn), atol=1e-4),
        "where the mask is 1, there should be known under the noise of before: "
        "add_noise(known, torch.randn(known.shape, generator=rng), before)",
    )
    last = answer(x_t, guess, known, mask, now, torch.tensor(1.0), torch.Generator().manual_seed(1))
    require(
        torch.allclose(last * mask, known * mask, atol=1e-4),
        "at the last step, to the level 1, the original itself should stand where the mask is 1",
    )


@check("nothing changes until B has learned, and in the end both matrices fold into one.")
def begins_with_no_effect(answer) -> None:
    """A class like ``editing.LowRank``: a linear layer, and beside it ``scale`` times a product of thin matrices."""
    torch.manual_seed(0)
    linear = nn.Linear(6, 5)
    weight, x = linear.weight.detach().clone(), torch.randn(3, 2, 6)
    layer = inspect.unwrap(answer(linear, 2))  # what can be called comes wrapped
    require(isinstance(layer, nn.Module), "the answer should be a class of modules: class LowRank(nn.Module)")
    value = layer(x)
    if value is ... or value is None:
        raise NotImplementedError
    require(isinstance(value, Tensor), "the layer should give a tensor")
    require(
        getattr(layer, "up", None) is not None and getattr(layer, "down", None) is not None,
        "the two matrices should be called down, which is A, and up, which is B",
    )
    shapes = (*layer.down.shape,), (*layer.up.shape,)
    require(
        shapes == ((2, 6), (5, 2)), f"A should be (rank, inputs) = (2, 6) and B (outputs, rank) = (5, 2), not {shapes}"
    )
    with torch.no_grad():
        require(
            torch.allclose(value, linear(x), atol=1e-6),
            "a fresh layer already changes what comes out; B should begin with zeros",
        )
        require(layer.down.any(), "A and B both begin with zeros; then no gradient reaches either. A should be random")
        layer.up.copy_(torch.randn(5, 2))
        for scale in (1.0, 0.5):
            layer.scale = scale
            change = layer(x) - linear(x)
            right = scale * x @ layer.down.T @ layer.up.T
            wrong = {
                "the product of A and B is not in what comes out": torch.zeros_like(right),
                "self.scale changes nothing; multiply the product by it": right / scale if scale != 1 else 2 + right,
                "the layer's own output is missing; the product is added to self.linear(x)": right - linear(x),
            }
            require_none_of(wrong, change, atol=1e-5)
            require(
                torch.allclose(change, right, atol=1e-5),
                "what is added should be scale * B A x: first down, then up, each with .T behind rows of x",
            )
            merged = layer.merged()
            if merged is ... or merged is None:
                raise NotImplementedError
            require(
                merged.shape == weight.shape,
                f"merged() should be one matrix like linear.weight, (5, 6), not {(*merged.shape,)}",
            )
            require(
                not torch.allclose(merged, scale * layer.up @ layer.down, atol=1e-5),
                "merged() is the change alone; add the weight of the layer",
            )
            require(
                torch.allclose(x @ merged.T + linear.bias, layer(x), atol=1e-5),
                "a linear layer with the weight merged() gives something else than yours: W + scale * B A",
            )
    require(torch.equal(linear.weight, weight), "the weight of the layer itself has changed; merged() only returns")
    require(not linear.weight.requires_grad, "the layer still learns: linear.requires_grad_(False)")
    require(
        layer.down.requires_grad and layer.up.requires_grad,
        "A and B do not learn; make each an nn.Parameter",
    )
