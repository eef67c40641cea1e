"""The faces of homework 6, and everything that chance decides in a training on them.

What happens at step s of a run is a function of the seed and of s, and of nothing else. So a run that goes on after a
break needs no memory of its dice, and every process of many can throw the dice of all and take its own share.
"""

import dataclasses
import functools
import hashlib
import math
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from helpers import faces
from helpers.pictures import CACHE, from_folder

AUGMENTATIONS = ("flip", "rotate", "colour")
ROTATION = 30  # degrees, at most, to either side
JITTER = 0.4  # brightness, contrast and saturation are multiplied by 1 - JITTER to 1 + JITTER
JUDGED = 1000  # pictures in a submission: the judge wants as many real ones, and as many again to compare them with


@dataclasses.dataclass(frozen=True, eq=False)
class Faces:
    """Real pictures, most of them for training, some kept apart for the judge.

    Attributes:
        pictures: ``(n, 3, size, size)`` uint8; of a folder they are memory-mapped.
        training, held_out: which rows are for what, int64.
        source: what ``load`` was asked for, beside the size; None if it was not ``load`` that made them.
    """

    pictures: Tensor
    training: Tensor
    held_out: Tensor
    source: dict[str, str | int] | None = None

    @property
    def fingerprint(self) -> str:
        """The same for the same training pictures, on every machine."""
        some = self.pictures[self.training[:: max(1, len(self.training) // 16)]]
        return f"{len(self.training)} pictures, {hashlib.sha256(some.numpy().tobytes()).hexdigest()[:12]}"


def load(folder: str | Path | None = None, size: int = 64, n: int = 10_000, cache: Path | None = CACHE) -> Faces:
    """The pictures of a folder, as squares that are kept as bytes and read only once; without one, cartoon faces.

    A zip is unpacked into the cache first: a drive then sends one file, instead of seventy thousand one by one.
    The folders inside are searched too, so ``faces``, ``faces/faces`` and what holds them are all the same. A broken
    picture is named and left out.

    The cartoon faces all look to the left. Here every other one is mirrored, so that they look both ways as anime faces
    do: only then is mirroring a harmless augmentation.

    Args:
        folder: of the learner's pictures, or a zip of it.
        size: side of the squares, in pixels.
        n: how many cartoon faces; a folder is taken whole.
        cache: where to keep the squares of a folder, and what was in a zip.

    Raises:
        FileNotFoundError, NotADirectoryError, ValueError: no such folder, or no picture in it that can be read.
        OSError: there is no room for what is in the zip.
    """
    if folder is not None:
        source = {"folder": os.path.abspath(os.path.expanduser(folder))}
        if zipfile.is_zipfile(source["folder"]):
            folder = _unpacked(Path(source["folder"]), cache or CACHE)
        return split(from_folder(folder, size, cache).pictures, source)
    pictures, _ = faces.dataset(n, size)
    pictures[::2] = pictures[::2].flip(-1)
    return split(pictures, {"n": n})


def _unpacked(archive: Path, cache: Path) -> Path:
    """The folder into which a zip was unpacked, now or before."""
    state = archive.stat()
    name = f"{archive.stem}-{hashlib.sha256(f'{archive} {state.st_size} {state.st_mtime_ns}'.encode()).hexdigest()[:8]}"
    folder, partial = cache / name, cache / f"{name}.partial"
    if folder.exists():
        return folder
    shutil.rmtree(partial, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as files:
            for file in tqdm(files.infolist(), desc="unpacking", unit="file", leave=False):
                files.extract(file, partial)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # RuntimeError: it wants a password
        shutil.rmtree(partial, ignore_errors=True)
        raise ValueError(f"{archive} can't be unpacked ({error}). Download it again, or give a folder") from error
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise OSError(f"{archive} could not be unpacked into {cache}: {error}. Make room, or give a folder") from error
    os.replace(partial, folder)
    return folder


def split(pictures: Tensor, source: dict[str, str | int] | None = None) -> Faces:
    """Keep a fifth of the pictures ``(n, 3, s, s)``, uint8, for the judge, and no more than it needs."""
    if len(pictures) < 10:
        raise ValueError(f"{len(pictures)} pictures are too few to learn from; there should be thousands")
    rows = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    apart = min(2 * JUDGED, len(pictures) // 5)
    return Faces(pictures, training=rows[apart:], held_out=rows[:apart], source=source)


@dataclasses.dataclass
class Dice:
    """What chance decides about the n pictures of a batch: a row each, so that any part of a batch can be taken.

    Attributes:
        rows: which training pictures, int64, indices into ``Faces.training``.
        changes: ``(n, 5)`` uniform numbers in [0, 1), for ``augment``.
        t: the step of noise, from 1 to T.
        noise: ``(n, 3, s, s)`` standard normal.
    """

    rows: Tensor
    changes: Tensor
    t: Tensor
    noise: Tensor

    def __getitem__(self, rows: slice) -> "Dice":
        """A part of the batch."""
        return Dice(self.rows[rows], self.changes[rows], self.t[rows], self.noise[rows])


def throw(seed: int, step: int, batch: int, n: int, timesteps: int, size: int) -> Dice:
    """The dice of one step of training.

    Args:
        seed: of the run.
        step: from 0.
        batch: pictures in a step, over all processes.
        n: number of training pictures. Every epoch shows each of them once, in an order of its own.
        timesteps: T, steps of noise.
        size: of the pictures, in pixels.
    """
    rng = torch.Generator().manual_seed(1_000_003 * seed + step)
    places = range(step * batch, (step + 1) * batch)
    return Dice(
        rows=torch.tensor([_order(seed, place // n, n)[place % n].item() for place in places]),
        changes=torch.rand(batch, 5, generator=rng),
        t=torch.randint(1, timesteps + 1, (batch,), generator=rng),
        noise=torch.randn(batch, 3, size, size, generator=rng),
    )


@functools.lru_cache(maxsize=2)  # a batch may need the end of one epoch and the start of the next
def _order(seed: int, epoch: int, n: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(1_000_003 * seed - 1 - epoch))


def augment(pictures: Tensor, kinds: tuple[str, ...], changes: Tensor) -> Tensor:
    """Pictures ``(n, 3, s, s)`` in [0, 1], changed at random.

    Args:
        pictures: to change.
        kinds: some of ``AUGMENTATIONS``. ``"flip"`` mirrors every other picture. ``"rotate"`` turns by up to
            ``ROTATION`` degrees; the corners that come in from outside are black, as in torchvision's
            ``RandomRotation``. ``"colour"`` changes brightness, contrast and saturation, as ``ColorJitter`` does.
        changes: ``(n, 5)`` uniform numbers in [0, 1).

    Raises:
        ValueError: an augmentation that there is not.
    """
    unknown = set(kinds) - set(AUGMENTATIONS)
    if unknown:
        raise ValueError(f"there is no augmentation {min(unknown)!r}; there are {', '.join(AUGMENTATIONS)}")
    flip, turn, *factors = changes.to(pictures)[:, :, None, None, None].unbind(1)  # each (n, 1, 1, 1)
    if "flip" in kinds:
        pictures = torch.where(flip < 0.5, pictures.flip(-1), pictures)
    if "rotate" in kinds:
        angle = math.radians(ROTATION) * (2 * turn.flatten() - 1)
        zero = torch.zeros_like(angle)
        rows = [torch.stack([angle.cos(), -angle.sin(), zero], 1), torch.stack([angle.sin(), angle.cos(), zero], 1)]
        grid = F.affine_grid(torch.stack(rows, 1), list(pictures.shape), align_corners=False)
        pictures = F.grid_sample(pictures, grid, align_corners=False)
    if "colour" in kinds:
        brightness, contrast, saturation = (1 + JITTER * (2 * factor - 1) for factor in factors)
        pictures = pictures * brightness
        pictures = torch.lerp(_grey(pictures).mean((1, 2, 3), keepdim=True), pictures, contrast)
        pictures = torch.lerp(_grey(pictures), pictures, saturation).clamp(0, 1)
    return pictures


def _grey(pictures: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114]).to(pictures)  # of ITU-R BT.601, as JPEG uses
    return (weights[:, None, None] * pictures).sum(1, keepdim=True)
