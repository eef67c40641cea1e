"""Pictures made to fool the judge. The tests bound how many get through; ``python -m tests.anchors`` prints all."""

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers import dogs, judge
from helpers.dogs import Scenes


def _grid(scenes: Scenes, size: int) -> tuple[Tensor, Tensor]:
    """Every pixel's place in dog coordinates, x towards the nose and y down to the ground, (n, 1, s, s)."""
    middles = (torch.arange(size) + 0.5) * 2 / size - 1
    x, y, scale = (f.view(-1, 1, 1, 1) for f in (scenes.x, scenes.y, scenes.scale))
    facing = (2 * scenes.direction - 1).view(-1, 1, 1, 1)
    dog_x, dog_y = (middles.view(1, 1, 1, -1) - x) / scale * facing, (middles.view(1, 1, -1, 1) - y) / scale
    return torch.broadcast_tensors(dog_x, dog_y)


def paste(pieces: list[Tensor]) -> Tensor:
    """The top left, top right, bottom left and bottom right quarters of four sets of pictures."""
    half = pieces[0].shape[-1] // 2
    pasted = pieces[0].clone()
    pasted[..., :half, half:] = pieces[1][..., :half, half:]
    pasted[..., half:, :half] = pieces[2][..., half:, :half]
    pasted[..., half:, half:] = pieces[3][..., half:, half:]
    return pasted


def without_head(scenes: Scenes, size: int) -> Tensor:
    """Dogs with nothing but the background where the head should be."""
    x, y = _grid(scenes, size)
    return torch.where((x > 0.45) & (y < -0.8), _without_dog(scenes, size), dogs.draw(scenes, size))


def _without_dog(scenes: Scenes, size: int) -> Tensor:
    return dogs.draw(scenes.replace(x=torch.full((len(scenes),), 9.0)), size)


def make(n: int, size: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Sets of n pictures ``(n, 3, size, size)``, each wrong in a way of its own."""
    scenes = dogs.sample_scenes(n, rng)
    others = dogs.sample_scenes(n, rng)
    real, another = dogs.draw(scenes, size), dogs.draw(others, size)
    crowd = dogs.draw(dogs.sample_scenes(2000, rng), size)
    x, y = _grid(scenes, size)
    mask = dogs.dog_mask(scenes, size)
    empty = _without_dog(scenes, size)
    head, legs, front = (x > 0.45) & (y < -0.8), y > -0.45, x > 0
    chosen = torch.randint(len(crowd), (n, 1, size, size), generator=rng)
    pixel = torch.arange(size * size).view(1, 1, size, size)
    independent = crowd.movedim(1, -1).reshape(len(crowd), size * size, 3)[chosen, pixel].squeeze(1).movedim(-1, 1)

    def redrawn(**factors: Tensor) -> Tensor:
        return dogs.draw(scenes.replace(**factors), size)

    other_coat = redrawn(coat=(scenes.coat + torch.randint(1, 4, (n,), generator=rng)) % 4)
    small = others.replace(
        size=torch.zeros_like(others.size),
        scale=torch.full((n,), 0.5),
        x=torch.where(scenes.x > 0, -0.45, 0.45),
        background=scenes.background,
        skyline=scenes.skyline,
        horizon=scenes.horizon,
        shade=scenes.shade,
    )
    second = dogs.dog_mask(small, size)
    return {
        "uniform noise": torch.rand(real.shape, generator=rng),
        "independent pixels": independent,
        "the mean picture": crowd.mean(0, keepdim=True).expand(n, -1, -1, -1),
        "four quarters": paste([real, another, another.flip(0), real.flip(0)]),
        "four quarters, same place and coat": paste(
            [dogs.draw(_like(scenes, ("background", "skyline", "coat"), rng), size) for _ in range(4)]
        ),
        "two halves": torch.cat([real[..., : size // 2], another[..., size // 2 :]], dim=-1),
        "two dogs": real + (dogs.draw(small, size) - real) * second,
        "no dog": empty,
        "no head": without_head(scenes, size),
        "no legs": torch.where(legs, empty, real),
        "a head of another colour": torch.where(head, other_coat, real),
        "a front of another colour": torch.where(front, other_coat, real),
        "two heads, no tail": torch.where(front, real, redrawn(direction=1 - scenes.direction)),
        "hind legs half a stride off": torch.where(front, real, redrawn(gait=(scenes.gait + 0.5) % 1)),
        "upside down": real.flip(-2),
        "a dog that floats": redrawn(y=scenes.horizon - 0.25),
        "a giant": redrawn(scale=torch.full((n,), 1.2)),
        "colours exchanged": real[:, [2, 1, 0]],
        "half of two dogs": (real + another) / 2,
        "blurred": gaussian_blur(real, 2 * (size // 8) + 1, size / 16),
        "see-through dog": empty + (real - empty) * (1 - 0.5 * mask),
    }


def _like(scenes: Scenes, names: tuple[str, ...], rng: torch.Generator) -> Scenes:
    """Other scenes that share some attributes with the given ones."""
    fresh = dogs.sample_scenes(len(scenes), rng)
    return fresh.replace(**{name: getattr(scenes, name) for name in names})


def harmless(n: int, size: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Sets of n pictures that the judge should accept."""
    real = dogs.draw(dogs.sample_scenes(n, rng), size)
    return {
        "real": real,
        "real, 8 bits": (real * 255).round() / 255,
        "real, grain as forgiven": judge.grainy(real, rng),
        "real, half that grain": (real + judge.GRAIN / 2 * torch.randn(real.shape, generator=rng)).clamp(0, 1),
        "one real picture n times": real[:1].expand(n, -1, -1, -1),
    }
