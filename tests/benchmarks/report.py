"""From rows to what one wants to know: how long to the same quality, and at what cost. Needs no peer."""

import dataclasses
import itertools
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import LogLocator

from helpers import figures
from tests.benchmarks import table
from tests.benchmarks.contestants import CONTESTANTS, Contestant

ROOT = Path(__file__).parent.parent.parent
PICTURE, DOCUMENT = ROOT / "data" / "pictures" / "peers.png", ROOT / "docs" / "performance.md"
MARKS = ("<!-- peers -->", "<!-- end of peers -->")  # in the document, around what is written there
COLOURS = {"autoregressive": "C0", "vae": "C1", "diffusion": "C2", "flow": "C3", "gan": "C4", "homework 6": "C6"}
TITLES = {"autoregressive": "pixel by pixel", "vae": "VAE", "gan": "GAN"}
Curve = list[tuple[float, float]]  # seconds of training and the Frechet distance, by seconds


@dataclasses.dataclass(frozen=True)
class Race:
    """Two contestants on their way to a distance that both reach.

    Attributes:
        target: the distance.
        ours, theirs: seconds to reach it.
        bound: ``">"`` where ours was there at the first look and may have been earlier, ``"<"`` where the peer was.
    """

    target: float
    ours: float
    theirs: float
    bound: str = ""

    @property
    def times(self) -> float:
        """How many times as long the peer takes."""
        return self.theirs / self.ours


def curve(rows: Sequence[table.Row], name: str) -> Curve:
    """What was measured of a contestant, over all its trainings."""
    return sorted((point["seconds"], point["fd"]) for row in rows if row["name"] == name for point in row["points"])


def reach(points: Curve, target: float) -> tuple[float, bool] | None:
    """When a curve comes down to a distance.

    Between two points a straight line in logarithms; a point worse than one before it is passed over.

    Returns:
        Seconds, and whether it was there at the first look already; None if it never comes so far.
    """
    best = _falling(points)
    if best[0][1] <= target:
        return best[0][0], True
    for (s0, fd0), (s1, fd1) in itertools.pairwise(best):
        if fd1 <= target:
            share = math.log(fd0 / target) / math.log(fd0 / fd1)
            return math.exp(math.log(s0) + share * math.log(s1 / s0)), False
    return None


def _falling(points: Curve) -> Curve:
    """Without the points that are no better than one before them."""
    best: Curve = []
    for seconds, distance in points:
        if not best or distance < best[-1][1]:
            best.append((seconds, distance))
    return best


def race(ours: Curve, theirs: Curve) -> Race:
    """How long both take to what the worse of the two reaches at its best."""
    target = max(min(distance for _, distance in points) for points in (ours, theirs))
    (our_seconds, ours_first), (their_seconds, theirs_first) = reach(ours, target), reach(theirs, target)
    bound = "" if ours_first == theirs_first else ">" if ours_first else "<"
    return Race(target, our_seconds, their_seconds, bound)


def markdown(rows: Sequence[table.Row], contestants: Mapping[str, Contestant] = CONTESTANTS) -> str:
    """The table: ours and the peers of each family, with what each costs."""
    lines = [
        "| | model | FD after training | valid | ours is there after | times as fast | trained a second "
        "| sampled a second | parameters | memory | of the peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for family in dict.fromkeys(contestant.family for contestant in contestants.values()):
        names = [name for name, contestant in contestants.items() if contestant.family == family and curve(rows, name)]
        ours = next((name for name in names if contestants[name].ours), None)
        for name in names:
            row = max((row for row in rows if row["name"] == name), key=lambda row: row["budget"])
            last = row["points"][-1]
            raced = race(curve(rows, ours), curve(rows, name)) if ours and name != ours else None
            cells = [
                TITLES.get(family, family) if name == names[0] else "",
                "**ours**" if name == ours else name,
                f"{last['fd']:.1f} ({last['seconds']:.0f} s)",
                f"{last['valid']:.0%}" if "valid" in last else "",
                _after(raced) if raced else "",
                f"{raced.bound} {raced.times:.1f}".strip() if raced else "",
                _rounded(row["trained_per_second"]),
                _rounded(last["pictures_per_second"]),
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['megabytes'] / 1000:.1f} GB",
                f"{row['share']:.0%}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _after(raced: Race) -> str:
    said = f"{'at most ' if raced.bound == '>' else ''}{raced.ours:.0f} s"
    return f"{said} ({raced.target:.1f}, there after {raced.theirs:.0f} s)"


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.1f}"


def settings(contestants: Mapping[str, Contestant] = CONTESTANTS) -> str:
    """What was set for whom."""
    return "\n".join(f"- **{name}**: {contestant.settings}." for name, contestant in contestants.items())


def plot(rows: Sequence[table.Row], contestants: Mapping[str, Contestant] = CONTESTANTS) -> figures.Figure:
    """For each family the distance over the seconds of training, ours in its colour and the peers in grey."""
    families = [f for f in COLOURS if any(contestants[row["name"]].family == f for row in rows)]
    columns = min(3, len(families))
    shape = (-(-len(families) // columns), columns)
    figure, axes = plt.subplots(*shape, figsize=(10, 3.4 * shape[0]), squeeze=False, layout="constrained")
    for axis in axes.flat[len(families) :]:
        axis.axis("off")
    for axis, family in zip(axes.flat, families, strict=False):
        greys = iter([("0.25", "s", "--"), ("0.45", "^", "--"), ("0.6", "v", ":"), ("0.7", "D", ":")])
        for name, contestant in contestants.items():
            points = curve(rows, name)
            if contestant.family != family or not points:
                continue
            colour, marker, line = (COLOURS[family], "o", "-") if contestant.ours else next(greys)
            label = (
                "ours"
                if contestant.ours
                else name.replace("denoising-diffusion-pytorch", "denoising-diffusion-\npytorch")
            )
            axis.plot(
                *zip(*points, strict=True), color=colour, marker=marker, linestyle=line, label=label, markersize=5
            )
        axis.set(xscale="log", yscale="log", title=TITLES.get(family, family))
        ticks = sorted({row["budget"] for row in rows if contestants[row["name"]].family == family})
        axis.set_xticks(ticks, [str(tick) for tick in ticks])
        axis.minorticks_off()
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:,.0f}")
        axis.set_ylabel("FD-faces" if family == "homework 6" else "FD-dogs")
        axis.set_xlabel("CPU seconds of training")
        if len(axis.lines) > 3:  # so many names need a place of their own, below
            axis.set_ylim(bottom=axis.get_ylim()[0] / 6)
        axis.legend(fontsize=8, loc="lower left" if len(axis.lines) > 3 else "best")
    return figures.plot(figure, alt="The distance to real pictures over the seconds of training, ours beside the peers")


def section(rows: Sequence[table.Row]) -> str:
    """What stands in the document between its two marks."""
    if not rows:
        return "Nothing is measured yet."
    machines = sorted({f"{row['machine']}, torch {row['torch'].split('+')[0]}, {row['date']}" for row in rows})
    return f"{'; '.join(machines)}:\n\n{markdown(rows)}"


def write(file: Path = table.FILE, picture: Path = PICTURE, document: Path = DOCUMENT) -> None:
    """Store the plot, put the table into the document, and print it with what was set."""
    rows = table.load(file)
    plot(rows).image.save(picture)
    text = document.read_text(encoding="utf-8")
    start, end = text.index(MARKS[0]) + len(MARKS[0]), text.index(MARKS[1])
    partial = document.with_suffix(".partial")
    partial.write_text(f"{text[:start]}\n{section(rows)}\n{text[end:]}", encoding="utf-8")
    os.replace(partial, document)
    print(f"{section(rows)}\n\n{settings()}")
