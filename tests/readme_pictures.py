"""Draws the pictures of the README and of docs/ into ``data/pictures``: ``python -m tests.readme_pictures``."""

import itertools
import math
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image
from torch.nn.functional import max_pool2d
from torchvision.transforms.functional import gaussian_blur

from helpers import checkpoints, dogs, figures, palette
from helpers.homework import data
from helpers.models.diffusion import spaced
from helpers.models.editing import masked_step
from helpers.pictures import to_float

FOLDER = Path(__file__).parent.parent / "data" / "pictures"
PROMPTS = (
    "a large white dog running left in the city",
    "a small brown dog running right on the sand",
    "a golden dog running on the grass",
    "a running dog",
)
LAYERS = {  # of helpers, from the top: what each is for, and its modules, which import from their own layer and below
    "what a lesson and its reader use": (
        "checks",
        "diagrams",
        "quiz",
        "widgets",
        "workshop",
        "install",
        "lab",
        "server",
        "doctor",
    ),
    "experiments that take long": ("comparison", "parts", "plugged_in", "challenge", "challenger", "homework"),
    "tools": ("training", "judge", "checkpoints", "figures", "boxes", "progress", "tables"),
    "networks": ("layers", "unet", "models"),
    "worlds": ("captions", "dogs", "faces", "voice", "pictures", "palette"),
}


def draw_all() -> None:
    """The pictures of the README: dogs that emerge from noise, and one for each notebook after the first."""
    rng = torch.Generator().manual_seed(3)
    emerge(torch.Generator().manual_seed(3))
    wall = dogs.draw(dogs.answers("a running dog", rng), 24)
    _store(figures.answer_wall(dogs.LANGUAGE, wall, "a white running dog").image, "wall.png")
    draw_by_pixel(torch.Generator().manual_seed(4))
    paste_pieces(torch.Generator().manual_seed(5))
    bend_a_grid()
    redraw(torch.Generator().manual_seed(6))
    undo(torch.Generator().manual_seed(7))
    denoise(torch.Generator().manual_seed(7))
    show_the_game(torch.Generator().manual_seed(8))
    line_up(torch.Generator().manual_seed(9))
    move_and_blur(torch.Generator().manual_seed(10))
    walk_through_latents(torch.Generator().manual_seed(11))
    mirror_faces()
    change_the_place(torch.Generator().manual_seed(13))
    show_the_layers()


def emerge(rng: torch.Generator) -> None:
    """Notebook 11: six dogs for each of four captions on their way from sixteen random numbers each to a dog.

    The animation ends, and begins, with the dogs.
    """
    model = checkpoints.enlarged(checkpoints.load("vector_diffusion"))
    captions = [caption for caption in PROMPTS for _ in range(6)]
    way = [model.outside(x, captions) for x, _ in model.trajectory(captions, rng=rng, steps=20, spacing="quadratic")]
    frames = []
    for drawn in way[::2] + way[-1:]:
        rows = dict(zip(PROMPTS, drawn.split(6), strict=True))
        frames.append(figures.show(rows, alt="dogs", pixels=96).image)
    frames = figures.thrifty(frames, colours=256)
    each = [250] * (len(frames) - 1) + [4000]
    options = {"save_all": True, "append_images": frames, "default_image": True, "duration": each, "loop": 0}
    frames[-1].save(FOLDER / "dogs.png", **options)


def draw_by_pixel(rng: torch.Generator) -> None:
    """One picture as it is drawn row by row, then other endings of its upper half."""
    model = checkpoints.load("autoregressive")
    caption = "a large golden dog running left on the grass"
    drawn = model.sample([caption], rng=rng)
    rows = torch.arange(16).view(1, 1, 16, 1)
    so_far = [torch.where(rows < row, drawn, 1.0) for row in (4, 8, 12, 16)]
    begun = palette.to_tokens(drawn, model.palette)[:, :144].expand(3, -1)
    ends = model.sample([caption] * 3, rng=rng, known=begun)
    columns = [*(f"{row} rows" for row in (4, 8, 12, 16)), *["another end"] * 3]
    _store(figures.show(torch.cat([*so_far, ends]), alt="rows", columns=columns, pixels=64).image, "rows.png")


def paste_pieces(rng: torch.Generator) -> None:
    """Pictures whose pieces come from 1, 4, 16, 64 and 256 dogs."""
    sides, pictures = (1, 2, 4, 8, 16), []
    for side in sides:
        source = dogs.draw(dogs.sample_scenes(side * side, rng), 16)
        which = torch.arange(side * side).view(side, side).repeat_interleave(16 // side, 0)
        which = which.repeat_interleave(16 // side, 1)  # (16, 16): which picture a pixel comes from
        pictures.append(source.gather(0, which.expand(1, 3, 16, 16)))
    _store(
        figures.show(
            torch.cat(pictures), "pieces", columns=[f"{k * k} piece{'s' * (k > 1)}" for k in sides], pixels=64
        ).image,
        "pieces.png",
    )


def bend_a_grid() -> None:
    """A grid of normal numbers, and where polar coordinates take it: two moons."""
    share = torch.linspace(0.02, 0.98, 25)
    z = torch.special.ndtri(torch.cartesian_prod(share, share))
    moon, turn = (z[:, 0] > 0).float(), (2 * torch.special.ndtr(z[:, 0])) % 1 * math.pi
    radius = 1 + 0.08 * z[:, 1]
    x = radius * turn.cos() * (1 - 2 * moon) + moon - 0.5
    y = radius * turn.sin() * (1 - 2 * moon) + 0.5 * moon - 0.25
    figure, axes = plt.subplots(1, 2, figsize=(5, 2))
    for axis, (a, b) in zip(axes, [z.T, (x, y)], strict=True):
        axis.scatter(a, b, s=4, c=z[:, 1], cmap="viridis")
        axis.axis("off")
    _store(figures.plot(figure, alt="bent").image, "bent.png")


def redraw(rng: torch.Generator) -> None:
    """Notebook 5: dogs, the same after they have passed through sixteen numbers, and new ones."""
    model = checkpoints.load("vae")
    captions = dogs.LANGUAGE.sample(7, rng)
    real = dogs.draw(dogs.sample_scenes(captions, rng), 16)
    with torch.no_grad():
        redrawn = model.first.sample(captions, model.first.encode(real, captions)[0])
    pictures = {"real": real, "redrawn": redrawn, "new": model.sample(captions, rng=rng)}
    _store(figures.show(pictures, alt="redrawn", pixels=64).image, "redrawn.png")


def undo(rng: torch.Generator) -> None:
    """Notebook 6: dogs, their vectors laid out as pictures, and new dogs, drawn by the same network run backwards."""
    model = checkpoints.load("flow")
    captions = dogs.LANGUAGE.sample(7, rng)
    real = dogs.draw(dogs.sample_scenes(captions, rng), 16)
    z = model.encode(model.grainy(real, rng), captions)
    pictures = {"real": real, "their vectors": (z + 3) / 6, "new": model.sample(captions, rng=rng)}
    _store(figures.show(pictures, alt="undone", pixels=64).image, "undone.png")


def denoise(rng: torch.Generator) -> None:
    """Notebook 7: three pictures on their way from noise, in twenty steps."""
    model = checkpoints.load("diffusion")
    way = [(x + 2) / 4 for x, _ in model.trajectory(dogs.LANGUAGE.sample(3, rng), rng=rng, steps=20)]
    steps = [0, 4, 8, 12, 15, 17, 19]
    rows = {f"dog {k + 1}": torch.stack([way[step][k] for step in steps]) for k in range(3)}
    picture = figures.show(rows, alt="denoised", columns=[f"step {step + 1}" for step in steps], pixels=64)
    _store(picture.image, "denoised.png")


def show_the_game(rng: torch.Generator) -> None:
    """Notebook 8: what the generator draws untrained, and after its game, for the same captions."""
    model = checkpoints.load("gan")
    torch.manual_seed(8)
    untrained = checkpoints.RECIPES["gan"].build(rng)
    captions = dogs.LANGUAGE.sample(7, rng)
    z = torch.randn(7, *model.latent_shape, generator=rng)
    pictures = {"untrained": untrained.sample(captions, z), "after its game": model.sample(captions, z)}
    _store(figures.show(pictures, alt="game", pixels=64).image, "game.png")


def line_up(rng: torch.Generator) -> None:
    """Notebook 9: for two captions a picture of each family, in the order of their recipes, and a real one."""
    captions = ["a small white dog running left on the sand", "a large brown dog running right in the city"]
    drawn = {name: checkpoints.load(name).sample(captions, rng=rng) for name in checkpoints.RECIPES}
    drawn["real"] = dogs.draw(dogs.sample_scenes(captions, rng), 16)
    rows = dict(zip(captions, torch.stack([*drawn.values()], dim=1), strict=True))
    _store(figures.show(rows, alt="line-up", columns=[*drawn]).image, "line_up.png")


def move_and_blur(rng: torch.Generator) -> None:
    """Notebook 10: dogs, the same one pixel further to the side, and the same blurred."""
    scenes = dogs.sample_scenes(7, rng)
    real = dogs.draw(scenes, 16)
    moved = dogs.draw(scenes.replace(x=scenes.x - 2 / 16 * scenes.x.sign()), 16)
    pictures = {"real": real, "moved": moved, "blurred": gaussian_blur(real, 3, 0.7)}
    _store(figures.show(pictures, alt="nearer", pixels=64).image, "nearer.png")


def walk_through_latents(rng: torch.Generator) -> None:
    """Notebook 11: dogs, the grids of numbers that stand for them, and new dogs drawn as such grids."""
    model = checkpoints.load("latent_diffusion")
    captions = dogs.LANGUAGE.sample(7, rng)
    real = dogs.draw(dogs.sample_scenes(captions, rng), 32)
    grids = (model.inside(real, captions)[:, :3] / 4 + 0.5).clamp(0, 1)  # three of the four channels as colours
    grids = grids.repeat_interleave(4, 2).repeat_interleave(4, 3)
    rows = {"real": real, "as grids": grids, "new": model.sample(captions, rng=rng, guidance=2)}
    _store(figures.show(rows, alt="latents", pixels=64).image, "latents.png")


def mirror_faces() -> None:
    """Notebook 12: cartoon faces that look either way."""
    found = data.load(size=64, n=14)
    _store(figures.crowd(to_float(found.pictures), alt="faces", columns=7, pixels=64).image, "faces.png")


def change_the_place(rng: torch.Generator) -> None:
    """Notebook 13: dogs on the grass, and the same dogs in another place, which a model has drawn around them."""
    model = checkpoints.load("latent_diffusion")
    scenes = dogs.sample_scenes(["a large brown dog running left on the grass"] * 7, rng)
    real, captions = dogs.draw(scenes, 32), ["a large brown dog running left in the city"] * 7
    mask = (max_pool2d(dogs.dog_mask(scenes, 32), 4) > 0.1).float()
    known, levels = model.inside(real, captions), model.alpha_bar[spaced(20, 1000)].flip(0)
    x = torch.randn(known.shape, generator=rng)
    with torch.no_grad():
        for now, before in itertools.pairwise(levels):
            guess = model.estimate(x, now, captions, guidance=2)
            x = masked_step(x, guess, known, mask, now, before, rng)
    rows = {"before": real, "in the city": model.outside(x, captions).clamp(0, 1)}
    _store(figures.show(rows, alt="places", pixels=64).image, "places.png")


def show_the_layers() -> None:
    """docs/architecture.md: the layers of helpers below the notebooks, and the way that imports point."""
    rows = {"on top of helpers": ("notebooks/", "publish/", "tests/")} | LAYERS
    figure, axis = plt.subplots(figsize=(9, 4.2))
    for row, (what, modules) in enumerate(rows.items()):
        colour = "#dddddd" if row == 0 else f"C{row - 1}"
        axis.barh(-row, 1, left=0, height=0.8, color=colour, alpha=0.25, edgecolor="black")
        axis.text(0.015, -row + 0.17, what, va="center", weight="bold")
        axis.text(0.015, -row - 0.17, "    ".join(modules), va="center")
    axis.annotate("", (1.04, -len(rows) + 0.7), (1.04, 0.3), arrowprops={"arrowstyle": "-|>", "linewidth": 2})
    axis.text(1.055, -(len(rows) - 1) / 2, "imports", rotation=-90, va="center")
    axis.set(xlim=(-0.01, 1.1), ylim=(-len(rows) + 0.5, 0.5))
    axis.axis("off")
    _store(figures.plot(figure, alt="layers").image, "layers.png")


def _store(image: Image.Image, name: str) -> None:
    image.save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    draw_all()
