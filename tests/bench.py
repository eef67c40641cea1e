"""Measures speed (``make bench``): drawing, judging, models, threads, processes, the widget. Let nothing else run."""

import argparse
import os
import subprocess
import sys
import tempfile
import time

STEP = """
import os, sys, time
if "helpers" in sys.argv: import helpers
import torch
from torch import nn
torch.manual_seed(0)
block = lambda i: (nn.Conv2d(i, 32, 3, padding=1), nn.GroupNorm(8, 32), nn.SiLU())
net = nn.Sequential(*block(3), *[layer for _ in range(6) for layer in block(32)], nn.Conv2d(32, 3, 3, padding=1))
optimizer, pictures = torch.optim.Adam(net.parameters()), torch.randn(64, 3, 16, 16)
times = []
for _ in range(120):
    start = time.perf_counter()
    loss = (net(pictures) - pictures).square().mean()
    optimizer.zero_grad(); loss.backward(); optimizer.step()
    times.append(1000 * (time.perf_counter() - start))
times = sorted(times[20:])
print(f"median {times[50]:5.0f} ms   95th percentile {times[95]:5.0f} ms")
"""
POLICIES = {
    "as helpers sets it": ({}, ["helpers"]),
    "torch alone": ({}, []),
    "OMP_WAIT_POLICY=PASSIVE": ({"OMP_WAIT_POLICY": "PASSIVE"}, []),
    "OMP_WAIT_POLICY=ACTIVE": ({"OMP_WAIT_POLICY": "ACTIVE"}, []),
    "GOMP_SPINCOUNT=10000": ({"GOMP_SPINCOUNT": "10000"}, []),
    "GOMP_SPINCOUNT=1000": ({"GOMP_SPINCOUNT": "1000"}, []),
    "one thread": ({"OMP_NUM_THREADS": "1"}, []),
}


def rate(function, n: int, repeats: int = 3) -> float:
    """Items a second: the best of some repeats after a warm-up."""
    function()
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return n / best


def drawing() -> None:
    """Pictures drawn a second."""
    import torch

    from helpers import dogs

    scenes = dogs.sample_scenes(4096, torch.Generator().manual_seed(0))
    for size in (16, 32, 64):
        speed = rate(lambda size=size: dogs.draw(scenes, size), len(scenes))
        print(f"drawing at {size} x {size}: {speed:,.0f} pictures a second")


def judging() -> None:
    """Seconds to score a thousand pictures, of the kinds that are read at once and that are refined to the end."""
    import torch

    from helpers import dogs, judge

    rng = torch.Generator().manual_seed(0)
    captions = dogs.LANGUAGE.sample(1000, rng)
    for size in judge.SIZES:
        real = dogs.draw(dogs.sample_scenes(captions, rng), size)
        noise = torch.rand(1000, 3, size, size, generator=rng)
        for name, pictures in (("real", real), ("noise", noise)):
            judge.score(pictures[:100], captions[:100], rng)
            start = time.perf_counter()
            judge.score(pictures, captions, rng)
            print(f"scoring 1,000 {name} pictures at {size} x {size}: {time.perf_counter() - start:.1f} s")


def caching() -> None:
    """Writing pictures of 1,024 tokens pixel by pixel, with the key-value cache and without."""
    import torch

    from helpers import dogs
    from helpers.models.autoregressive import PixelByPixel

    model = PixelByPixel(dogs.LANGUAGE, torch.rand(64, 3), size=32).eval()
    for n in (1, 8):
        taken = {}
        for cached in (True, False):
            start = time.perf_counter()
            model.sample(["a running dog"] * n, rng=torch.Generator().manual_seed(0), cached=cached)
            taken[cached] = time.perf_counter() - start
        print(
            f"{n} pictures of 1,024 tokens at once: {taken[True]:.1f} s with the cache, {taken[False]:.1f} s without, "
            f"{taken[False] / taken[True]:.0f} times as long"
        )


def training() -> None:
    """Steps a second in the training of each shipped model, and the minutes its recipe takes at that speed."""
    import dataclasses

    import torch

    from helpers import checkpoints
    from helpers.training import train

    for name, recipe in checkpoints.MODELS.items():
        rng = torch.Generator().manual_seed(0)
        model = recipe.build(rng)
        for k, shipped in enumerate(recipe.stages, 1):
            stage = dataclasses.replace(shipped, encoded=2000)  # the rest would only be waited for
            learner, loss = stage.begin(model, recipe.size, rng)
            steps = len(train(learner, loss, rng, seconds=30, **stage.budget | {"steps": None}))
            minutes = stage.budget["steps"] / steps * 0.5
            print(f"{name}, stage {k}: {steps / 30:.1f} steps a second, {minutes:.1f} minutes in all")


def threads() -> None:
    """A training step under several waiting policies, on a quiet machine and beside a process that never rests."""
    quiet = {key: value for key, value in os.environ.items() if not key.startswith(("OMP_", "GOMP_"))}
    for busy in (False, True):
        print("one core busy:" if busy else "machine quiet:")
        for name, (settings, arguments) in POLICIES.items():
            neighbour = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
            found = subprocess.run(
                [sys.executable, "-c", STEP, *arguments],
                env=quiet | settings,
                capture_output=True,
                text=True,
                check=True,
            )
            if neighbour:
                neighbour.kill()
                neighbour.wait()
            print(f"  {name:26}{found.stdout.strip()}")


def processes() -> None:
    """A training step of homework 6 in one process of one thread, and shared by two."""
    for n in (1, 2):
        taken = [_homework(n, steps) for steps in (2, 10)]
        wall, work = ((long - short) / 8 for short, long in zip(*taken, strict=True))
        print(f"{n} of one thread: {wall:.2f} s a step of 64 faces, {work:.2f} s of work in all")


def folding() -> None:
    """A training step of homework 6 with one thread, by the blocks of pixels that the network begins with."""
    for fold, width, levels in ((2, 64, 3), (4, 64, 2), (4, 96, 2), (4, 128, 2)):
        options = [f"--fold={fold}", f"--width={width}", f"--levels={levels}"]
        short, long = (_homework(1, steps, *options)[1] for steps in (2, 10))
        step = (long - short) / 8
        print(f"{' '.join(options)}: {step:.2f} s of work a step of 64 faces, {64 / step:.0f} faces a second")


def _homework(n: int, steps: int, *options: str) -> tuple[float, float]:
    """Seconds on the clock, and of work, for some steps in n processes."""
    with tempfile.TemporaryDirectory() as folder:
        launch = ["-m", "torch.distributed.run", "--nproc_per_node", str(n), "--master_port", "29512"]
        words = [*launch, "-m", "helpers.homework", "train", "--folder", folder, "--steps", str(steps), *options]
        start, before = time.monotonic(), os.times()
        subprocess.run(
            [sys.executable, *words], env=os.environ | {"OMP_NUM_THREADS": "1"}, check=True, capture_output=True
        )
        after = os.times()
        work = after.children_user + after.children_system - before.children_user - before.children_system
        return time.monotonic() - start, work


def widget() -> None:
    """From the press of a key to the changed picture, in a browser."""
    with tempfile.TemporaryDirectory() as folder:
        test = "tests/test_browser.py"
        subprocess.run([sys.executable, "-m", "pytest", "-q", "-s", "--basetemp", folder, test], check=True)


MEASURED = (drawing, judging, caching, training, threads, processes, folding, widget)
PARTS = {part.__name__: part for part in MEASURED}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", choices=[*PARTS, []], help="what to measure (everything, if not given)")
    for part in parser.parse_args().part or PARTS:
        PARTS[part]()
