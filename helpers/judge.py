"""The judge: is it a dog, did it do what the caption asks, and are all the answers there?

The judge *reads* the scene from a picture with a small network, *redraws* that scene, and compares. A picture of this
world can be redrawn; a picture that mixes two dogs cannot. Four figures come out of it:

valid      share of pictures that differ from their redrawing no more than a grainy real picture does
faithful   share of pictures in which every attribute that the caption names is read back
coverage   1 minus the total variation distance between the attributes of the valid pictures and the true ones
fd_dogs    the Frechet distance in the reader's features. It is not the FID, whose features come from another network

The difference is looked at in small patches and the worst one counts, so that a small dog with a broken leg is not
forgiven for all the sky around it. How much difference is too much is measured, for small and for large dogs
apart: real pictures are given a grain of standard deviation ``GRAIN``, which an eye hardly minds, and 99 % of them
pass.
"""

import argparse
import dataclasses
import functools
import math
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.weak import WeakIdKeyDictionary
from torchmetrics.image.fid import FrechetInceptionDistance
from tqdm.auto import tqdm

from helpers import dogs
from helpers.dogs import LANGUAGE, Scenes
from helpers.training import train

WEIGHTS = Path(__file__).parent.parent / "data" / "checkpoints" / "judge.safetensors"
SIZES = (16, 32)  # the picture sizes that the judge can read
GRAIN = 0.05
PASS_RATE = 0.99
BATCH = 500
N_FEATURES = 64
STRIDE = 2 * math.pi

_readings = WeakIdKeyDictionary()  # of tensors that somebody still holds
_COUNTS = [len(values) for values in LANGUAGE.attributes.values()]
# What the reader says of the continuous factors: each is given in units of its range, the gait as a point on a circle.
_LOW = torch.tensor([dogs.SCALE.min(), -0.5, dogs.FEET[0], dogs.HORIZON[0], dogs.SHADE[0]])
_HIGH = torch.tensor([dogs.SCALE.max(), 0.5, dogs.FEET[1], dogs.HORIZON[1], dogs.SHADE[1]])


class Reader(nn.Module):
    """Reads a scene from a picture of any size, which it first brings to 32 x 32."""

    def __init__(self, width: int = 40):
        super().__init__()

        def block(inside: int, outside: int, stride: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inside, outside, 3, stride, padding=1), nn.BatchNorm2d(outside), nn.SiLU(inplace=True)
            )

        self.trunk = nn.Sequential(
            nn.PixelUnshuffle(2),  # each 2 x 2 pixels become 12 channels, (12, 16, 16): fine detail, seen cheaply
            block(12, width, 1),
            block(width, 2 * width, 2),  # 8 x 8
            block(2 * width, 3 * width, 1),
            block(3 * width, 3 * width, 2),  # 4 x 4
            nn.Flatten(),
            nn.Linear(3 * width * 16, 128),
            nn.SiLU(),
            nn.Linear(128, N_FEATURES),
        )
        self.attributes = nn.Linear(N_FEATURES, sum(_COUNTS))
        self.factors = nn.Sequential(nn.SiLU(), nn.Linear(N_FEATURES, 128), nn.SiLU(), nn.Linear(128, 7))

    def features(self, pictures: Tensor) -> Tensor:
        """``(n, 3, s, s)`` in [0, 1] to ``(n, 64)``: what the Frechet distance is measured in."""
        pictures = F.interpolate(pictures, size=(32, 32), mode="bilinear", antialias=True)
        return self.trunk(2 * pictures - 1)

    def forward(self, pictures: Tensor) -> tuple[list[Tensor], Tensor]:
        """Returns one table of logits ``(n, values)`` for each attribute, and the factors ``(n, 7)``."""
        features = self.features(pictures)
        return list(self.attributes(F.silu(features)).split(_COUNTS, dim=1)), self.factors(features)


def _factors(scenes: Scenes) -> Tensor:
    plain = torch.stack([scenes.scale, scenes.x, scenes.y, scenes.horizon, scenes.shade], dim=1)
    low, high = _LOW.to(plain), _HIGH.to(plain)
    turn = STRIDE * scenes.gait
    return torch.cat([2 * (plain - low) / (high - low) - 1, torch.stack([turn.cos(), turn.sin()], dim=1)], dim=1)


def _scenes(logits: list[Tensor], factors: Tensor) -> Scenes:
    low, high = _LOW.to(factors), _HIGH.to(factors)
    scale, x, y, horizon, shade = (low + (high - low) * (factors[:, :5] + 1) / 2).unbind(1)
    gait = torch.atan2(factors[:, 6], factors[:, 5]) / STRIDE
    attributes = [table.argmax(1) for table in logits]
    return _possible(Scenes(*attributes, scale=scale, x=x, y=y, gait=gait, horizon=horizon, shade=shade))


def _possible(scenes: Scenes) -> Scenes:
    """The nearest scenes that this world has: every factor brought back into its range."""
    smallest, largest = dogs.SCALE.to(scenes.scale)[scenes.size].unbind(1)
    scale = scenes.scale.clamp(smallest, largest)
    room = 1 - dogs.REACH * scale
    return scenes.replace(
        scale=scale,
        x=scenes.x.clamp(-room, room),
        y=scenes.y.clamp(*dogs.FEET),
        gait=scenes.gait % 1,
        horizon=scenes.horizon.clamp(*dogs.HORIZON),
        shade=scenes.shade.clamp(*dogs.SHADE),
    )


@dataclasses.dataclass
class Reading:
    """What the judge saw in n pictures.

    ``scenes`` as read; ``redrawn``, their drawings ``(n, 3, s, s)``; ``strangeness`` ``(n,)``, the difference between
    picture and redrawing in units of what is tolerated: at most 1 is valid.
    """

    scenes: Scenes
    redrawn: Tensor
    strangeness: Tensor

    @property
    def valid(self) -> Tensor:
        """``(n,)`` bool."""
        return self.strangeness <= 1


@dataclasses.dataclass
class Score:
    """The judge's figures for a set of pictures; ``coverage_of_real`` is what as many real pictures would reach."""

    valid: float
    faithful: float
    coverage: float
    coverage_of_real: float
    fd_dogs: float

    def __str__(self) -> str:
        return (
            f"valid {self.valid:6.1%}   faithful {self.faithful:6.1%}   "
            f"coverage {self.coverage:.2f} (real {self.coverage_of_real:.2f})   FD-dogs {self.fd_dogs:.2f}"
        )


def read(pictures: Tensor) -> Reading:
    """Read, redraw and compare pictures ``(n, 3, s, s)`` in [0, 1], with s one of ``SIZES``.

    Reading is the slow part of every figure, so a tensor that was read and not changed since is not read again.

    Raises:
        TypeError, ValueError: what is wrong with the pictures and what would be right.
    """
    _check(pictures)
    version = None if pictures.is_inference() else pictures._version  # counts what is written into the tensor
    known, reading = _readings.get(pictures, (None, None))
    if version is None or known != version:
        reading = _readings_of(pictures)
        _readings[pictures] = version, reading
    return reading


def _readings_of(pictures: Tensor) -> Reading:
    reader, tolerance = _load(pictures.device)
    readings = [_read(batch, reader, tolerance[pictures.shape[-1]]) for batch in pictures.split(BATCH)]
    scenes = Scenes(*(torch.cat([getattr(r.scenes, f.name) for r in readings]) for f in dataclasses.fields(Scenes)))
    return Reading(scenes, torch.cat([r.redrawn for r in readings]), torch.cat([r.strangeness for r in readings]))


def valid(pictures: Tensor) -> float:
    """Share of the pictures that are pictures of this world, from 0 to 1."""
    return read(pictures).valid.float().mean().item()


def faithful(pictures: Tensor, captions: Sequence[str]) -> float:
    """Share of the pictures in which every attribute that the caption beside it names is read back, from 0 to 1."""
    _check_captions(pictures, captions)
    return LANGUAGE.fits(read(pictures).scenes.attributes, captions).float().mean().item()


def coverage(pictures: Tensor, captions: Sequence[str]) -> float:
    """1 minus the total variation distance between the answers shown by the valid pictures and the true ones.

    0 where no picture is valid. Even real pictures do not reach 1 unless there are very many: see ``coverage_of_real``.
    """
    _check_captions(pictures, captions)
    return _coverage(read(pictures), captions)


def coverage_of_real(captions: Sequence[str], n: int | None = None) -> float:
    """The coverage that ``n`` perfect pictures (as many as captions, if None) reach on average, by simulation."""
    truth = _true_answers(captions)
    n = len(captions) if n is None else n
    if n == 0:
        return 0.0
    rng = torch.Generator().manual_seed(0)
    trials = torch.multinomial(truth.expand(50, -1), n, replacement=True, generator=rng)
    shares = torch.stack([trial.bincount(minlength=len(truth)) for trial in trials]) / n
    return 1 - (shares - truth).abs().sum(1).mean().item() / 2


def features(pictures: Tensor) -> Tensor:
    """What FD-dogs is measured in, ``(n, 3, s, s)`` in [0, 1] to ``(n, 64)`` in double precision, on the CPU.

    Gradients pass through.
    """
    _check(pictures)
    features_of = _Features(_load(pictures.device)[0])
    return torch.cat([features_of(batch) for batch in pictures.split(BATCH)]).double()


def frechet_distance(pictures: Tensor, real: Tensor) -> float:
    """FD-dogs: the Frechet distance between two sets of pictures in the reader's features (Heusel et al. 2017, eq. 6).

    Compare only sets of equal numbers: the estimate is too high by a term that falls as 1/n (Chong and Forsyth 2020).
    """
    _check(pictures)
    _check(real)
    metric = FrechetInceptionDistance(feature=_Features(_load(pictures.device)[0]), normalize=True)
    with torch.no_grad():
        for batch in pictures.split(BATCH):
            metric.update(batch, real=False)
        for batch in real.split(BATCH):
            metric.update(batch, real=True)
    return metric.compute().item()


def score(pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Score:
    """All four figures. ``rng`` draws the real pictures that the Frechet distance is measured against."""
    _check_captions(pictures, captions)
    reading = read(pictures)
    real = dogs.draw(dogs.sample_scenes(list(captions), rng).to(pictures.device), pictures.shape[-1])
    return Score(
        valid=reading.valid.float().mean().item(),
        faithful=LANGUAGE.fits(reading.scenes.attributes, captions).float().mean().item(),
        coverage=_coverage(reading, captions),
        coverage_of_real=coverage_of_real(captions, int(reading.valid.sum())),
        fd_dogs=frechet_distance(pictures, real),
    )


def copies(pictures: Tensor, originals: Tensor) -> float:
    """Share of the pictures that are some original again, up to the grain that the judge forgives.

    Valid, faithful, coverage and FD-dogs cannot tell a model that remembers a large training set from one that draws
    new dogs. This can, if it is given the training set.
    """
    _check(pictures)
    _check(originals)
    originals = originals.flatten(1).to(pictures.device)
    nearest = torch.cat([torch.cdist(b.flatten(1), originals).amin(1) for b in pictures.split(BATCH)])
    return (nearest / math.sqrt(pictures[0].numel()) <= GRAIN / 2).float().mean().item()


def energy_distance(a: Tensor, b: Tensor) -> Tensor:
    """How far apart the distributions of two crowds of points are, ``(n, d)`` and ``(m, d)``; on average 0 if equal.

    Szekely and Rizzo, "Energy Statistics", Journal of Statistical Planning and Inference 143, 2013, eq. 2.
    """
    within_a, within_b = (torch.cdist(x, x).sum() / (len(x) * (len(x) - 1)) for x in (a, b))
    return 2 * torch.cdist(a, b).mean() - within_a - within_b


def _check(pictures: Tensor) -> None:
    if not isinstance(pictures, Tensor):
        raise TypeError(f"the judge needs a tensor of pictures, not {type(pictures).__name__}")
    if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
        raise ValueError(f"the judge needs pictures of shape (n, 3, size, size), not {tuple(pictures.shape)}")
    if len(pictures) == 0:
        raise ValueError("there is no picture to judge: n is 0")
    if pictures.shape[-1] not in SIZES:
        raise ValueError(
            f"the judge reads pictures of {' or '.join(map(str, SIZES))} pixels, not {pictures.shape[-1]}; resize them"
        )
    if not pictures.is_floating_point():
        raise TypeError(f"the judge needs floats in [0, 1], not {pictures.dtype}; divide bytes by 255")
    if not torch.isfinite(pictures).all():
        bad = (~torch.isfinite(pictures)).flatten(1).any(1).sum().item()
        raise ValueError(f"{bad} of {len(pictures)} pictures hold NaN or infinity")
    low, high = pictures.min().item(), pictures.max().item()
    if low < 0 or high > 1:
        raise ValueError(
            f"values must be in [0, 1], these run from {low:.3g} to {high:.3g}; "
            "for [-1, 1] use (x + 1) / 2, and clamp(0, 1) what a model overshoots"
        )


def _check_captions(pictures: Tensor, captions: Sequence[str]) -> None:
    if isinstance(captions, str) or len(captions) != len(pictures):
        given = "one text" if isinstance(captions, str) else f"{len(captions)} captions"
        raise ValueError(f"a caption for each of the {len(pictures)} pictures is needed, not {given}")


@torch.no_grad()
def _read(pictures: Tensor, reader: Reader, tolerance: Tensor) -> Reading:
    """Reads, then looks again at every picture that the first glance does not explain, and a third time if need be.

    The second look refines all continuous factors. The third does so from another phase of the stride, because a stride
    that was read wrongly is a hole that small steps do not climb out of. A picture is done with as soon as it is valid:
    looking again could not change the verdict.
    """
    pictures = pictures.float()
    scenes = _scenes(*reader(pictures))
    redrawn = dogs.draw(scenes, pictures.shape[-1])
    strangeness = _worst_patch(pictures - redrawn) / tolerance[scenes.size]
    for look, steps in ((lambda seen, _: seen, 3), (_another_stride, 2)):
        rows = (strangeness > 1).nonzero().squeeze(1)
        if len(rows) == 0:
            break
        seen, drawing = _refine(look(scenes[rows], pictures[rows]), pictures[rows], steps)
        difference = _worst_patch(pictures[rows] - drawing) / tolerance[seen.size]
        better = difference < strangeness[rows]
        for field in dataclasses.fields(Scenes):
            getattr(scenes, field.name)[rows[better]] = getattr(seen, field.name)[better]
        redrawn[rows[better]], strangeness[rows[better]] = drawing[better], difference[better]
    return Reading(scenes, redrawn, strangeness)


def _another_stride(scenes: Scenes, pictures: Tensor) -> Scenes:
    """The same scenes in the phase of the stride, an eighth or more from theirs, that comes closest to the pictures."""
    phases = [(scenes.gait + turn / 8) % 1 for turn in range(1, 8)]
    drawings = [dogs.draw(scenes.replace(gait=phase), pictures.shape[-1]) for phase in phases]
    nearest = torch.stack([_squared_error(pictures, drawing) for drawing in drawings]).argmin(0)
    return scenes.replace(gait=torch.stack(phases).gather(0, nearest[None])[0])


def _refine(scenes: Scenes, pictures: Tensor, steps: int) -> tuple[Scenes, Tensor]:
    """Damped Gauss-Newton steps (Levenberg 1944) on the continuous factors; returns the scenes and their drawings."""
    redrawn = dogs.draw(scenes, pictures.shape[-1])
    damping = torch.full_like(scenes.x, 1e-2)
    for _ in range(steps):
        proposal = _gauss_newton(scenes, pictures, redrawn, damping)
        drawing = dogs.draw(proposal, pictures.shape[-1])
        better = _squared_error(pictures, drawing) < _squared_error(pictures, redrawn)
        damping = torch.where(better, damping / 4, damping * 8)
        scenes = scenes.replace(**{n: torch.where(better, getattr(proposal, n), getattr(scenes, n)) for n in _REFINED})
        redrawn = torch.where(better.view(-1, 1, 1, 1), drawing, redrawn)
    return scenes, redrawn


_REFINED = ("scale", "x", "y", "gait", "horizon", "shade")
_NUDGE = 1e-2


def _gauss_newton(scenes: Scenes, pictures: Tensor, redrawn: Tensor, damping: Tensor) -> Scenes:
    """One step towards the least squared difference; the slopes of the drawing are finite differences."""
    size = pictures.shape[-1]
    nudged = [dogs.draw(scenes.replace(**{n: getattr(scenes, n) + _NUDGE}), size) for n in _REFINED]
    jacobian = torch.stack([(drawing - redrawn).flatten(1) / _NUDGE for drawing in nudged], dim=2)  # (n, pixels, 6)
    normal = jacobian.mT @ jacobian  # (n, 6, 6)
    ridge = torch.diag_embed(normal.diagonal(dim1=1, dim2=2) * damping[:, None] + 1e-6)
    gradient = jacobian.mT @ (pictures - redrawn).flatten(1)[..., None]
    step = torch.linalg.solve(normal + ridge, gradient)[..., 0].clamp(-0.2, 0.2)
    return _possible(scenes.replace(**{n: getattr(scenes, n) + step[:, i] for i, n in enumerate(_REFINED)}))


def _squared_error(pictures: Tensor, drawings: Tensor) -> Tensor:
    return (pictures - drawings).square().sum((1, 2, 3))


def _worst_patch(difference: Tensor) -> Tensor:
    """Root mean square of the worst patch, an eighth of the picture wide: ``(n, 3, s, s)`` to ``(n,)``."""
    patch = difference.shape[-1] // 8
    local = F.avg_pool2d(difference.square().mean(1, keepdim=True), patch, stride=1)
    return local.amax((1, 2, 3)).sqrt()


def _answer_index(attributes: Tensor) -> Tensor:
    index = torch.zeros_like(attributes[:, 0])
    for a, count in enumerate(_COUNTS):
        index = index * count + attributes[:, a]
    return index


def _true_answers(captions: Sequence[str]) -> Tensor:
    """The true share of every combination of attributes, ``(192,)``, for these captions together."""
    truth = torch.zeros(math.prod(_COUNTS))
    for caption in set(captions):
        fitting = _answer_index(LANGUAGE.answers(caption))
        truth[fitting] += captions.count(caption) / len(captions) / len(fitting)
    return truth


def _coverage(reading: Reading, captions: Sequence[str]) -> float:
    if not reading.valid.any():
        return 0.0
    shown = _answer_index(reading.scenes.attributes[reading.valid].cpu()).bincount(minlength=math.prod(_COUNTS))
    return 1 - (shown / shown.sum() - _true_answers(list(captions))).abs().sum().item() / 2


class _Features(nn.Module):
    """The reader as torchmetrics wants a feature network: called on pictures, with ``num_features``.

    Its features go to the CPU: a Frechet distance needs double precision, which Apple's GPU does not have.
    """

    num_features = N_FEATURES

    def __init__(self, reader: Reader):
        super().__init__()
        self.reader = reader

    def forward(self, pictures: Tensor) -> Tensor:
        return self.reader.features(pictures).cpu()


@functools.cache
def _load(device: torch.device) -> tuple[Reader, dict[int, Tensor]]:
    if not WEIGHTS.exists():
        raise FileNotFoundError(
            f"the judge's weights are missing: {WEIGHTS}. `python -m helpers.judge train` makes them"
        )
    state = {name: tensor.float().to(device) for name, tensor in load_file(WEIGHTS).items()}
    tolerance = {size: state.pop(f"tolerance.{size}") for size in SIZES}
    reader = Reader()
    reader.load_state_dict(state, strict=False)  # the counters of batch normalisation are not stored
    return reader.to(device).eval().requires_grad_(False), tolerance


# ---------------------------------------------------------------------------------------------------------------------
# Making the judge


def _reader_loss(reader: Reader, rng: torch.Generator) -> Tensor:
    """The reader learns from pictures of both sizes, half of them under grain of up to twice what is forgiven."""
    size = SIZES[int(torch.randint(2, (), generator=rng))]
    scenes = dogs.sample_scenes(128, rng)
    pictures = dogs.draw(scenes, size)
    strength = 2 * GRAIN * (2 * torch.rand(len(scenes), 1, 1, 1, generator=rng) - 1).clamp(min=0)
    pictures = pictures + strength * torch.randn(pictures.shape, generator=rng)
    logits, factors = reader(pictures)
    reading = sum(
        F.cross_entropy(table, truth) for table, truth in zip(logits, scenes.attributes.unbind(1), strict=True)
    )
    return reading + 5 * F.mse_loss(factors, _factors(scenes))


@torch.no_grad()
def _measure_tolerance(reader: Reader, size: int, rng: torch.Generator, n: int = 8000) -> Tensor:
    """The worst-patch difference that 99 % of grainy real pictures stay below, for small and for large dogs, (2,)."""
    found = []
    for _ in tqdm(range(n // BATCH), desc=f"calibrating at {size} pixels", leave=False):
        scenes = dogs.sample_scenes(BATCH, rng)
        reading = _read(grainy(dogs.draw(scenes, size), rng), reader, torch.full((2,), 1e-9))
        found.append(torch.stack([reading.strangeness * 1e-9, scenes.size.float()]))
    difference, dog_size = torch.cat(found, dim=1)
    return torch.stack([difference[dog_size == s].quantile(PASS_RATE) for s in (0, 1)])


def grainy(pictures: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures under the grain that the judge forgives: noise of standard deviation ``GRAIN``, kept in [0, 1]."""
    return (pictures + GRAIN * torch.randn(pictures.shape, generator=rng)).clamp(0, 1)


def make_reader(steps: int = 6_000) -> Reader:
    """Train the reader, about half an hour on two cores; a broken run goes on where it stopped."""
    torch.manual_seed(0)
    reader = Reader()
    checkpoint = WEIGHTS.parent.parent / "cache" / "judge_in_training.pt"
    train(reader, _reader_loss, torch.Generator().manual_seed(0), steps=steps, checkpoint=checkpoint)
    return reader


def store(reader: Reader) -> None:
    """Measure what to tolerate from this reader and keep both in ``WEIGHTS``, as 16-bit floats."""
    reader.half().float().eval()  # what is measured is what will be loaded
    rng = torch.Generator().manual_seed(1)
    state = {name: tensor.half() for name, tensor in reader.state_dict().items() if tensor.is_floating_point()}
    for size in SIZES:
        state[f"tolerance.{size}"] = _measure_tolerance(reader, size, rng).half()
    WEIGHTS.parent.mkdir(parents=True, exist_ok=True)
    partial = WEIGHTS.with_suffix(".partial")
    save_file(state, partial, metadata={"made_by": "python -m helpers.judge train"})
    os.replace(partial, WEIGHTS)
    _load.cache_clear()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Make the judge.")
    parser.add_argument("command", choices=["train", "calibrate"], help="calibrate keeps the reader that there is")
    store(make_reader() if parser.parse_args().command == "train" else _load(torch.device("cpu"))[0])
