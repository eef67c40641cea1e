"""The cartoon-face world: the interface of the running dogs, drawn by an artist.

The style is *Adventurer* by Lisa Wischofsky; show ``ATTRIBUTION`` under every figure of faces. A face is a
pile of transparent layers: head, eyes, eyebrows, mouth, details, glasses, hair. Each scene picks one look for
every layer. The looks are few, so each is rendered once, and a face is laid together from them in torch:
thousands of faces a second, where rendering each from its lines makes some hundred.

Pictures are float32 in [0, 1], shape (n, 3, size, size). The attributes can be told apart at 64 pixels.
"""

import dataclasses
import functools
import hashlib
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import resvg_py
import torch
from PIL import Image
from torch import Tensor
from tqdm.auto import tqdm

from helpers.captions import Language
from helpers.pictures import CACHE, to_uint8

# The style's own colours. Of its fourteen for hair, those eight that nobody confuses at 64 pixels.
HAIR = {
    "black": "#0e0e0e",
    "brown": "#6a4e35",
    "blond": "#e5d7a3",
    "red": "#ab2a18",
    "green": "#3eac2c",
    "blue": "#85c2c6",
    "pink": "#dba3be",
    "purple": "#592454",
}
SKIN = ("#f2d3b1", "#ecad80", "#9e5622", "#763900")
# The style has no background of its own. These four are light, for its lines are black, and no hair has their
# names, so a word says which of the two it means.
BACKGROUND = {"white": "#ffffff", "yellow": "#ffd95a", "grey": "#b9b9b9", "teal": "#3fae9f"}

# The style counts a bun as long. Here long hair hangs down to the chin, and short hair ends at the ear. Left
# out is what would hide another attribute: fringes over the eyes, where glasses sit, and shaved heads, which
# have no colour. Both lengths have as many haircuts, so that no haircut is likelier than another.
HAIRCUTS = {
    "short": tuple(f"short{k:02}" for k in (1, 2, 3, 4, 7, 8, 9, 10, 11, 14, 15, 16, 17, 18)),
    "long": tuple(f"long{k:02}" for k in (1, 4, 5, 6, 7, 8, 9, 14, 16, 17, 18, 19, 22, 24)),
}
# Sorted by eye. Smiling: wide open, the corners up. Serious: shut or nearly so, straight or with the corners
# down. Left out is what is neither or both: kisses, tongues, cries, smirks.
MOUTHS = {
    "smiling": tuple(f"variant{k:02}" for k in (1, 5, 23, 25, 26, 27, 28, 30)),
    "serious": tuple(f"variant{k:02}" for k in (3, 4, 6, 8, 9, 10, 11, 19)),
}
EYES = tuple(f"variant{k:02}" for k in range(1, 27))
EYEBROWS = tuple(f"variant{k:02}" for k in range(1, 16))
FRAMES = tuple(f"variant{k:02}" for k in (1, 2, 4, 5))  # the thin third pair is lost at 64 pixels
DETAILS = ("birthmark", "blush", "freckles")  # a moustache would hide the mouth


def _write(named: Mapping[str, str]) -> str:
    subject = f"a {named['mood']} face" if "mood" in named else "a face"
    extras = []
    if "length" in named or "colour" in named:
        extras.append(" ".join([named[name] for name in ("length", "colour") if name in named] + ["hair"]))
    if "glasses" in named:
        extras.append({"no": "no glasses", "yes": "glasses"}[named["glasses"]])
    if extras:
        subject += " with " + " and ".join(extras)
    return f"{subject} on a {named['background']} background" if "background" in named else subject


LANGUAGE = Language(
    nameable={
        "mood": tuple(MOUTHS),
        "length": tuple(HAIRCUTS),
        "colour": tuple(HAIR),
        "glasses": ("no", "yes"),
        "background": tuple(BACKGROUND),
    },
    # No word for skin: every caption leaves it open, so a good generator answers every caption with all four.
    unnameable={"skin": ("1", "2", "3", "4")},
    write=_write,
)

# How many values each field of a scene has, in the order of the fields.
CHOICES = {
    **{name: len(values) for name, values in LANGUAGE.attributes.items()},
    "haircut": len(HAIRCUTS["short"]),
    "eyes": len(EYES),
    "eyebrows": len(EYEBROWS),
    "mouth": len(MOUTHS["smiling"]),
    "frames": len(FRAMES),
    "detail": 1 + len(DETAILS),
}

# What each layer can look like, in dicebear's options.
_LOOKS = {
    "head": [{"skinColor": tone} for tone in SKIN],
    "eyes": [{"eyesVariant": eyes} for eyes in EYES],
    "eyebrows": [{"eyebrowsVariant": eyebrows} for eyebrows in EYEBROWS],
    "mouth": [{"mouthVariant": mouth} for mouths in MOUTHS.values() for mouth in mouths],
    "details": [{"detailsProbability": 0}, *({"detailsVariant": detail} for detail in DETAILS)],
    "glasses": [{"glassesProbability": 0}, *({"glassesVariant": frames} for frames in FRAMES)],
    "hair": [
        {"hairVariant": cut, "hairColor": colour}
        for cuts in HAIRCUTS.values()
        for cut in cuts
        for colour in HAIR.values()
    ],
}

_STYLE = files("dicebear_styles").joinpath("adventurer.json").read_text(encoding="utf-8")
_META = json.loads(_STYLE)["meta"]
ATTRIBUTION = (
    f"Faces: remix of “{_META['source']['name']}” ({_META['source']['url']}) "
    f"by {_META['creator']['name']}, {_META['license']['name']} ({_META['license']['url']})"
)

SHARD = 500  # pictures in one file of the cache
CHUNK_PIXELS = 2**18  # pictures are drawn in chunks of so many pixels: more would only cost memory


@dataclasses.dataclass
class Scenes:
    """What there is to see, one row a picture; every field is an int64 tensor of shape ``(n,)`` on the CPU.

    ``mood``, ``length``, ``colour`` (of the hair), ``glasses``, ``background`` and ``skin`` (from light to
    dark) are indices into ``LANGUAGE.attributes``. The rest is what no caption asks about: ``haircut``, among
    those of its length; ``eyes``; ``eyebrows``; ``mouth``, among those of its mood; ``frames``, seen only
    where there are glasses; ``detail``, 0 for none. Every field runs from 0 to ``CHOICES[field] - 1``.
    """

    mood: Tensor
    length: Tensor
    colour: Tensor
    glasses: Tensor
    background: Tensor
    skin: Tensor
    haircut: Tensor
    eyes: Tensor
    eyebrows: Tensor
    mouth: Tensor
    frames: Tensor
    detail: Tensor

    def __len__(self) -> int:
        return len(self.mood)

    def __getitem__(self, rows) -> "Scenes":
        """Some of the scenes, by slice, mask, list or index tensor; one index gives a set of one."""
        rows = [rows] if isinstance(rows, int) else rows
        return Scenes(**{field: getattr(self, field)[rows] for field in CHOICES})

    @property
    def attributes(self) -> Tensor:
        """``(n, 6)`` int64 in the order of ``LANGUAGE.attributes``."""
        return torch.stack([getattr(self, name) for name in LANGUAGE.attributes], dim=1)


def sample_scenes(n_or_captions: int | Sequence[str], rng: torch.Generator) -> Scenes:
    """Draw from P(scene), or from P(scene given caption): all fields are uniform and independent.

    Args:
        n_or_captions: how many scenes, or a list of captions, which gives one scene for each.
        rng: the source of randomness.

    Raises:
        ValueError: a caption that this world does not know.
    """
    return with_details(LANGUAGE.sample_answers(n_or_captions, rng), rng)


def with_details(attributes: Tensor, rng: torch.Generator) -> Scenes:
    """Scenes with the given attributes ``(n, 6)`` and random details."""
    fields = {field: torch.randint(count, (len(attributes),), generator=rng) for field, count in CHOICES.items()}
    return Scenes(**fields | dict(zip(LANGUAGE.attributes, attributes.unbind(1), strict=True)))


def answers(caption: str, rng: torch.Generator) -> Scenes:
    """One scene for *every* combination of attributes that fits the caption, with random details."""
    return with_details(LANGUAGE.answers(caption), rng)


def draw(scenes: Scenes, size: int) -> Tensor:
    """The pictures of some scenes; the same scene always gives the same picture.

    The first call takes some seconds: it reads the style. A look that has not been drawn at this size yet
    takes milliseconds, a face of known looks a fraction of one.

    Args:
        scenes: n scenes.
        size: width and height in pixels, at least 8.

    Returns:
        ``(n, 3, size, size)`` float32 in [0, 1].

    Raises:
        ValueError: a size that is not a whole number of at least 8; a field of a scene outside its range.
    """
    _check_size(size)
    for field, count in CHOICES.items():
        values = getattr(scenes, field)
        outside = values[(values < 0) | (values >= count)]
        if len(outside):
            raise ValueError(f"{field} runs from 0 to {count - 1}; a scene has {int(outside[0])}")
    pictures = torch.empty(len(scenes), 3, size, size)
    step = max(1, CHUNK_PIXELS // size**2)
    for start in range(0, len(scenes), step):
        pictures[start : start + step] = _lay_together(scenes[start : start + step], size)
    return pictures


def dataset(n: int, size: int, seed: int = 0, progress: bool = True) -> tuple[Tensor, Scenes]:
    """The first ``n`` faces of an endless list; ``seed`` says of which.

    They are drawn once and kept under ``data/cache``, a file for every ``SHARD`` faces. So it may be
    interrupted: the next call goes on where this one stopped. A damaged file is drawn again, and any file may
    be deleted.

    Args:
        n: how many.
        size: width and height in pixels, at least 8.
        seed: a whole number; another seed, another list.
        progress: whether to show a progress bar.

    Returns:
        ``(n, 3, size, size)`` uint8 in 0..255, and the n scenes.

    Raises:
        ValueError: ``n`` is not a whole number of at least 1, or ``size`` not one of at least 8.
    """
    _check_size(size)
    if not isinstance(n, int) or n < 1:
        raise ValueError(f"n is how many faces there shall be, a whole number such as 10000; got {n!r}")
    rng = torch.Generator().manual_seed(seed)
    shards = [sample_scenes(SHARD, rng) for _ in range(math.ceil(n / SHARD))]
    pictures = torch.empty(n, 3, size, size, dtype=torch.uint8)
    with tqdm(total=n, desc="faces", unit="face", disable=not progress, delay=1) as bar:
        for k, (room, scenes) in enumerate(zip(pictures.split(SHARD), shards, strict=True)):
            path = CACHE / f"faces-{_version()}-{size}px-seed{seed}-{k:04}.npz"
            found = _load(path, scenes)
            if found is None:
                found = to_uint8(draw(scenes, size))
                _store(path, found, scenes)
            room.copy_(found[: len(room)])
            bar.update(len(room))
    together = {field: torch.cat([getattr(scenes, field) for scenes in shards]) for field in CHOICES}
    return pictures, Scenes(**together)[:n]


def _check_size(size: int) -> None:
    if not isinstance(size, int) or size < 8:
        raise ValueError(f"size is the side in pixels, a whole number of at least 8; got {size!r}")


def _lay_together(scenes: Scenes, size: int) -> Tensor:
    background = torch.tensor([tuple(bytes.fromhex(colour[1:])) for colour in BACKGROUND.values()]) / 255
    pictures = background[scenes.background][:, :, None, None]
    for part, looks in _looks_of(scenes).items():
        shown, which = looks.unique(return_inverse=True)
        layers = torch.stack([_layer(part, look, size) for look in shown.tolist()])[which].float() / 255
        pictures = torch.lerp(pictures, layers[:, :3], layers[:, 3:])
    return pictures


def _looks_of(scenes: Scenes) -> dict[str, Tensor]:
    """Which of its ``_LOOKS`` each layer has, ``(n,)`` int64; the lowest layer comes first."""
    return {
        "head": scenes.skin,
        "eyes": scenes.eyes,
        "eyebrows": scenes.eyebrows,
        "mouth": scenes.mood * CHOICES["mouth"] + scenes.mouth,
        "details": scenes.detail,
        "glasses": scenes.glasses * (1 + scenes.frames),
        "hair": (scenes.length * CHOICES["haircut"] + scenes.haircut) * CHOICES["colour"] + scenes.colour,
    }


@functools.lru_cache(maxsize=1024)  # room for all the looks at three sizes
def _layer(part: str, look: int, size: int) -> Tensor:
    """One look of one layer on nothing: ``(4, size, size)`` uint8, red, green, blue, opacity."""
    # Every layer is told whether to be there and which look to have, so the style's own dice decide nothing.
    # Earrings stay away: only some haircuts leave an ear for them.
    options = {f"{other}Probability": 0 for other in (*_LOOKS, "earrings")}
    options |= {f"{part}Probability": 100, **_LOOKS[part][look]}
    return _render(options, size)


def _render(options: dict, size: int) -> Tensor:
    """What dicebear draws for these options: ``(4, size, size)`` uint8, red, green, blue, opacity."""
    Avatar, style = _dicebear()
    return _pixels(str(Avatar(style, options)), size)


def _pixels(svg: str, size: int) -> Tensor:
    """An SVG as ``(4, size, size)`` uint8, red, green, blue, opacity."""
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True)
    with Image.open(io.BytesIO(png)) as image:
        return torch.from_numpy(np.array(image.convert("RGBA"))).permute(2, 0, 1)


@functools.cache
def _dicebear() -> tuple:
    """dicebear's ``Avatar``, and the style in its hands."""
    # Importing it and checking the style takes seconds, which faces from the cache need not wait for.
    from dicebear import Avatar, Style

    return Avatar, Style.from_json(_STYLE)


@functools.cache
def _version() -> str:
    """Changes with the style and with this file, so that no cache outlives what it was drawn from."""
    return hashlib.sha256(_STYLE.encode() + Path(__file__).read_bytes()).hexdigest()[:8]


def _store(path: Path, pictures: Tensor, scenes: Scenes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        with half.open("wb") as file:
            np.savez(file, pictures=pictures.numpy(), scenes=_table(scenes))
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _load(path: Path, scenes: Scenes) -> Tensor | None:
    """The pictures of a file, or None where there is none, it is damaged, or it shows other scenes."""
    try:
        # Every array in an .npz carries a checksum, which reading verifies.
        with np.load(path, allow_pickle=False) as shard:
            pictures, shown = shard["pictures"], shard["scenes"]
    except Exception:  # a damaged file raises anything, and whatever it is, the faces can be drawn again
        return None
    return torch.from_numpy(pictures) if np.array_equal(shown, _table(scenes)) else None


def _table(scenes: Scenes) -> np.ndarray:
    return torch.stack([getattr(scenes, field) for field in CHOICES], dim=1).numpy()
