"""Soft checks of the exercises: they never raise, and they say what is wrong rather than that something is."""

import dataclasses
import functools
import html
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from helpers import progress

UNFINISHED, WRONG, PASSED = "not finished yet", "not yet", "well done"
_SIGN = {UNFINISHED: "✎", WRONG: "✗", PASSED: "✓"}
_COLOUR = {UNFINISHED: "#595959", WRONG: "#a4262c", PASSED: "#0b6a0b"}


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a check found: ``status`` is one of ``UNFINISHED``, ``WRONG`` and ``PASSED``; ``message`` says why."""

    status: str
    message: str

    def __repr__(self) -> str:
        return f"{_SIGN[self.status]} {self.status}: {self.message}"

    def _repr_html_(self) -> str:
        return (
            f'<p role="status" style="border-left: 4px solid {_COLOUR[self.status]}; padding-left: 0.7em">'
            f"<b>{_SIGN[self.status]} {self.status}.</b> {html.escape(self.message)}</p>"
        )


class Complaint(Exception):
    """Raised inside a check, with the hint that helps."""


def require(condition: object, hint: str) -> None:
    """Raise a ``Complaint`` with the hint unless the condition holds."""
    if not condition:
        raise Complaint(hint)


def require_none_of(mistakes: Mapping[str, Tensor | float], value: Tensor, **tolerance: float) -> None:
    """Raise a ``Complaint`` with the hint of the first mistake that the value agrees with.

    Args:
        mistakes: for each hint what a learner gets who makes that mistake; a shape that goes with the value's.
        value: the learner's.
        **tolerance: ``rtol`` and ``atol`` of ``torch.allclose``.
    """
    for hint, mistaken in mistakes.items():
        require(not torch.allclose(value.double(), torch.as_tensor(mistaken).double(), **tolerance), hint)


def check(praise: str) -> Callable:
    """Turn a function that raises a ``Complaint`` for a wrong answer into one that gives a ``Verdict``.

    ``...``, None and NotImplementedError count as not finished, in the answer itself or in what it returns; any other
    error of the answer is reported in words. A right one is noted in the learner's progress.

    Args:
        praise: what a right answer has understood.
    """

    def decorate(examine: Callable) -> Callable:
        @functools.wraps(examine)
        def verdict(answer) -> Verdict:
            try:
                examine(_finished(answer))
            except (NotImplementedError, _Unfinished):
                return Verdict(UNFINISHED, "replace the ... by your own, and run the cell again.")
            except Complaint as complaint:
                return Verdict(WRONG, str(complaint))
            except Exception as error:  # whatever the learner's code raises must end in a sentence, not in a traceback
                return Verdict(WRONG, f"your code stopped with {type(error).__name__}: {error}")
            progress.record(examine.__module__.rpartition(".")[2])
            return Verdict(PASSED, praise)

        return verdict

    return decorate


class _Unfinished(Exception):
    pass


def _finished(answer):
    if answer is ... or answer is None:
        raise _Unfinished
    if not callable(answer):
        return answer

    @functools.wraps(answer)
    def call(*arguments):
        return _finished(answer(*arguments))

    return call
