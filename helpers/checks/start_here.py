"""Checks of the exercise of ``00_start_here``."""

from helpers.checks import check, require
from helpers.dogs import LANGUAGE


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
