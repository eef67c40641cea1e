"""``make frames``: what the live widgets show, as pictures, so that they move on the site too, where no kernel is.

The lessons are executed for that, as far as their last widget, so that a page shows what a learner would see. It takes
minutes, so it is a step of its own. ``make site`` shows the frames that are there; a widget without them is left to the
still strip that stands below it in every lesson.
"""

import argparse
import hashlib
import html
import itertools
import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat import NotebookNode

from publish.lesson import Output

if TYPE_CHECKING:  # the site needs no torch
    from helpers.widgets import CaptionBuilder, Explorer

ROOT = Path(__file__).resolve().parent.parent
MOST = 400  # pictures of one widget; where its sliders have more places together, they are moved one at a time
SLIDER = (
    '<label><span>{name}</span><input type="range" autocomplete="off" min="0" max="{last}" value="{at}" '
    'aria-valuetext="{label}"><output>{label}</output></label>'
)
EXPLORER = (
    '<div class="live" data-frames="{frames}"><div class="sliders">{sliders}</div>{note}'
    '<figure><img src="{src}" alt="{alt}" width="{width}" height="{height}">'
    '<figcaption aria-live="polite">{caption}</figcaption></figure></div>'
)
ONE_AT_A_TIME = "<p>One at a time: when one moves, the others go back to where they began.</p>"
STORE = """
import sys
sys.path.insert(0, {root!r})
from publish.frames import store
store(Out[max(Out)].live, {folder!r})
"""  # the last output; not ``_``, which a lesson may use itself


def places(choices: Mapping[str, Sequence], start: Mapping) -> Iterator[dict]:
    """All combinations of the choices if they are few; else those with at most one that differs from ``start``."""
    if math.prod(map(len, choices.values())) <= MOST:
        yield from (dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values()))
        return
    yield dict(start)
    for name, values in choices.items():
        yield from (dict(start) | {name: value} for value in values if value != start[name])


def store(live: "CaptionBuilder | Explorer", folder: str) -> None:
    """Write what a widget shows at each of its places: pictures without loss, and ``frames.json`` with the words.

    Args:
        live: the widget, at the place where it begins.
        folder: to write to; what is in it is replaced.
    """
    values = {name: list(slider.options) for name, slider in live.choices.items()}
    start = {name: slider.value for name, slider in live.choices.items()}
    to = Path(folder)
    temporary = to.with_name(f".{to.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    shown = {}
    for place in places(values, start):
        figure = live.figure(**place)
        # The name is the content, so equal pictures are stored once.
        name = f"{hashlib.sha256(figure.image.tobytes()).hexdigest()[:16]}.webp"
        if not (temporary / name).exists():
            figure.image.save(temporary / name, lossless=True)
        words = {"alt": figure.alt, "caption": figure.caption}
        key = ",".join(str(values[choice].index(value)) for choice, value in place.items())
        shown[key] = {"file": name, "size": figure.image.size} | words
    index = {
        "choices": {name: [str(value) for value in options] for name, options in values.items()},
        "start": [options.index(start[name]) for name, options in values.items()],
        "frames": shown,
    }
    (temporary / "frames.json").write_text(json.dumps(index), encoding="utf-8")
    shutil.rmtree(to, ignore_errors=True)
    os.replace(temporary, to)


def with_store(nb: NotebookNode, folder: Path) -> NotebookNode | None:
    """The notebook as far as its last widget, with a cell after each that stores it; None if it has no widget."""
    cells, last = [], 0
    for cell in nb.cells:
        cells.append(cell)
        if "widget" in cell.metadata.get("tags", []):
            source = STORE.format(root=str(ROOT), folder=str(folder / cell.id))
            cells.append(nbformat.v4.new_code_cell(source, id=f"store-{cell.id}"))
            last = len(cells)
    return nbformat.v4.new_notebook(cells=cells[:last], metadata=nb.metadata) if last else None


def explorer(stored: Path, pictures: Path) -> list[Output]:
    """The widget of the page: sliders of the browser's own, a picture, and its words. Empty where nothing is stored.

    Args:
        stored: the folder that ``store`` has written.
        pictures: the folder of the site to copy the pictures to; pages find it as ``pictures/``.
    """
    index = stored / "frames.json"
    if not index.exists():
        return []
    content = json.loads(index.read_text(encoding="utf-8"))
    name = f"{stored.parent.name}-{stored.name}"
    shutil.copytree(stored, pictures / name, ignore=shutil.ignore_patterns("*.json"), dirs_exist_ok=True)
    start = content["frames"][",".join(map(str, content["start"]))]
    sliders = [
        SLIDER.format(name=html.escape(choice), last=len(labels) - 1, at=at, label=html.escape(labels[at]))
        for (choice, labels), at in zip(content["choices"].items(), content["start"], strict=True)
    ]
    every = len(content["frames"]) == math.prod(map(len, content["choices"].values()))
    width, height = start["size"]
    shown = EXPLORER.format(
        frames=html.escape(json.dumps(content)),
        sliders="".join(sliders),
        note="" if every else ONE_AT_A_TIME,
        src=f"pictures/{name}/{start['file']}",
        alt=html.escape(start["alt"]),
        width=width,
        height=height,
        caption=html.escape(start["caption"]),
    )
    return [Output("explorer", shown)]


def main() -> None:
    """Store the widgets of the notebooks named on the command line, or of all."""
    from tests.execute import NOTEBOOKS, RunError, execute, read  # a kernel that stores frames needs none of it

    parser = argparse.ArgumentParser(prog="python -m publish.frames", description=__doc__.splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, metavar="notebook", help="default: all")
    failed = []
    for path in parser.parse_args().notebooks or sorted(NOTEBOOKS.glob("*.ipynb")):
        folder = ROOT / "build" / "frames" / path.stem
        try:
            nb = with_store(read(path), folder)
            seconds = execute(nb, path.resolve().parent) if nb else {}
        except RunError as error:
            failed.append(path.name)
            print(f"{path.name}: {error}", flush=True)
        else:
            print(
                f"{path.name}: {len(list(folder.glob('*/*.webp')))} pictures, {sum(seconds.values()):.0f} s", flush=True
            )
    if failed:
        sys.exit(f"no frames of {', '.join(failed)}")


if __name__ == "__main__":
    main()
