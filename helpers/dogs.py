"""The running-dog world: scenes, captions, and a drawing for every scene.

A picture here is drawn from a *scene*, a handful of factors, so the true distribution P(x given y) of pictures x for a
caption y is known exactly: it is uniform over the scenes that fit the caption. Everything is drawn from signed
distances to simple shapes (Quilez, "2D distance functions"), which makes the drawing sharp at any size, free of jagged
edges, and differentiable in the continuous factors.

Pictures are float32 in [0, 1], shape (n, 3, size, size). Picture coordinates run from -1 to 1, x to the right and y
down. Dog coordinates have their origin on the ground below the dog's middle; the dog looks to the right and is about
two units long.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from helpers.captions import Language

PLACES = {"grass": "on the grass", "sand": "on the sand", "city": "in the city"}


def _write(named: Mapping[str, str]) -> str:
    words = ["a", named.get("size"), named.get("coat")]
    if "direction" in named or "background" in named:
        words += ["dog running", named.get("direction"), PLACES.get(named.get("background"))]
    else:
        words += ["running dog"]
    return " ".join(word for word in words if word)


LANGUAGE = Language(
    nameable={
        "direction": ("left", "right"),
        "coat": ("black", "white", "brown", "golden"),
        "size": ("small", "large"),
        "background": ("grass", "sand", "city"),
    },
    unnameable={"skyline": ("left", "right", "sides", "middle")},
    write=_write,
)

SCALE = torch.tensor([[0.46, 0.54], [0.74, 0.88]])  # lowest and highest scale of a small and of a large dog
FEET = (0.42, 0.85)
HORIZON = (-0.2, 0.25)
SHADE = (0.84, 1.0)
DETAILS = ("scale", "x", "y", "gait", "horizon", "shade")  # what no word can name: the continuous factors
REACH = 1.04  # how far a dog of scale 1 reaches from its middle

COAT = torch.tensor([[0.13, 0.12, 0.14], [0.97, 0.96, 0.94], [0.50, 0.28, 0.14], [0.90, 0.60, 0.20]])
# One row a background: grass, sand, city. Two colours each: at the top and at the bottom of the layer.
SKY = torch.tensor(
    [
        [[0.38, 0.67, 0.95], [0.70, 0.86, 0.97]],
        [[0.42, 0.70, 0.92], [0.80, 0.85, 0.86]],
        [[0.56, 0.62, 0.76], [0.78, 0.79, 0.84]],
    ]
)
GROUND = torch.tensor(
    [
        [[0.48, 0.74, 0.34], [0.28, 0.56, 0.22]],
        [[0.97, 0.89, 0.70], [0.90, 0.76, 0.52]],
        [[0.58, 0.58, 0.61], [0.38, 0.39, 0.43]],
    ]
)
SILHOUETTE = torch.tensor([[0.22, 0.47, 0.27], [0.82, 0.68, 0.50], [0.38, 0.41, 0.52]])
# Skylines: four layouts of three shapes, each (middle, half width, height).
SKYLINE = torch.tensor([
    [[-0.78, 0.20, 0.62], [-0.36, 0.16, 0.36], [0.05, 0.14, 0.18]],
    [[0.78, 0.20, 0.62], [0.36, 0.16, 0.36], [-0.05, 0.14, 0.18]],
    [[-0.82, 0.16, 0.50], [0.82, 0.16, 0.50], [0.82, 0.16, 0.50]],
    [[0.00, 0.22, 0.66], [-0.40, 0.14, 0.40], [0.40, 0.14, 0.40]],
])  # fmt: skip
WIDEN = torch.tensor([1.15, 1.5, 0.85])  # tree tops, dunes and towers of one height look right at these widths
COLLAR = torch.tensor([0.85, 0.16, 0.18])
INK = torch.tensor([0.06, 0.05, 0.07])
SHADOW = 0.68  # brightness of the ground in the dog's shadow
CHUNK_PIXELS = 2**17  # pictures are drawn in chunks of so many pixels: the working set then stays in the cache


@dataclasses.dataclass
class Scenes:
    """What there is to see, one row a picture; every field is a tensor of shape ``(n,)``.

    ``direction``, ``coat``, ``size``, ``background`` and ``skyline`` are int64 indices into ``LANGUAGE.attributes``.
    The rest is float32: ``scale``, the size of the dog (ranges in ``SCALE``); ``x`` and ``y``, the point on the ground
    below it; ``gait``, the phase of its stride in [0, 1), a full turn; ``horizon``, where the ground begins; ``shade``,
    the brightness of the day, which multiplies every pixel.
    """

    direction: Tensor
    coat: Tensor
    size: Tensor
    background: Tensor
    skyline: Tensor
    scale: Tensor
    x: Tensor
    y: Tensor
    gait: Tensor
    horizon: Tensor
    shade: Tensor

    def __len__(self) -> int:
        return len(self.direction)

    def __getitem__(self, rows) -> "Scenes":
        """Some of the scenes, by slice, mask, list or index tensor; one index gives a set of one."""
        rows = [rows] if isinstance(rows, int) else rows
        return Scenes(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))

    def to(self, device: torch.device | str) -> "Scenes":
        """The same scenes on another device."""
        return Scenes(*(getattr(self, f.name).to(device) for f in dataclasses.fields(self)))

    @property
    def attributes(self) -> Tensor:
        """``(n, 5)`` int64 in the order of ``LANGUAGE.attributes``."""
        return torch.stack([getattr(self, name) for name in LANGUAGE.attributes], dim=1)

    def replace(self, **factors: Tensor) -> "Scenes":
        """The same scenes with some factors exchanged."""
        return dataclasses.replace(self, **factors)


def sample_scenes(n_or_captions: int | Sequence[str], rng: torch.Generator) -> Scenes:
    """Draw from P(scene), or from P(scene given caption).

    Args:
        n_or_captions: how many scenes, or a list of captions, which gives one scene for each.
        rng: the source of randomness.

    Raises:
        ValueError: a caption that this world does not know.
    """
    return with_details(LANGUAGE.sample_answers(n_or_captions, rng), rng)


def with_details(attributes: Tensor, rng: torch.Generator) -> Scenes:
    """Scenes with the given attributes ``(n, 5)`` and random continuous factors."""
    return arrange(attributes, torch.rand(len(DETAILS), len(attributes), generator=rng).T)


def arrange(attributes: Tensor, shares: Tensor) -> Scenes:
    """Scenes with the given attributes, each continuous factor at a share of the way through its range.

    Args:
        attributes: ``(n, 5)`` int64 in the order of ``LANGUAGE.attributes``.
        shares: ``(n, 6)`` in [0, 1], in the order of ``DETAILS``; uniform shares give the world's own distribution.
    """
    scale, x, y, gait, horizon, shade = shares.unbind(1)
    smallest, largest = SCALE.to(shares)[attributes[:, 2]].unbind(1)
    scale = smallest + (largest - smallest) * scale
    return Scenes(
        *attributes.unbind(1),
        scale=scale,
        x=(2 * x - 1) * (1 - REACH * scale),
        y=_between(FEET, y),
        gait=gait,
        horizon=_between(HORIZON, horizon),
        shade=_between(SHADE, shade),
    )


def answers(caption: str, rng: torch.Generator) -> Scenes:
    """One scene for *every* combination of attributes that fits the caption, with random continuous factors."""
    return with_details(LANGUAGE.answers(caption), rng)


def draw(scenes: Scenes, size: int) -> Tensor:
    """The pictures of some scenes.

    Args:
        scenes: n scenes.
        size: width and height in pixels, at least 8.

    Returns:
        ``(n, 3, size, size)`` float32 in [0, 1], differentiable in the continuous factors.

    Raises:
        ValueError: a size below 8, where a dog is no longer a dog.
    """
    return torch.cat([_paint(chunk, size)[0] for chunk in _chunks(scenes, size)])


def dog_mask(scenes: Scenes, size: int) -> Tensor:
    """How much of each pixel the dog covers: ``(n, 1, size, size)`` float32 in [0, 1]."""
    return torch.cat([_paint(chunk, size)[1] for chunk in _chunks(scenes, size)])


def _chunks(scenes: Scenes, size: int) -> list[Scenes]:
    if size < 8:
        raise ValueError(f"a dog cannot be told from a stain at {size} pixels; draw it at 8 or more")
    step = max(1, CHUNK_PIXELS // size**2)
    return [scenes[start : start + step] for start in range(0, max(len(scenes), 1), step)]


def _paint(scenes: Scenes, size: int) -> tuple[Tensor, Tensor]:
    """Paints from back to front. Returns the pictures and the dog's mask.

    While painting, the pictures are the *last* dimension: a factor of shape (n,) then meets a plane of shape (H, W, n)
    as it is, and the innermost loop of every operation runs over many numbers that lie side by side, which is fast.
    """
    device = scenes.x.device
    pixel = 2 / size
    middles = (torch.arange(size, device=device) + 0.5) * pixel - 1
    column, row = middles.view(1, size, 1), middles.view(size, 1, 1)

    def colour(table: Tensor, index: Tensor = scenes.background) -> Tensor:
        return table.to(device)[index].movedim(0, -1).unsqueeze(-2).unsqueeze(-2)  # (..., 3, 1, 1, n)

    def gradient(table: Tensor, depth: Tensor) -> Tensor:
        top, bottom = colour(table)
        return top + (bottom - top) * depth.clamp(0, 1)

    def coverage(distance: Tensor) -> Tensor:
        """The share of a pixel inside a shape whose signed distance is given in picture coordinates."""
        return (0.5 - distance / pixel).clamp(0, 1)

    def over(picture: Tensor, paint: Tensor, mask: Tensor) -> Tensor:
        return picture + (paint - picture) * mask

    # The stage: sky, what stands on the horizon, ground, the dog's shadow.
    picture = gradient(SKY, (row + 1) / (scenes.horizon + 1))
    picture = over(picture, colour(SILHOUETTE), coverage(_skyline_distance(scenes, column, row)))
    picture = over(
        picture, gradient(GROUND, (row - scenes.horizon) / (1 - scenes.horizon)), coverage(scenes.horizon - row)
    )
    facing = 2 * scenes.direction - 1
    x, y = (column - scenes.x) / scenes.scale * facing, (row - scenes.y) / scenes.scale  # (1, W, n), (H, 1, n)
    shadow = ((x / 0.85).square() + (y / 0.12).square() + 1e-6).sqrt() - 1
    picture = picture * (1 - (1 - SHADOW) * coverage(shadow * 0.12 * scenes.scale))

    # The dog: the two far legs, then body, head, tail and near legs melted into one, then what lies on top.
    far, near, collar, ear, eye, nose = (_capsules(x, y, part) * scenes.scale for part in _anatomy(scenes.gait))
    far_mask, near_mask = coverage(far.amin(0)), coverage(_melt(near))
    coat = colour(COAT, scenes.coat)
    light = (1.04 - 0.28 * (y + 0.85)).clamp(0.8, 1.04)
    picture = over(picture, 0.7 * coat + 0.1, far_mask)
    picture = over(picture, (coat * light).clamp(max=1), near_mask)
    picture = over(picture, COLLAR.to(device).view(3, 1, 1, 1), coverage(collar.amin(0)))
    picture = over(picture, 0.7 * coat + 0.02, coverage(ear.amin(0)))
    picture = over(picture, INK.to(device).view(3, 1, 1, 1), coverage(torch.minimum(eye, nose).amin(0)))
    picture = picture * scenes.shade
    return picture.movedim(-1, 0).contiguous(), torch.maximum(far_mask, near_mask).movedim(-1, 0).unsqueeze(1)


def _skyline_distance(scenes: Scenes, column: Tensor, row: Tensor) -> Tensor:
    """Signed distance to trees, dunes or towers, (H, W, n).

    The three are one shape in three norms: the points whose distance from the foot, measured in half widths and
    heights, is at most 1, by the Euclidean norm (round tree tops), the 1-norm (pointed dunes) or the
    maximum norm (towers).
    """
    background = scenes.background
    shapes = SKYLINE.to(column.device)[scenes.skyline]  # (n, 3 shapes, 3 numbers)
    middle, width, height = shapes.permute(2, 1, 0)[:, :, None, None]  # each (3, 1, 1, n)
    width = width * WIDEN.to(column.device)[background]
    across = (column - middle).abs() / width  # (3, 1, W, n)
    up = ((scenes.horizon - row) / height).abs()  # (3, H, 1, n)
    round_top = (across.square() + up.square() + 1e-6).sqrt()
    pointed, tower = across + up, torch.maximum(across, up)
    norm = torch.where(background == 0, round_top, torch.where(background == 1, pointed, tower))
    # A norm grows by 1 over the half width or the height; the smaller of the two turns it into a distance at the edge.
    return ((norm - 1) * torch.minimum(width, height)).amin(0)


def _anatomy(gait: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
    """The parts of a dog in full stride, each a bundle of capsules: far, near, collar, ear, eye, nose.

    Args:
        gait: ``(n,)`` phase of the stride. A gallop: the two front legs swing almost together, the two hind legs half a
            stride later, and the body rises and falls once a stride.
    """
    turn = 2 * math.pi * gait
    bob = 0.045 * torch.cos(turn + 0.6)

    def leg(hip_x: float, phase: float, fold: float) -> list:
        swing = turn + 2 * math.pi * phase
        thigh = 0.1 + 0.85 * torch.sin(swing)  # angle from the vertical, forwards positive
        shin = thigh - fold * (1 + torch.cos(swing))  # folded while the leg is brought forward
        knee_x, knee_y = hip_x + 0.30 * torch.sin(thigh), -0.60 + bob + 0.30 * torch.cos(thigh)
        foot_x, foot_y = knee_x + 0.29 * torch.sin(shin), knee_y + 0.29 * torch.cos(shin)
        return [
            (hip_x, -0.60 + bob, knee_x, knee_y, 0.125, 0.075),
            (knee_x, knee_y, foot_x, foot_y, 0.07, 0.055),
        ]

    wag = 0.12 * torch.sin(turn)
    lift = bob + 0.03 * torch.sin(turn)
    far = leg(0.30, 0.13, 0.55) + leg(-0.40, 0.55, 0.45)
    near = [
        (-0.36, -0.68 + bob, 0.30, -0.70 + bob, 0.19, 0.23),  # body
        (0.34, -0.78 + bob, 0.58, -1.02 + lift, 0.18, 0.13),  # neck
        (0.62, -1.06 + lift, 0.74, -1.05 + lift, 0.155, 0.13),  # head
        (0.72, -1.02 + lift, 0.93, -0.97 + lift, 0.10, 0.075),  # muzzle
        (-0.50, -0.74 + bob, -0.72, -0.92 + wag, 0.09, 0.06),  # tail
        (-0.72, -0.92 + wag, -0.86, -1.12 + 1.6 * wag, 0.06, 0.04),
        *leg(0.34, 0.0, 0.55),
        *leg(-0.42, 0.42, 0.45),
    ]
    collar = [(0.385, -0.96 + lift, 0.555, -0.82 + lift, 0.04, 0.04)]
    ear = [(0.57, -1.16 + lift, 0.44 - 0.03 * torch.sin(turn), -1.00 + lift + wag / 2, 0.065, 0.085)]
    eye = [(0.735, -1.10 + lift, 0.735, -1.09 + lift, 0.035, 0.035)]
    nose = [(0.98, -1.00 + lift, 0.985, -1.00 + lift, 0.05, 0.05)]
    return [_bundle(part, gait) for part in (far, near, collar, ear, eye, nose)]


def _bundle(capsules: list[tuple], like: Tensor) -> Tensor:
    """k capsules (start x, start y, end x, end y, start radius, end radius) as one tensor (6, k, 1, 1, n)."""
    numbers = [
        number if isinstance(number, Tensor) else torch.full_like(like, number)
        for capsule in capsules
        for number in capsule
    ]
    return torch.stack(numbers).view(len(capsules), 6, 1, 1, len(like)).transpose(0, 1)


def _capsules(x: Tensor, y: Tensor, capsules: Tensor) -> Tensor:
    """Signed distances to k capsules, (k, H, W, n): rods with round ends and a radius that changes along the way."""
    start_x, start_y, end_x, end_y, start_radius, end_radius = capsules  # each (k, 1, 1, n)
    rod_x, rod_y = end_x - start_x, end_y - start_y
    from_x, from_y = x - start_x, y - start_y  # (k, 1, W, n), (k, H, 1, n)
    length2 = rod_x.square() + rod_y.square()
    along = (from_x * (rod_x / length2) + from_y * (rod_y / length2)).clamp(0, 1)  # (k, H, W, n): 0 at start, 1 at end
    away2 = (from_x - along * rod_x).square() + (from_y - along * rod_y).square()
    return (away2 + 1e-8).sqrt() - (start_radius + (end_radius - start_radius) * along)


def _melt(distances: Tensor, softness: float = 0.015) -> Tensor:
    """A smooth minimum over dim 0: shapes run into each other as clay does, with no crease where they meet."""
    return -softness * torch.logsumexp(distances / -softness, dim=0)


def _between(bounds: tuple[float, float], share: Tensor) -> Tensor:
    low, high = bounds
    return low + (high - low) * share
