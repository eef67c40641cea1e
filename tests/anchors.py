"""Prints how many pictures of each kind the judge accepts: ``python -m tests.anchors``."""

import torch

from helpers import dogs, judge
from tests import fakes


def accepted(size: int, n: int = 1000, seed: int = 11) -> dict[str, tuple[float, float]]:
    """Share of each kind that is accepted, and the median strangeness."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, pictures in (fakes.harmless(n, size, rng) | fakes.make(n, size, rng)).items():
        reading = judge.read(pictures)
        found[name] = reading.valid.float().mean().item(), reading.strangeness.median().item()
    return found


def reading_accuracy(size: int, n: int = 5000, seed: int = 12) -> dict[str, float]:
    """Share of real pictures in which each attribute is read rightly."""
    scenes = dogs.sample_scenes(n, torch.Generator().manual_seed(seed))
    read = judge.read(dogs.draw(scenes, size)).scenes
    right = (read.attributes == scenes.attributes).float().mean(0)
    return dict(zip(dogs.LANGUAGE.attributes, right.tolist(), strict=True))


def accepted_by_coat(size: int, n: int = 1000, seed: int = 11) -> dict[str, dict[str, float]]:
    """Which dogs the fakes get through with: for each coat that is read, the share of its pictures that is accepted."""
    found = {}
    for name, pictures in fakes.make(n, size, torch.Generator().manual_seed(seed)).items():
        reading = judge.read(pictures)
        coats = dogs.LANGUAGE.attributes["coat"]
        shares = [reading.valid[reading.scenes.coat == c].float().mean().item() for c in range(len(coats))]
        found[name] = dict(zip(coats, shares, strict=True))
    return found


if __name__ == "__main__":
    columns = {size: accepted(size) for size in judge.SIZES}
    print("| pictures | valid at 16 | strangeness | valid at 32 | strangeness |\n|---|---|---|---|---|")
    for name in columns[16]:
        print(
            f"| {name} | "
            + " | ".join(f"{columns[s][name][0]:.1%} | {columns[s][name][1]:.2f}" for s in judge.SIZES)
            + " |"
        )
    for size in judge.SIZES:
        print(size, {name: f"{share:.2%}" for name, share in reading_accuracy(size).items()})
    for name, shares in accepted_by_coat(16).items():
        if max(shares.values()) > 0.02:
            print(f"{name}, at 16 pixels: " + ", ".join(f"{coat} {share:.1%}" for coat, share in shares.items()))
