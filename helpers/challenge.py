"""The challenge: who draws the best dogs by the same rules? docs/challenge.md has them.

``python -m helpers.challenge template my_model.py`` writes a model to begin with, ``run my_model.py`` trains it, judges
it and adds it to the board, ``board`` shows the board, and ``collect FOLDER`` makes one of the files of a class.
"""

import argparse
import dataclasses
import hashlib
import runpy
import shutil
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from helpers import challenger
from helpers.checkpoints import RECIPES, Stage
from helpers.comparison import DATA, JUDGED, SIZE, measured
from helpers.tables import Row, Table
from helpers.training import train

STEPS, BATCH, PARAMETERS = 1000, 32, 2_500_000  # at most
RULES = {
    "size": SIZE,
    "steps": STEPS,
    "batch": BATCH,
    "parameters": PARAMETERS,
    "seeds": [0, 1, 2],
    "threads": 1,
    "pictures_judged": JUDGED,
}
COURSE = Table(DATA / "challenge.json", RULES, "python -m helpers.challenge course")  # a row: entry, file and seed
OWN = Table(DATA / "cache" / "challenge.json", RULES, "python -m helpers.challenge run my_model.py")
HEAD = (
    f"{'':4}{'entry':28}{'FD-dogs':>9}{'from … to':>14}{'valid':>8}{'faithful':>10}{'coverage':>10}{'parameters':>12}"
)


class RulesError(ValueError):
    """A model that cannot take part. The message says why, and what to do."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """A model that takes part.

    Attributes:
        name: on the board.
        file: tells versions of it apart: the first letters of the hash of its file, nothing for those of the course.
        stage: its training.
        build: gives the untrained model.
    """

    name: str
    file: str
    stage: Stage
    build: Any

    def measured(self, seed: int) -> Iterator[Row]:
        """What a board says of it for one seed: trained by the rules, judged by the same judge.

        Raises:
            RulesError: it has too many weights, or does not draw what the rules ask for.
        """
        torch.manual_seed(seed)
        rng = torch.Generator().manual_seed(seed)
        model = self.build(rng)
        numbers = weights(model)
        _see_a_sample(model, rng)  # before it has been waited for
        learner, loss = self.stage.begin(model, SIZE, rng)
        steps = len(train(learner, loss, rng, **self.stage.budget | {"steps": STEPS}))
        figures = measured(lambda captions, rng: learner.sample(captions, rng=rng), seed)
        yield {"steps": steps, "parameters": numbers, **figures}


def _see_a_sample(model: nn.Module, rng: torch.Generator) -> None:
    drawn = model.sample(["a running dog"] * 2, rng=rng)
    if drawn.shape != (2, 3, SIZE, SIZE):
        raise RulesError(f"for two captions, sample gives {tuple(drawn.shape)} and not (2, 3, {SIZE}, {SIZE})")


def weights(model: nn.Module) -> int:
    """The numbers that a model may learn.

    Raises:
        RulesError: more than the rules allow.
    """
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > PARAMETERS:
        raise RulesError(f"the model has {count:,} weights, and the rules allow {PARAMETERS:,}: make it narrower")
    return count


def entry_of(file: Path) -> Entry:
    """The entry that a file describes.

    Raises:
        RulesError: it cannot be read, or lacks ``build`` or ``BUDGET``.
    """
    try:
        found = runpy.run_path(str(file))
    except OSError as error:
        raise RulesError(
            f"{file} cannot be read: {error.strerror}. `template {file}` writes one to begin with"
        ) from None
    missing = [name for name in ("build", "BUDGET") if name not in found]
    if missing:
        raise RulesError(f"{file} has no {' and no '.join(missing)}. Compare it with {challenger.__file__}")
    budget = {key: value for key, value in found["BUDGET"].items() if key not in ("steps", "seconds", "clock")}
    batch = found.get("BATCH", BATCH)
    if not (isinstance(batch, int) and 1 <= batch <= BATCH):
        raise RulesError(f"BATCH is {batch!r}, and must be a number from 1 to {BATCH}")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:8]
    return Entry(file.stem, digest, Stage(budget, batch), found["build"])


def course_entries() -> list[Entry]:
    """The families of the course, with their own recipes but by the rules of the challenge, and the template."""
    families = []
    for name, recipe in RECIPES.items():
        stage, batch = recipe.at_once, min(recipe.at_once.batch, BATCH)
        budget = stage.budget | {"ema_decay": 0.99}  # in so few steps
        families.append(Entry(name, "", dataclasses.replace(stage, batch=batch, budget=budget), recipe.build))
    return [*families, Entry("the template", "", Stage(challenger.BUDGET, BATCH), challenger.build)]


def enter(entries: Iterable[Entry], table: Table) -> None:
    """Train and judge whatever a table does not have yet, seed by seed; a broken run goes on where it stopped."""
    known = {(entry.name, entry.file): entry for entry in entries}
    cells = [{"entry": name, "file": file, "seed": seed} for name, file in known for seed in RULES["seeds"]]
    table.file.parent.mkdir(parents=True, exist_ok=True)
    table.fill(cells, lambda entry, file, seed: known[entry, file].measured(seed))


def standings(rows: Sequence[Row]) -> str:
    """Every entry that has all its seeds, the least FD-dogs on average first."""
    entries: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        entries.setdefault((row["entry"], row["file"]), []).append(row)
    whole = [found for found in entries.values() if len(found) == len(RULES["seeds"])]
    whole.sort(key=lambda found: _mean(found, "fd_dogs"))
    lines = [HEAD]
    for place, found in enumerate(whole, start=1):
        name, distances = found[0]["entry"], [row["fd_dogs"] for row in found]
        file = f" {found[0]['file']}" if found[0]["file"] else ""
        between = f"{min(distances):.0f} … {max(distances):.0f}"
        lines.append(
            f"{place:2}. {name + file:28}{statistics.mean(distances):9.1f}{between:>14}{_mean(found, 'valid'):8.1%}"
            f"{_mean(found, 'faithful'):10.1%}{_mean(found, 'coverage'):10.2f}{found[0]['parameters']:12,}"
        )
    return "\n".join(lines)


def collect(folder: Path) -> list[Row]:
    """The rows of all files of a folder, each entry under the name of the file it came in.

    Raises:
        ValueError: a file that is no board, or was made by other rules.
    """
    found = []
    for file in sorted(folder.glob("*.json")):
        try:
            rows = Table(file, RULES, OWN.command).rows()
        except (KeyError, TypeError) as error:
            raise ValueError(f"{file} is no board: hand in data/cache/challenge.json") from error
        found += [row | {"entry": f"{file.stem}: {row['entry']}"} for row in rows]
    return found


def _mean(rows: Sequence[Row], key: str) -> float:
    return statistics.mean(row[key] for row in rows)


def main(arguments: Sequence[str]) -> None:
    """Do what the command line says; whatever is wrong ends in a sentence."""
    parser = argparse.ArgumentParser(prog="python -m helpers.challenge", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("template", help="write a model to begin with").add_argument("file", type=Path)
    commands.add_parser("run", help="train and judge a model by the rules").add_argument("file", type=Path)
    commands.add_parser("board", help="show the board")
    commands.add_parser("collect", help="one board of the files in a folder").add_argument("folder", type=Path)
    commands.add_parser("course", help="measure the families of the course")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "template":
            if chosen.file.exists():
                raise RulesError(f"{chosen.file} is there already, and is left as it is")
            shutil.copy(challenger.__file__, chosen.file)
            print(f"{chosen.file} is ready. Next: python -m helpers.challenge run {chosen.file}")
            return
        if chosen.command == "run":
            enter([entry_of(chosen.file)], OWN)
        if chosen.command == "course":
            enter(course_entries(), COURSE)
        rows = collect(chosen.folder) if chosen.command == "collect" else OWN.rows() if OWN.file.exists() else []
        print(standings([*COURSE.rows(), *rows]))
    except (RulesError, ValueError, FileNotFoundError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
