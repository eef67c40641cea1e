"""Checks of the exercises of ``00_start_here``."""

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers import dogs, judge
from helpers.checks import check, require
from helpers.dogs import LANGUAGE

MOST = 1  # pixel of 256 that may be changed: the dog is still seen


@check("that is the one caption which says all this and nothing more. Its dogs are left to differ in the rest.")
def caption(text: str) -> None:
    """The caption of a small black dog in the city, whichever way it runs."""
    require(isinstance(text, str), f'a caption is a text in quotation marks, such as "a running dog", not {text!r}')
    try:
        named = LANGUAGE.parse(text)
    except ValueError as error:
        require(False, f"{error}")
    wanted = {"coat": "black", "size": "small", "background": "city"}
    for name, value in wanted.items():
        require(name in named, f"your caption leaves the {name} open; the exercise wants it to be {value}")
        require(named[name] == value, f"the {name} in your caption is {named[name]}; the exercise wants {value}")
    for name in named:
        require(name in wanted, f"your caption also fixes the {name}; the exercise leaves it open")


@check("the worst place counts, so that a missing head is not forgiven for all the sky around it.")
def worst_patch(answer) -> None:
    """The difference of two batches ``(n, 3, 16, 16)`` in the worst patch of 2 by 2 pixels, ``(n,)``."""
    rng = torch.Generator().manual_seed(0)
    pictures, redrawn = (dogs.draw(dogs.sample_scenes(5, rng), 16) for _ in range(2))
    value = answer(pictures, redrawn)
    shape = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    require(shape == (5,), f"five pictures should get five numbers, (5,), and you give {shape}")
    squares = (pictures - redrawn).square().mean(1)
    means = F.avg_pool2d(squares, 2, stride=1).flatten(1)
    right = means.amax(1).sqrt()
    for wrong, hint in (
        (means.amax(1), "you give the mean square; the root is missing"),
        (3**0.5 * right, "you give the root of 3 times too much: average over the three colours, do not sum"),
        (2 * right, "you give twice too much: a patch has four pixels; average over them, do not sum"),
        (squares.flatten(1).amax(1).sqrt(), "you take the worst pixel. Average over patches of 2 by 2 first"),
        (squares.flatten(1).mean(1).sqrt(), "you average over the whole picture. Of the patches, the worst counts"),
        (means.amin(1).sqrt(), "you take the best patch; the worst has the largest difference"),
        (
            F.avg_pool2d(squares, 2).flatten(1).amax(1).sqrt(),
            "you look at every second patch only. Patches overlap: stride=1",
        ),
        (
            F.avg_pool2d((pictures - redrawn).abs().mean(1), 2, stride=1).flatten(1).amax(1),
            "you average the differences without their squares",
        ),
    ):
        require(not torch.allclose(value, wrong, rtol=1e-4), hint)
    require(
        torch.allclose(value, right, rtol=1e-4),
        f"for the first picture you give {value[0]:.4f}, and it should be {right[0]:.4f}: square, average over colours "
        "and patches, take the largest, then the root",
    )


@check("the judge asks whether this world could have drawn the picture, and not whether there is a dog in it.")
def fooled(answer) -> None:
    """A picture ``(3, 16, 16)`` to one with a few other pixels, which the judge refuses."""
    pictures = dogs.draw(dogs.sample_scenes(6, torch.Generator().manual_seed(0)), 16)
    altered = []
    for picture in pictures:
        given = picture.clone()
        value = answer(given)
        require(
            isinstance(value, Tensor) and value.shape == picture.shape,
            "the answer should be a picture like the one that was given, (3, 16, 16)",
        )
        require(
            torch.equal(given, picture),
            "you paint on the picture that you were given; make a copy first, picture.clone(), and paint on that",
        )
        require(value.min() >= 0 and value.max() <= 1, "a colour is three numbers from 0, black, to 1")
        changed = int((value != picture).any(0).sum())
        require(changed, "you give the picture back as it was, and rightly the judge accepts it")
        require(changed <= MOST, f"you change {changed} of 256 pixels; {MOST} at most, so that the dog is still seen")
        altered.append(value)
    accepted = int(judge.read(torch.stack(altered)).valid.sum())
    require(
        accepted == 0,
        f"of {len(altered)} altered dogs the judge still accepts {accepted}. It forgives small differences, and what "
        "another scene would explain: what does no scene of this world ever have?",
    )
