"""Checks of the exercises of ``09_comparison``."""

import torch
from torch import Tensor, nn

from helpers.checks import check, require
from helpers.comparison import pareto_front as right_front


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
