"""Our models, trained as the course trains them."""

import tempfile
import time
from pathlib import Path

import torch
from torch import Tensor

from helpers.comparison import FAMILIES, train_family
from helpers.homework import archive, data, run


class Ours:
    """A family of the course, by its recipe."""

    def __init__(self, seed: int, seconds: float, family: str):
        self.seed, self.family, self.recipe = seed, family, FAMILIES[family]
        self.batch = self.recipe.at_once.batch
        self.rng = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        stage, size = self.recipe.at_once, self.recipe.size
        self.model, self.loss = stage.begin(self.recipe.build(self.rng), size, self.rng)

    def step(self) -> None:
        """The arithmetic of one step, without the optimiser's."""
        self.loss(self.model, self.rng).backward()

    def train(self, seconds: float) -> int:
        """Train from the beginning; returns the number of steps."""
        self.model, steps = train_family(self.family, self.seed, seconds=seconds)
        return steps

    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]."""
        return self.model.sample(captions, rng=rng)


class Homework:
    """Homework 6 with our defaults."""

    def __init__(self, seed: int, seconds: float):
        self.data = data.load()
        self.config = run.Config(seed=seed)
        self.batch = self.config.batch
        self.model = run.build(self.config)
        self.seconds_per_step = self._trained(5)[1] - self._trained(2)[1]
        self.seconds_per_step /= 3

    def _trained(self, steps: int) -> tuple[torch.nn.Module, float]:
        """The averaged model after so many steps, and the seconds of work that they took."""
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            config = run.Config(seed=self.config.seed, steps=steps)
            run.train(config, self.data, Path(folder), progress=False)
            return run.load(folder)[0], time.process_time() - start

    def step(self) -> None:
        """The arithmetic of one step, without the optimiser's."""
        dice = data.throw(0, 0, self.batch, len(self.data.training), self.config.timesteps, self.config.size)
        pictures = self.data.pictures[self.data.training[dice.rows]].float() / 255
        run.loss_at(self.model, pictures, dice).backward()

    def train(self, seconds: float) -> int:
        """Train from the beginning; its budget is in steps, so it takes as many as should fit."""
        steps = max(1, round(seconds / self.seconds_per_step))
        self.model, _ = self._trained(steps)
        return steps

    def sample(self, captions: list[str], rng: torch.Generator) -> Tensor:
        """Faces ``(n, 3, 64, 64)`` uint8."""
        seed = int(torch.randint(2**31, (), generator=rng))
        return archive.generate(self.model, len(captions), steps=20, seed=seed, batch=50, progress=False)
