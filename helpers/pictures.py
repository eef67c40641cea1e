"""The learner's own folder of pictures, and what every notebook does with pictures: batches and devices.

Pictures are kept as uint8 in 0..255, a quarter of the room of float32, and become float32 in [0, 1]
one batch at a time.
"""

import contextlib
import dataclasses
import hashlib
import io
import itertools
import json
import mimetypes
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from PIL import Image, ImageChops, ImageOps, UnidentifiedImageError
from PIL.JpegImagePlugin import JpegImageFile
from torch import Tensor
from tqdm.auto import tqdm

CACHE = Path(__file__).parent.parent / "data" / "cache"

# Part of every cache's name: raise it when the same file would be read as a different picture.
_READER = 2

# Formats that are known by their first bytes, whatever the file is called.
_KNOWN_AT_SIGHT = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")
_TYPES = mimetypes.MimeTypes().types_map[True]
# Pictures that Pillow does not read. Those of cameras begin like a TIFF, and what it would read is their thumbnail.
_NOT_READ = re.compile(r"\.(3fr|arw|cr[23]|dng|erf|nef|nrw|orf|pef|raf|raw|rw2|srw|x3f|clip|jxl|kra|ora|svgz?|xcf)")
_HEIC = "HEIC: `pip install pillow-heif`, or save it as JPEG"
_END = b"\xff\xd9"  # of a JPEG
_NOISE = np.random.default_rng(0).integers(0, 0xFF, (8, 9, 256), np.uint8)  # none of its bytes begins a marker


@dataclasses.dataclass(frozen=True, eq=False)
class Folder:
    """The pictures of a folder.

    Attributes:
        pictures: ``(n, 3, size, size)`` uint8, RGB in 0..255. From a cache it is memory-mapped: pictures come
            off the disk as they are used, and what you write into it stays in memory.
        files: the ``n`` names, relative to the folder, in the order of ``pictures``.
        broken: the files and links that could not be read, each with the reason.
        endless: those of ``files`` that lack their last bytes, though nothing of the picture.
    """

    pictures: Tensor
    files: tuple[str, ...]
    broken: Mapping[str, str]
    endless: tuple[str, ...] = ()


def from_folder(folder: str | Path, size: int, cache: str | Path | None = CACHE, progress: bool = True) -> Folder:
    """Every picture in a folder and the folders inside it, as squares, in natural order (1, 2, 10).

    Reads whatever Pillow reads, and HEIC where the plugin ``pillow-heif`` is installed; of several frames the first.
    Pictures are turned upright by their EXIF tag, laid on white where they are transparent, cropped to the central
    square and resized. A folder that is a link is followed, but no folder is read twice. A file whose ending Pillow
    does not know is read if its first bytes are those of a picture. What is hidden is ignored, and so is what is no
    picture. Everything else that is not read is skipped, and one warning names it.

    ``ImageOps.fit`` with Lanczos does the resizing. It antialiases, crops around the exact centre and resizes
    in one pass, and it lets other threads run while it works.

    Args:
        folder: where the pictures are.
        size: side of the squares, in pixels. Smaller pictures are enlarged.
        cache: where to keep the squares, so that an unchanged folder is read only once; None keeps nothing.
        progress: whether to show a progress bar while reading.

    Raises:
        FileNotFoundError: there is no such folder, or it is a link that leads nowhere.
        NotADirectoryError: ``folder`` is a file.
        ValueError: ``size`` is not a positive whole number, or the folder holds no picture that can be read.
    """
    if not isinstance(size, int) or size < 1:
        raise ValueError(f"size is the side of a picture in pixels, a whole number such as 64; got {size!r}")
    folder = _real(folder)
    names, left_out, places = _find(folder)
    stem = None if cache is None else Path(cache) / _cache_name(folder, names, places, size)
    with warnings.catch_warnings():
        # Pillow says it of large pictures that it reads all the same.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
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
    found = dataclasses.replace(found, broken=left_out | found.broken)
    if found.broken:
        n = len(found.files) + len(found.broken)
        warnings.warn(f"skipped {len(found.broken)} of {n} files: {_list(found.broken)}", stacklevel=2)
    if found.endless:
        missing = _list(dict.fromkeys(found.endless, "its end marker is missing"))
        warnings.warn(f"read {len(found.endless)} files that were cut behind the picture: {missing}", stacklevel=2)
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


def _real(folder: str | Path) -> Path:
    """The folder itself, when it is there, by whatever path and links it was named."""
    asked = Path(os.path.abspath(os.path.expanduser(folder)))
    if not os.path.exists(asked):
        if os.path.islink(asked):
            raise FileNotFoundError(
                f"{asked} is a link that leads nowhere, to {os.readlink(asked)}. Delete it, and give the folder itself."
            )
        raise FileNotFoundError(f"there is no folder {asked}. Check the spelling, or give the full path.")
    if not os.path.isdir(asked):
        raise NotADirectoryError(f"{asked} is a file. Give the folder that holds it: {asked.parent}")
    return Path(os.path.realpath(asked))


def _find(folder: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """What there is to read.

    Returns:
        Names of the picture files, relative to ``folder``, in natural order; what looks like a picture or is a link and
        is left out, each with the reason; where the folder and the links in it lead.
    """
    with contextlib.suppress(ImportError):
        import pillow_heif  # the learner's own, if there is one

        pillow_heif.register_heif_opener()
    # Some formats, such as PDF, Pillow only writes.
    readable = {ending for ending, format in Image.registered_extensions().items() if format in Image.OPEN}
    files, left_out, places = _search(folder)
    reasons = {name: _why_not(folder / name, readable) for name in files}
    left_out |= {name: reason for name, reason in reasons.items() if reason}
    left_out = {name: left_out[name] for name in sorted(left_out, key=_natural)}
    names = sorted((name for name, reason in reasons.items() if reason == ""), key=_natural)
    if not names:
        endings = sorted({Path(name).suffix.lower() or "no ending" for name in files})
        holds = f"only files with {', '.join(endings)}" if endings else "no files"
        raise ValueError(
            f"{folder} holds no pictures that Pillow can read, {holds}. "
            "Put pictures there, or save yours as PNG or JPEG."
            + (f" These were left out: {_list(left_out)}." if left_out else "")
        )
    return names, left_out, places


def _search(folder: Path) -> tuple[list[str], dict[str, str], list[str]]:
    """The visible files; what else is left out, with the reasons; where the folder and the links in it lead."""
    found, left_out, searched = [], {}, set()

    def name(*path: str) -> str:
        return Path(*path).relative_to(folder).as_posix()

    def closed(error: OSError) -> None:
        left_out[name(error.filename)] = error.strerror

    # Links wait until all real folders are read: then a folder has its own name, and not that of a link to it.
    waiting = [str(folder)]
    for start in waiting:
        for place, folders, files in os.walk(start, onerror=closed):
            real = os.path.realpath(place)
            if real in searched:
                left_out[name(place)] = "leads to a folder that is read already"
                folders.clear()
                continue
            searched.add(real)
            folders[:] = sorted(filter(_visible, folders))
            # Junctions of Windows are links, too, though `islink` does not think so.
            links = [f for f in folders if os.path.realpath(os.path.join(place, f)) != os.path.join(real, f)]
            folders[:] = [f for f in folders if f not in links]
            waiting += [os.path.join(place, link) for link in links]
            for file in filter(_visible, files):
                path = os.path.join(place, file)
                if os.path.isfile(path):
                    found.append(name(path))
                elif os.path.islink(path):
                    left_out[name(path)] = "a link that leads nowhere"
    return found, left_out, [os.path.realpath(start) for start in waiting]


def _visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _why_not(path: Path, readable: set[str]) -> str | None:
    """Nothing if the file is to be read, a reason if it looks like a picture and is not, None if it is no picture."""
    ending = path.suffix.lower()
    if ending in readable:
        return ""
    if _NOT_READ.fullmatch(ending):
        return "Pillow cannot read this kind; save it as PNG or JPEG"
    if ending == ".lnk":
        return "a shortcut, which only Windows follows; move what it leads to into this folder"
    kind = _TYPES.get(ending, "application/octet-stream")
    if kind != "application/octet-stream" and not kind.startswith("image/"):
        return None  # a folder may hold a text beside every picture, and opening them all takes time
    head = _head(path)
    tests = [Image.OPEN[name][1] for name in _KNOWN_AT_SIGHT if name in Image.OPEN]
    # Pillow takes a text for a BMP if it begins with BM; in a picture, four zeros come after its length.
    if any(test(head) for test in tests) and (head[:2] != b"BM" or head[6:10] == bytes(4)):
        return ""
    return _HEIC if ending in (".heic", ".heif", ".hif") or _is_heic(head) else None


def _head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError:
        return b""


def _is_heic(head: bytes) -> bool:
    """By the brand of the container: heic, heix, hevc and the like, or one that AVIF uses, too."""
    return head[4:8] == b"ftyp" and head[8:11] in (b"hei", b"hev", b"mif", b"msf")


def _natural(name: str) -> tuple:
    """A key that sorts 2 before 10, folder by folder; the name itself settles ties such as 1 and 01."""
    parts = [re.split(r"(\d+)", part.casefold()) for part in name.split("/")]
    return [[int(run) if run.isdecimal() else run for run in part] for part in parts], name


def _read(folder: Path, names: list[str], size: int, progress: bool) -> Folder:
    # Filled in place, because stacking a list of pictures would need the memory twice.
    pictures = np.empty((len(names), 3, size, size), np.uint8)
    files, broken, endless = [], {}, []
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        results = pool.map(partial(_attempt, size=size), [folder / name for name in names])
        bar = tqdm(results, total=len(names), desc="reading pictures", unit="file", disable=not progress)
        for name, (square, reason) in zip(names, bar, strict=True):
            if square is None:
                broken[name] = reason
            else:
                pictures[len(files)] = square
                files.append(name)
                endless += [name] if reason else []
    finally:
        # A `with` block would read the whole rest of the folder before it let an interrupt through.
        pool.shutdown(cancel_futures=True)
    if not files:
        raise ValueError(f"none of the {len(names)} picture files in {folder} could be read: {_list(broken)}")
    return Folder(torch.from_numpy(pictures[: len(files)]), tuple(files), broken, tuple(endless))


def _attempt(path: Path, size: int) -> tuple[np.ndarray | None, str]:
    """One picture, ``(3, size, size)`` uint8, if it can be read, and what is wrong with the file."""
    try:
        return _square(path, size), ""
    except Exception as error:  # each of Pillow's formats raises exceptions of its own for a broken file
        reason = _reason(path, error)
        large = isinstance(error, Image.DecompressionBombError)
    head = _head(path)
    with contextlib.suppress(Exception):
        if large:
            return _reduced(path, size), ""
        if head.startswith(b"\xff\xd8"):
            return _fitted(_completed(path.read_bytes()), size), reason
        if head.startswith(b"\x89PNG"):
            return _square(io.BytesIO(_bare(path.read_bytes())), size), ""
    return None, reason


def _reason(path: Path, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * Image.MAX_IMAGE_PIXELS // 10**6} million pixels; save a smaller copy"
    if isinstance(error, UnidentifiedImageError):
        head = _head(path)
        return _HEIC if _is_heic(head) else "not a picture" if head else "empty file"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _square(file: Path | io.BytesIO, size: int) -> np.ndarray:
    with Image.open(file) as image:
        # A large JPEG decodes faster at 1/2, 1/4 or 1/8 of its size. Four times the target still leaves the
        # antialiasing to Lanczos.
        image.draft(None, (4 * size, 4 * size))
        return _fitted(image, size)


def _fitted(image: Image.Image, size: int) -> np.ndarray:
    image = _rgb(ImageOps.exif_transpose(image))
    return np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)).transpose(2, 0, 1)


def _reduced(path: Path, size: int) -> np.ndarray:
    """A JPEG with more pixels than Pillow opens, decoded at down to an eighth of its size."""
    with JpegImageFile(path) as image:
        # Of several scans (a progressive JPEG) libjpeg keeps all pixels until the last, at whatever size it decodes.
        several = b"\xff\xda" in image.fp.read().partition(_END)[0]
        image.draft(None, (size, size))
        if several or image.width * image.height > Image.MAX_IMAGE_PIXELS:
            raise ValueError("too large to decode")
        return _fitted(image, size)


def _completed(jpeg: bytes) -> Image.Image:
    """A JPEG of which nothing but the end marker is missing.

    Where a part of the picture is missing, libjpeg paints it grey and says nothing. But then the picture depends on
    what stands in place of the missing bytes; a whole one does not.

    Raises:
        ValueError: a part of the picture is missing. (A progressive JPEG that ends between two of its scans is passed:
            it is only less fine.)
    """
    jpeg = jpeg.rstrip(b"\xff")  # half of the marker may be there
    picture = Image.open(io.BytesIO(jpeg + _END))
    # One noise may look like what libjpeg fills in, as long as little is missing; eight do not. Where a JPEG is divided
    # by restart markers, noise may count only after the one of eight that comes next.
    for first, (here, *behind) in enumerate(_NOISE):
        parts = [bytes([0xFF, 0xD0 + (first + k) % 8]) + part.tobytes() for k, part in enumerate(behind)]
        other = Image.open(io.BytesIO(b"".join([jpeg, here.tobytes(), *parts, _END])))
        if ImageChops.difference(picture, other).getbbox():
            raise ValueError("a part of the picture is missing")
    return picture


def _bare(png: bytes) -> bytes:
    """A PNG without what does not draw it: texts, profiles and the like may be broken, or longer than Pillow allows."""
    kept, start = [png[:8]], 8
    while start < len(png):
        end = start + 12 + int.from_bytes(png[start : start + 4], "big")
        if png[start + 4 : start + 8] in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", b"eXIf"):
            kept.append(png[start:end])
        start = end
    return b"".join(kept)


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


def _cache_name(folder: Path, names: list[str], places: list[str], size: int) -> str:
    """Says which folder, which size, and which state of the files and links, in this order."""
    states = [(name, (status := (folder / name).stat()).st_mtime_ns, status.st_size) for name in names]
    return f"{_digest(str(folder))}-{size}px-{_digest([_READER, places, states])}"


def _digest(what: object) -> str:
    return hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]


def _store(found: Folder, stem: Path) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=stem.parent) as temporary:
        half = Path(temporary) / stem.name
        names = {name: getattr(found, name) for name in ("files", "broken", "endless")}
        np.save(half.with_suffix(".npy"), found.pictures.numpy(), allow_pickle=False)
        half.with_suffix(".json").write_text(json.dumps(names))
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
        found = Folder(torch.from_numpy(pictures), tuple(names["files"]), names["broken"], tuple(names["endless"]))
        intact = pictures.dtype == np.uint8 and pictures.shape == (len(found.files), 3, size, size)
        # A file may become readable without a trace in its time and size: a permission, a newer Pillow.
        still_broken = all(_attempt(folder / name, size)[0] is None for name in found.broken)
    except Exception:  # a damaged file can raise almost anything, and reading the folder again mends it
        return None
    return found if intact and still_broken else None


def _list(broken: Mapping[str, str]) -> str:
    first = [f"{name} ({reason})" for name, reason in itertools.islice(broken.items(), 10)]
    return ", ".join([*first, f"and {len(broken) - 10} more"] if len(broken) > 10 else first)
