"""A thousand samples, and the archive that is handed in: 1.jpg to 1000.jpg, flat, less than 2 MB."""

import contextlib
import gzip
import io
import os
import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from helpers.homework import command_line
from helpers.homework.run import CAPTION
from helpers.models.diffusion import Diffusion
from helpers.pictures import to_uint8

N = 1000
STEPS = 100  # of denoising: in notebook 12 these are better than 20, by both distances and with either sampler
SIZE = 64
LIMIT = 2_000_000  # bytes: 2 MB, read in the stricter of its two senses
QUALITIES = range(30, 96)  # of JPEG; below, faces become blocks, and above they only grow


def generate(
    model: Diffusion,
    n: int = N,
    *,
    steps: int = STEPS,
    eta: float = 0.0,
    seed: int = 0,
    batch: int = 100,
    progress: bool = True,
) -> Tensor:
    """Faces from noise, a batch at a time: beside the pictures themselves, only one batch is ever in memory.

    Args:
        model: a trained one.
        n: how many.
        steps: of denoising.
        eta: 0 for DDIM, 1 for the fresh noise of DDPM.
        seed: with eta 0, picture k of a seed is the same for every n and every batch.
        batch: how many at once.
        progress: whether to show a bar.

    Returns:
        ``(n, 3, s, s)`` uint8.

    Raises:
        ValueError: a sample is not a number.
    """
    rng = torch.Generator().manual_seed(seed)
    made = torch.empty(n, *model.latent_shape, dtype=torch.uint8)
    with tqdm(total=n, desc="sampling", unit="face", disable=not progress) as bar:
        for room in made.split(batch):
            z = torch.randn(room.shape, generator=rng).to(model.alpha_bar.device)
            faces = model.sample([CAPTION] * len(room), z=z, rng=rng, steps=steps, eta=eta)
            room.copy_(to_uint8(faces))
            bar.update(len(room))
    return made


def store(pictures: Tensor, path: Path) -> None:
    """Keep pictures ``(n, 3, s, s)``, uint8, without loss."""
    write(path, lambda file: np.save(file, pictures.numpy(), allow_pickle=False))


def restore(path: Path) -> Tensor:
    """The pictures that ``store`` kept.

    Raises:
        FileNotFoundError: there are none.
        ValueError: the file is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"there is no {path}; `{command_line('sample', '--folder', path.parent)}` makes it")
    try:
        return torch.from_numpy(np.load(path, allow_pickle=False))
    except (ValueError, EOFError) as error:
        again = command_line("sample", "--folder", path.parent)
        raise ValueError(f"{path} is damaged; `{again}` makes it again") from error


def names(n: int = N) -> list[str]:
    """What the files in the archive are called."""
    return [f"{number}.jpg" for number in range(1, n + 1)]


def jpeg(picture: Tensor, quality: int) -> bytes:
    """A picture ``(3, s, s)``, uint8, as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture.movedim(0, -1).contiguous().numpy()).save(file, "JPEG", quality=quality, optimize=True)
    return file.getvalue()


def pack(pictures: Tensor, path: str | Path, limit: int = LIMIT) -> int:
    """Write the archive with the best quality of JPEG that fits, and read it back to be sure.

    Args:
        pictures: ``(n, 3, s, s)`` uint8.
        path: of the archive, ``.tgz``.
        limit: bytes that it must stay below.

    Returns:
        The quality.

    Raises:
        TypeError, ValueError: the pictures are not bytes; no quality fits; what was written is not what was asked for.
    """
    path = Path(path)
    if pictures.dtype != torch.uint8:
        raise TypeError(f"pack needs uint8 pictures in 0..255; these are {pictures.dtype}: try to_uint8")
    quality, archive = _best(pictures, limit)
    write(path, lambda file: file.write(archive))
    read(path, len(pictures), pictures.shape[-1], limit)
    return quality


def quality_that_fits(pictures: Tensor, limit: int = LIMIT) -> int:
    """The quality of JPEG at which ``pack`` would store these pictures."""
    return _best(pictures, limit)[0]


def read(path: str | Path, n: int = N, size: int = SIZE, limit: int = LIMIT) -> Tensor:
    """The pictures of an archive, ``(n, 3, size, size)`` uint8, if it is what the homework asks for.

    Raises:
        FileNotFoundError: there is no archive.
        ValueError: all that is wrong with it.
    """
    path = Path(path)
    bytes_there = path.stat().st_size
    wrong = [f"it has {bytes_there:,} bytes and must have less than {limit:,}"] if bytes_there >= limit else []
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = archive.getmembers()
            files = [(member, archive.extractfile(member).read()) for member in members if member.isreg()]
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} cannot be handed in: it is no .tgz, or it is cut short ({error})") from error
    wrong += _wrong_names([member.name for member in members], [m.name for m in members if not m.isreg()], n)
    pictures = torch.empty(n, 3, size, size, dtype=torch.uint8)
    places = {name: k for k, name in enumerate(names(n))}
    broken = []
    for member, content in files:
        if member.name in places:
            found = _decode(content, size)
            if isinstance(found, str):
                broken.append(f"{member.name} {found}")
            else:
                pictures[places[member.name]] = found
    wrong += _first(broken)
    if wrong:
        raise ValueError(f"{path} cannot be handed in: {'; '.join(wrong)}")
    return pictures


def _best(pictures: Tensor, limit: int) -> tuple[int, bytes]:
    """The best quality that fits, and the archive."""
    best = None
    low, high = QUALITIES.start, QUALITIES.stop - 1
    while low <= high:  # size grows with quality, so the border can be searched for by halves
        middle = (low + high + 1) // 2
        archive = _archive([jpeg(picture, middle) for picture in pictures])
        if len(archive) < limit:
            best, low = (middle, archive), middle + 1
        else:
            high = middle - 1
    if best is None:
        raise ValueError(
            f"{len(pictures)} pictures of {pictures.shape[-1]} pixels do not fit into {limit:,} bytes even at quality "
            f"{QUALITIES.start}; are they noise? Faces compress better"
        )
    return best


def _wrong_names(found: list[str], special: list[str], n: int) -> list[str]:
    wrong = []
    if folders := [name for name in found if "/" in name or name in (".", "..") or name in special]:
        wrong.append(f"it holds folders or links ({_list(folders)}); pack the pictures from inside their folder")
    expected, regular = set(names(n)), [name for name in found if name not in folders]
    if missing := sorted(expected - set(regular), key=_number):
        wrong.append(f"{len(missing)} pictures are missing ({_list(missing)})")
    if extra := sorted(set(regular) - expected, key=_number):
        wrong.append(f"{len(extra)} files do not belong there ({_list(extra)}); the names are 1.jpg to {n}.jpg")
    if len(set(regular)) < len(regular):
        wrong.append("some name is there twice")
    return wrong


def _number(name: str) -> tuple[int, str]:
    digits = re.match(r"\d+", name)
    return int(digits[0]) if digits else 0, name


def _list(some: list[str]) -> str:
    return ", ".join(some[:3]) + (", ..." if len(some) > 3 else "")


def _first(broken: list[str]) -> list[str]:
    return [f"{len(broken)} pictures are not as they should be: {_list(broken)}"] if broken else []


def _decode(content: bytes, size: int) -> Tensor | str:
    """The picture ``(3, size, size)``, or what is wrong with it."""
    try:
        with Image.open(io.BytesIO(content)) as image:
            if image.format != "JPEG":
                return f"is a {image.format}"
            if image.size != (size, size):
                return f"is {image.width} x {image.height}, not {size} x {size}"
            return torch.from_numpy(np.array(image.convert("RGB"))).movedim(-1, 0)
    except Exception as error:  # Pillow raises exceptions of many kinds for a broken file
        return f"cannot be opened ({error})"


def _archive(files: list[bytes]) -> bytes:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in zip(names(len(files)), files, strict=True):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(tar.getvalue(), mtime=0)  # the same pictures give the same bytes


def write(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    """A file, whole or not at all: ``fill`` writes it under a temporary name.

    Raises:
        OSError: it cannot be written; what was there before is still there.
    """
    partial = path.with_suffix(".partial")
    try:
        path.parent.mkdir(exist_ok=True)  # and none above it: where a drive is gone, they would hide it
        with partial.open("wb") as file:
            fill(file)
        os.replace(partial, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise OSError(f"{path} could not be written: {error}. Mend that and give the same command again") from error
