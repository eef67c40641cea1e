"""Prints what the judges say of pictures that are known: ``python -m tests.anchors``."""

from importlib.resources import files

import torch
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from helpers import dogs, faces, judge
from helpers.homework import score
from helpers.homework.data import Faces
from helpers.pictures import to_float, to_uint8
from tests import fakes

STYLES = ("adventurer", "lorelei", "big-smile", "toon-head", "micah", "avataaars")  # the first is the reader's own


def accepted(size: int, n: int = 1000, seed: int = 11) -> dict[str, tuple[float, float]]:
    """Share of each kind that is accepted, and the median strangeness."""
    rng = torch.Generator().manual_seed(seed)
    found = {}
    for name, pictures in (fakes.harmless(n, size, rng) | fakes.make(n, size, rng)).items():
        reading = judge.read(pictures)
        found[name] = reading.valid.float().mean().item(), reading.strangeness.median().item()
    return found


def reading_accuracy(size: int, n: int = 5000, seed: int = 12) -> dict[str, float]:
    """Share of real pictures in which each attribute is read rightly."""
    scenes = dogs.sample_scenes(n, torch.Generator().manual_seed(seed))
    read = judge.read(dogs.draw(scenes, size)).scenes
    right = (read.attributes == scenes.attributes).float().mean(0)
    return dict(zip(dogs.LANGUAGE.attributes, right.tolist(), strict=True))


def accepted_by_coat(size: int, n: int = 1000, seed: int = 11) -> dict[str, dict[str, float]]:
    """Which dogs the fakes get through with: for each coat that is read, the share of its pictures that is accepted."""
    found = {}
    for name, pictures in fakes.make(n, size, torch.Generator().manual_seed(seed)).items():
        reading = judge.read(pictures)
        coats = dogs.LANGUAGE.attributes["coat"]
        shares = [reading.valid[reading.scenes.coat == c].float().mean().item() for c in range(len(coats))]
        found[name] = dict(zip(coats, shares, strict=True))
    return found


def faces_in(style: str, n: int, size: int = 64) -> Tensor:
    """Faces as another artist of dicebear draws them, uint8 ``(n, 3, size, size)``."""
    from dicebear import Avatar, Style  # takes seconds, which tests of other things need not wait for

    drawn = Style.from_json(files("dicebear_styles").joinpath(f"{style}.json").read_text(encoding="utf-8"))
    options = {"backgroundColor": ["#b6e3f4"]}
    avatars = [Avatar(drawn, options | {"seed": str(seed)}) for seed in range(n)]
    return torch.stack([faces._pixels(str(avatar), size)[:3] for avatar in avatars])


def face_distances(style: str, n: int = 300) -> dict[str, float]:
    """FD-faces between n faces and as many others, as they are and made worse in known ways."""
    rng = torch.Generator().manual_seed(13)
    pictures, rows = faces_in(style, 2 * n)[torch.randperm(2 * n, generator=rng)], torch.arange(2 * n)
    real = score.Judge(Faces(pictures, training=rows, held_out=rows))
    fresh, elsewhere = real.fresh, faces_in("adventurer" if style != "adventurer" else "lorelei", n)

    def blurred(spread: float) -> Tensor:
        return to_uint8(gaussian_blur(to_float(fresh), 13, spread))

    def grainy(spread: float) -> Tensor:
        return to_uint8((to_float(fresh) + spread * torch.randn(fresh.shape, generator=rng)).clamp(0, 1))

    def mixed(strangers: int) -> Tensor:
        return torch.cat([elsewhere[:strangers], fresh[strangers:]])

    def repeated(kinds: int) -> Tensor:
        return fresh[torch.arange(n) % kinds]

    half, other = fresh.shape[-1] // 2, fresh.roll(1, 0)
    known = {
        "fresh": fresh,
        "blurred": blurred(1),
        "blurred twice as much": blurred(2),
        "grain": grainy(0.1),
        "twice the grain": grainy(0.2),
        "a tenth from elsewhere": mixed(n // 10),
        "a third from elsewhere": mixed(n // 3),
        "all from elsewhere": elsewhere,
        "a third of the faces, three times": repeated(n // 3),
        "a tenth of the faces, ten times": repeated(n // 10),
        "left and right halves of two": torch.cat([fresh[..., :half], other[..., half:]], dim=-1),
        "upper and lower halves of two": torch.cat([fresh[..., :half, :], other[..., half:, :]], dim=-2),
        "the mean face": fresh.float().mean(0).round().to(torch.uint8).expand_as(fresh).contiguous(),
        "noise": torch.randint(0, 256, fresh.shape, generator=rng, dtype=torch.uint8),
    }
    return {name: real.score(some).fd_faces for name, some in known.items()}


if __name__ == "__main__":
    columns = {size: accepted(size) for size in judge.SIZES}
    print("| pictures | valid at 16 | strangeness | valid at 32 | strangeness |\n|---|---|---|---|---|")
    for name in columns[16]:
        print(
            f"| {name} | "
            + " | ".join(f"{columns[s][name][0]:.1%} | {columns[s][name][1]:.2f}" for s in judge.SIZES)
            + " |"
        )
    for size in judge.SIZES:
        print(size, {name: f"{share:.2%}" for name, share in reading_accuracy(size).items()})
    for name, shares in accepted_by_coat(16).items():
        if max(shares.values()) > 0.02:
            print(f"{name}, at 16 pixels: " + ", ".join(f"{coat} {share:.1%}" for coat, share in shares.items()))
    columns = {style: face_distances(style) for style in STYLES}
    print("| FD-faces | " + " | ".join(STYLES) + " |\n|---|" + "---|" * len(STYLES))
    for name in columns[STYLES[0]]:
        print(f"| {name} | " + " | ".join(f"{columns[style][name]:.1f}" for style in STYLES) + " |")
