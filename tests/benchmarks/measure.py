"""One row of the table, measured in a process of its own: ``python -m tests.benchmarks.measure NAME SECONDS FILE``."""

import argparse
import contextlib
import os
import platform
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from helpers import comparison
from tests.benchmarks import table
from tests.benchmarks.contestants import CONTESTANTS

FACES = 150  # of each model of homework 6; sampling them takes the official model minutes
SEED = 0


def measure(name: str, budget: int, seed: int = SEED) -> Iterator[table.Row]:
    """Train a contestant for a budget of CPU seconds, judge it on the way, and say what it cost.

    Yields:
        The row so far after every judging; ``done`` at the last. ``points``, each with ``seconds`` and ``steps`` of
        training, the judge's figures and ``pictures_per_second`` of sampling. For the whole run ``parameters``,
        ``batch``, ``trained_per_second`` (pictures), ``megabytes`` at their peak in training and
        ``megabytes_sampling``, ``gflop`` of the matrix products of one step, ``gflops_peak`` of this thread, and
        ``share`` of it that a step used.
    """
    started, contestant = time.monotonic(), CONTESTANTS[name]
    peak = matrix_peak()
    competitor = contestant.make(seed, budget)
    judged = faces_judged() if contestant.world == "faces" else dogs_judged
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _OneModule()
    with counter:
        competitor.step()
    memory: dict[str, float] = {}

    def sample(captions: list[str], rng: torch.Generator) -> Tensor:
        pictures = competitor.sample(captions, rng)
        memory.setdefault("sampling", megabytes())
        return pictures

    points, spent, steps = [], 0.0, 0
    for mark in sorted({*(mark for mark in contestant.marks if mark < budget), budget}):
        start = time.process_time()
        steps += competitor.train(mark - spent)
        spent += time.process_time() - start
        memory.setdefault("training", megabytes())
        points.append({"seconds": spent, "steps": steps, **judged(sample, seed)})
        step = spent / steps
        yield {
            "name": name,
            "budget": budget,
            "done": mark == budget,
            "points": points,
            "parameters": sum(parameter.numel() for parameter in competitor.model.parameters()),
            "batch": competitor.batch,
            "trained_per_second": competitor.batch / step,
            "megabytes": memory["training"],
            "megabytes_sampling": memory["sampling"],
            "gflop": counter.get_total_flops() / 1e9,
            "gflops_peak": peak,
            "share": counter.get_total_flops() / 1e9 / step / peak,
            "minutes": (time.monotonic() - started) / 60,
            "machine": f"{_processor()}, {os.cpu_count()} cores",
            "torch": torch.__version__,
            "date": time.strftime("%Y-%m-%d"),
        }


class _OneModule(contextlib.nullcontext):
    """Stands for what tells modules apart while operations are counted: that cannot bear a penalty on gradients."""

    parents = frozenset({"Global"})


def matrix_peak(seconds: float = 0.5) -> float:
    """The most that this thread makes of products of matrices, 32 bits, in billions of operations a second.

    Torch has two libraries for them. A plain product goes to MKL, which on processors that are not Intel's reaches only
    half of what they can do; a convolution of single pixels, which is a product too, goes to oneDNN. The better counts.
    """
    best = 0.0
    for n in (256, 512, 1024):
        a, b = torch.randn(n, n), torch.randn(n, n)
        pixels, weight = torch.randn(n // 16, n, 4, 4).contiguous(memory_format=torch.channels_last), b[..., None, None]
        for product in (lambda a=a, b=b: a @ b, lambda x=pixels, w=weight: F.conv2d(x, w)):
            until = time.process_time() + seconds
            while (start := time.process_time()) < until:
                product()
                best = max(best, 2 * n**3 / (time.process_time() - start) / 1e9)
    return best


def megabytes() -> float:
    """The most memory that this process has held so far."""
    in_one = 1024**2 if platform.system() == "Darwin" else 1024  # there it is bytes, elsewhere kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / in_one


def dogs_judged(sample: Callable[[list[str], torch.Generator], Tensor], seed: int) -> dict[str, float]:
    """The figures of 500 dogs. Whether they fit their captions is asked of those that were told them alone."""
    found = comparison.measured(sample, seed)
    return {"fd": found["fd_dogs"], **{name: found[name] for name in ("valid", "faithful", "pictures_per_second")}}


def faces_judged() -> Callable[[Callable[[list[str], torch.Generator], Tensor], int], dict[str, float]]:
    """What ``comparison.measured`` is for dogs, for faces."""
    from helpers.homework import data, run, score

    judge = score.Judge(data.load())

    def judged(sample: Callable[[list[str], torch.Generator], Tensor], seed: int) -> dict[str, float]:
        start = time.process_time()
        faces = sample([run.CAPTION] * FACES, torch.Generator().manual_seed(1000 + seed))
        seconds = time.process_time() - start
        found = judge.score(faces)
        return {"fd": found.fd_faces, "kid": found.kid, "copied": found.copied, "pictures_per_second": FACES / seconds}

    return judged


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=CONTESTANTS)
    parser.add_argument("seconds", type=int)
    parser.add_argument("file", type=Path, help="the table")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for row in measure(options.name, options.seconds):
        table.add(row, options.file)
        print(f"{row['name']}, {row['budget']} s: {row['points'][-1]}", flush=True)
