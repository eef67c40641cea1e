"""Draws the pictures of the README into ``data/pictures``: ``python -m tests.readme_pictures``."""

from pathlib import Path

import torch

from helpers import dogs, figures

FOLDER = Path(__file__).parent.parent / "data" / "pictures"


def draw_all() -> None:
    """A crowd of dogs, and the wall of answers for one caption."""
    rng = torch.Generator().manual_seed(3)
    crowd = dogs.draw(dogs.sample_scenes(24, rng), 104)
    figures.show(crowd, alt="dogs", columns=8, pixels=104).image.save(FOLDER / "dogs.png", optimize=True)
    wall = dogs.draw(dogs.answers("a running dog", rng), 24)
    figures.answer_wall(dogs.LANGUAGE, wall, "a white running dog").save(FOLDER / "wall.png", optimize=True)


if __name__ == "__main__":
    draw_all()
