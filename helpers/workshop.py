"""The workshop of a lesson: a student writes the idea of a family in steps, and the lesson runs on what was written.

Until a step passes its check, and wherever the student's code stops later, the course's own code takes its place. So a
lesson can always be read to its end.
"""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from IPython.display import display
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_pil_image, to_tensor

from helpers import figures
from helpers.checks import PASSED, Verdict
from helpers.dogs import LANGUAGE

GALLERY = Path(os.environ.get("COURSE_GALLERY", Path(__file__).parent.parent / "data" / "cache" / "gallery"))
SHOWN = 8  # pictures of a lesson in the gallery
Result = TypeVar("Result")

_steps: dict[str, "Step"] = {}  # of the notebook that runs in this process


class Step:
    """Stands for a function or a class: the student's, or the course's.

    Attributes:
        yours: what the student wrote, if it passed its check and has not stopped since.
        ours: the course's own.
    """

    def __init__(self, yours: Callable | None, ours: Callable):
        self.yours, self.ours = yours, ours
        functools.update_wrapper(self, ours, updated=())

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """What the one that is in use gives."""
        return (self.yours or self.ours)(*arguments, **options)


def step(yours: Callable, check: Callable[[Callable], Verdict], ours: Callable) -> Step:
    """One step of the workshop: says what the check found, and whose code the lesson runs on from here.

    Args:
        yours: what the student wrote.
        check: of ``helpers.checks``.
        ours: the course's own, which has the same name.

    Returns:
        What the lesson goes on with, to be kept under the name of the step.
    """
    verdict = check(yours)
    passed = verdict.status == PASSED
    goes_on = "From here on, the lesson runs on your code." if passed else "The lesson goes on with the course's code."
    display(Verdict(verdict.status, f"{verdict.message} {goes_on}"))
    _steps[ours.__name__] = Step(yours if passed else None, ours)
    return _steps[ours.__name__]


def solution(shown: Callable, check: Callable[[Callable], Verdict]) -> Callable:
    """Checks a solution before all eyes, and returns what the lesson runs on: a student's own is left in its place."""
    display(check(shown))
    return _steps.get(shown.__name__, shown)


def by_student() -> list[str]:
    """The steps of which the student's code is in use."""
    return [name for name, step in _steps.items() if step.yours]


def whose() -> str:
    """Whose code the lesson runs on, in words."""
    yours = by_student()
    if not yours:
        return "the course's code"
    if len(yours) == len(_steps):
        return "your code"
    return f"your {' and '.join(yours)}, and the course's code for the rest"


def learn(train: Callable[[], Result], good: Callable[[Result], bool] = lambda result: True) -> Result:
    """What ``train`` gives; with the course's code where a student's stops, or teaches nothing.

    Args:
        train: runs the workshop's code, from the beginning whenever it is called.
        good: whether the result has learned what the lesson needs it for.

    Raises:
        Exception: what the course's own code raises.
    """
    if not by_student():
        return train()
    try:
        result = train()
        why = "" if good(result) else "has passed its checks, but what was trained with it has not learned enough"
    except Exception as error:  # whatever a student's code raises must end in a sentence, not in a traceback
        why = f"stopped with {type(error).__name__}: {error}"
    if not why:
        return result
    print(f"Your code {why}. The lesson goes on with the course's code.")
    for each in _steps.values():
        each.yours = None
    return train()


def keep(lesson: str, pictures: Tensor, captions: Sequence[str], folder: Path | None = None) -> figures.Figure:
    """A row of pictures, labelled with whose code drew it. A student's are kept for the first page of the course.

    Args:
        lesson: the notebook without its number, such as ``"vae"``.
        pictures: ``(n, 3, s, s)`` in [0, 1]; the first eight are shown.
        captions: of the pictures.
        folder: of the gallery.
    """
    some = pictures[:SHOWN].detach().cpu().clamp(0, 1)
    if by_student():
        _store(some, (folder or GALLERY) / f"{lesson}.png")
    by = f"Drawn by {whose()}"
    size, alt = some.shape[-1], f"{by}: {'; '.join(captions[: len(some)])}"
    return figures.crowd(some, alt, columns=SHOWN if size < 64 else SHOWN // 2, pixels=max(96, 2 * size), caption=by)


def gallery(lesson: str, folder: Path | None = None) -> Tensor | None:
    """The pictures of a student that were kept of a lesson, ``(n, 3, s, s)`` in [0, 1]; None if there are none."""
    try:
        with Image.open((folder or GALLERY) / f"{lesson}.png") as image:
            strip = to_tensor(image.convert("RGB"))
    except (OSError, ValueError):
        return None
    size = strip.shape[1]
    return torch.stack(strip.split(size, dim=2)) if strip.shape[2] % size == 0 else None


def wall(models: Mapping[str, nn.Module | None], rng: torch.Generator, folder: Path | None = None) -> figures.Figure:
    """The gallery: what each model draws that the course ships, and below it what the student's code drew.

    Args:
        models: the shipped model of each lesson that has a workshop; None where the course ships none.
        rng: the source of their captions and of z.
        folder: of the gallery.
    """
    ours = {name: model for name, model in models.items() if model is not None}
    drawn = {name: model.sample(LANGUAGE.sample(SHOWN, rng), rng=rng) for name, model in ours.items()}
    kept = {name: pictures for name in models if (pictures := gallery(name, folder)) is not None}
    rows = {
        f"{name.replace('_', ' ')}, {whose}": row[name]
        for name in models
        for whose, row in (("the course's", drawn), ("yours", kept))
        if name in row
    }
    size = max(row.shape[-1] for row in rows.values())
    rows = {name: nn.functional.interpolate(row, size=size) for name, row in rows.items()}
    empty = torch.ones(SHOWN, 3, size, size)  # places of a lesson that has kept fewer
    rows = {name: torch.cat([row, empty[len(row) :]]) for name, row in rows.items()}
    return figures.show(rows, f"Dogs by the models of {len(drawn)} lessons, and by your code of {len(kept)} of them")


def _store(pictures: Tensor, file: Path) -> None:
    """Side by side in one file. Whatever a disk can refuse must not stop a lesson."""
    partial = file.with_suffix(".partial")
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(torch.cat(list(pictures), dim=2)).save(partial, format="PNG")
        os.replace(partial, file)
