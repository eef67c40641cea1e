"""Checks of the exercises of ``00_start_here``."""

import torch
from torch import Tensor

from helpers import dogs, judge
from helpers.checks import check, require
from helpers.dogs import LANGUAGE

MOST = 16  # pixels of 256 that may be changed: few enough for the dog to be seen


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
