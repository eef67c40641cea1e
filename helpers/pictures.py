"""The learner's own folder of pictures, and what every notebook does with pictures: batches and devices.

Pictures are kept as uint8 in 0..255, a quarter of the room of float32, and become float32 in [0, 1]
one batch at a time.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from tqdm.auto import tqdm

CACHE = Path(__file__).parent.parent / "data" / "cache"

# Part of every cache's name: raise it when the same file would be read as a different picture.
_READER = 1


@dataclass(frozen=True, eq=False)
class Folder:
    """The pictures of a folder.

    Attributes:
        pictures: ``(n, 3, size, size)`` uint8, RGB in 0..255. From a cache it is memory-mapped: pictures come
            off the disk as they are used, and what you write into it stays in memory.
        files: the ``n`` names, relative to the folder, in the order of ``pictures``.
        broken: the files that could not be read, each with the reason.
    """

    pictures: Tensor
    files: tuple[str, ...]
    broken: Mapping[str, str]


def from_folder(folder: str | Path, size: int, cache: str | Path | None = CACHE, progress: bool = True) -> Folder:
    """Every picture in a folder and the folders inside it, as squares, in natural order (1, 2, 10).

    Reads whatever Pillow reads, and the first frame where there are several. Pictures are turned upright by
    their EXIF tag, laid on white where they are transparent, cropped to the central square and resized. Files
    whose ending Pillow does not know are ignored, and so is everything hidden. Broken files are skipped, and
    one warning names them.

    ``ImageOps.fit`` with Lanczos does the resizing. It antialiases, crops around the exact centre and resizes
    in one pass, and it lets other threads run while it works.

    Args:
        folder: where the pictures are.
        size: side of the squares, in pixels. Smaller pictures are enlarged.
        cache: where to keep the squares, so that an unchanged folder is read only once; None keeps nothing.
        progress: whether to show a progress bar while reading.

    Raises:
        FileNotFoundError: there is no such folder.
        NotADirectoryError: ``folder`` is a file.
        ValueError: ``size`` is not a positive whole number, or the folder holds no picture that can be read.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size is the side of a picture in pixels, a whole number such as 64; got {size!r}")
    folder = Path(folder).expanduser().resolve()
    names = _find(folder)
    stem = None if cache is None else Path(cache) / _cache_name(folder, names, size)
    found = None if stem is None else _load(stem, folder, size)
    if found is None:
        found = _read(folder, names, size, progress)
        if stem is not None:
            try:
                _store(found, stem)
                found = _load(stem, folder, size) or found
            except OSError as error:
                # Reading a large folder takes minutes; a full disk must not throw them away.
                message = f"could not keep the pictures in {cache}, so they will be read again: {error}"
                warnings.warn(message, stacklevel=2)
    if found.broken:
        message = f"skipped {len(found.broken)} of {len(names)} files: {_list(found.broken)}"
        warnings.warn(message, stacklevel=2)
    return found


def to_float(pictures: Tensor) -> Tensor:
    """uint8 pictures in 0..255, of any shape, as float32 in [0, 1].

    Raises:
        TypeError: the pictures are not uint8.
    """
    if pictures.dtype != torch.uint8:
        raise TypeError(f"to_float needs uint8 pictures in 0..255; these are {pictures.dtype}")
    return pictures.to(torch.float32) / 255


def to_uint8(pictures: Tensor) -> Tensor:
    """Float pictures in [0, 1], of any shape, as uint8 in 0..255. Rounds, and clamps what lies outside.

    Raises:
        TypeError: the pictures are not floating point.
        ValueError: a value is NaN.
    """
    if not pictures.is_floating_point():
        raise TypeError(f"to_uint8 needs float pictures in [0, 1]; these are {pictures.dtype}")
    nans = int(pictures.isnan().sum())
    if nans:
        raise ValueError(
            f"{nans} of {pictures.numel()} values are NaN, which is no colour. Look for where they arise: "
            "a loss that diverged, a division by zero, a logarithm of zero."
        )
    return (pictures * 255).round().clamp(0, 255).to(torch.uint8)


def batches(pictures: Tensor, batch_size: int, rng: torch.Generator, flip: bool = False) -> Iterator[Tensor]:
    """Random batches without end. Only the pictures of a batch are read, so they may be memory-mapped.

    Every epoch shows every picture once, in a fresh order. Every batch is full: one that the epoch cannot
    fill goes on with the first pictures of the next.

    Args:
        pictures: ``(n, channels, height, width)`` uint8 in 0..255.
        batch_size: pictures in a batch; may be larger than ``n``.
        rng: a generator on the CPU.
        flip: mirror each picture left to right with probability 1/2.

    Yields:
        ``(batch_size, channels, height, width)`` float32 in [0, 1], on the device of ``pictures``.

    Raises:
        TypeError: the pictures are not uint8.
        ValueError: there are no pictures, they have another shape, or ``batch_size`` is below 1.
    """
    if pictures.dtype != torch.uint8:
        raise TypeError(f"batches needs uint8 pictures in 0..255; these are {pictures.dtype}: try to_uint8")
    if pictures.ndim != 4 or len(pictures) == 0:
        raise ValueError(f"batches needs (n, channels, height, width), n > 0; got {tuple(pictures.shape)}")
    if batch_size < 1:
        raise ValueError(f"a batch holds at least one picture; got batch_size={batch_size}")
    epochs = (torch.randperm(len(pictures), generator=rng).tolist() for _ in itertools.count())
    order = itertools.chain.from_iterable(epochs)
    return (_batch(pictures, list(itertools.islice(order, batch_size)), rng, flip) for _ in itertools.count())


def device() -> torch.device:
    """The fastest device here: ``cuda``, else ``mps`` (Apple), else ``cpu``."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def _batch(pictures: Tensor, indices: list[int], rng: torch.Generator, flip: bool) -> Tensor:
    batch = to_float(pictures[indices])
    if not flip:
        return batch
    mirrored = (torch.rand(len(batch), 1, 1, 1, generator=rng) < 0.5).to(batch.device)
    return torch.where(mirrored, batch.flip(-1), batch)


def _find(folder: Path) -> list[str]:
    """Names of the picture files, relative to ``folder``, in natural order."""
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}. Check the spelling, or give the full path.")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file. Give the folder that holds it: {folder.parent}")
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    visible = [path for path in files if not any(part.startswith(".") for part in path.parts)]
    # Some formats, such as PDF, Pillow only writes.
    readable = {ending for ending, format in Image.registered_extensions().items() if format in Image.OPEN}
    names = [path.as_posix() for path in visible if path.suffix.lower() in readable]
    if not names:
        endings = sorted({path.suffix.lower() or "no ending" for path in visible})
        holds = f"only files with {', '.join(endings)}" if endings else "no files"
        raise ValueError(
            f"{folder} holds no pictures that Pillow can read, {holds}. "
            "Put pictures there, or save yours as PNG or JPEG."
        )
    return sorted(names, key=_natural)


def _natural(name: str) -> tuple:
    """A key that sorts 2 before 10, folder by folder; the name itself settles ties such as 1 and 01."""
    parts = [re.split(r"(\d+)", part.casefold()) for part in name.split("/")]
    return [[int(run) if run.isdecimal() else run for run in part] for part in parts], name


def _read(folder: Path, names: list[str], size: int, progress: bool) -> Folder:
    # Filled in place, because stacking a list of pictures would need the memory twice.
    pictures = np.empty((len(names), 3, size, size), np.uint8)
    files, broken = [], {}
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        results = pool.map(partial(_attempt, size=size), [folder / name for name in names])
        bar = tqdm(results, total=len(names), desc="reading pictures", unit="file", disable=not progress)
        for name, result in zip(names, bar, strict=True):
            if isinstance(result, str):
                broken[name] = result
            else:
                pictures[len(files)] = result
                files.append(name)
    finally:
        # A `with` block would read the whole rest of the folder before it let an interrupt through.
        pool.shutdown(cancel_futures=True)
    if not files:
        raise ValueError(f"none of the {len(names)} picture files in {folder} could be read: {_list(broken)}")
    return Folder(torch.from_numpy(pictures[: len(files)]), tuple(files), broken)


def _attempt(path: Path, size: int) -> np.ndarray | str:
    """One picture, ``(3, size, size)`` uint8, or the reason why it cannot be read."""
    try:
        return _square(path, size)
    except UnidentifiedImageError:
        return "not a picture" if path.stat().st_size else "empty file"
    except Exception as error:  # each of Pillow's formats raises exceptions of its own for a broken file
        return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _square(path: Path, size: int) -> np.ndarray:
    with Image.open(path) as image:
        # A large JPEG decodes faster at 1/2, 1/4 or 1/8 of its size. Four times the target still leaves the
        # antialiasing to Lanczos.
        image.draft(None, (4 * size, 4 * size))
        image = _rgb(ImageOps.exif_transpose(image))
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A grey picture of 16 bits or of floats, scaled to 8 bits, where Pillow's ``convert`` would clip it."""
    values = np.asarray(image, np.float32)
    # Integers come as 16 bits. Floats do not say where white is: the smallest usual scale that holds them.
    whites = (1, 255, 65535) if image.mode == "F" else (65535,)
    white = next((white for white in whites if values.min() >= 0 and values.max() <= white), None)
    if white is None:
        raise ValueError(f"grey values from {values.min():g} to {values.max():g}, outside 0..65535")
    levels = np.rint(values * (255 / white)).astype(np.uint8)
    levels[values == image.info.get("transparency")] = 255
    return Image.fromarray(levels)


def _cache_name(folder: Path, names: list[str], size: int) -> str:
    """Says which folder, which size, and which state of the files, in this order."""
    states = [(name, (status := (folder / name).stat()).st_mtime_ns, status.st_size) for name in names]
    return f"{_digest(str(folder))}-{size}px-{_digest([_READER, states])}"


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _store(found: Folder, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=stem.parent) as temporary:
        half = Path(temporary) / stem.name
        np.save(half.with_suffix(".npy"), found.pictures.numpy(), allow_pickle=False)
        half.with_suffix(".json").write_text(json.dumps({"files": found.files, "broken": found.broken}))
        # The names come last: pictures without names are no cache.
        for ending in (".npy", ".json"):
            os.replace(half.with_suffix(ending), stem.with_suffix(ending))
    # An earlier state of the folder is of no more use. Windows keeps one that is still mapped.
    this_folder = stem.name.rpartition("-")[0]
    for old in stem.parent.glob(f"{this_folder}-*"):
        if old.stem != stem.name:
            with contextlib.suppress(OSError):
                old.unlink()


def _load(stem: Path, folder: Path, size: int) -> Folder | None:
    """The pictures of a cache; None where there is none, it is damaged, or a broken file can now be read."""
    try:
        names = json.loads(stem.with_suffix(".json").read_text())
        # Copy on write: into a read-only map, writing through a tensor would kill the kernel.
        pictures = np.load(stem.with_suffix(".npy"), mmap_mode="c", allow_pickle=False)
        found = Folder(torch.from_numpy(pictures), tuple(names["files"]), names["broken"])
        intact = pictures.dtype == np.uint8 and pictures.shape == (len(found.files), 3, size, size)
        # A file may become readable without a trace in its time and size: a permission, a newer Pillow.
        still_broken = all(isinstance(_attempt(folder / name, size), str) for name in found.broken)
    except Exception:  # a damaged file can raise almost anything, and reading the folder again mends it
        return None
    return found if intact and still_broken else None


def _list(broken: Mapping[str, str]) -> str:
    first = [f"{name} ({reason})" for name, reason in itertools.islice(broken.items(), 10)]
    return ", ".join([*first, f"and {len(broken) - 10} more"] if len(broken) > 10 else first)
