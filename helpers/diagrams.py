"""The one idea of every family, as a diagram: ``diagrams.draw("vae")``. How one is written says ``helpers.boxes``."""

from functools import cache

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from helpers import dogs, figures
from helpers.boxes import drawn, read, words
from helpers.models.diffusion import add_noise

COLOURS = {"independent": "C5", "autoregressive": "C0", "diffusion": "C2", "vae": "C1", "flow": "C3", "gan": "C4"}
OF_OTHERS = {  # boxes in the colour of another family than that of their diagram
    "any model that draws": "C8",
    "same D, held still": COLOURS["gan"],
    "VAE encoder": COLOURS["vae"],
    "VAE decoder": COLOURS["vae"],
    "flow, once, backwards": COLOURS["flow"],
    "U-Net, 20 times": COLOURS["diffusion"],
    "generator, once": COLOURS["gan"],
    "GPT, once a pixel": COLOURS["autoregressive"],
}
FAMILY = {"plug_in": "gan", "latent_diffusion": "diffusion", "side_by_side": "vae", "in_use": "diffusion"}
LEGEND = """
# How to read a diagram
(a value) | learned | [computed, not learned] | <chance> | (forwards) | (no gradient comes back)

a value -> learned -> computed, not learned
forwards -|-> no gradient comes back
"""
DIAGRAMS = {
    "autoregressive": """
# One pixel after the other
. | (caption) | . | . | . | <z>
{pixels so far} | embedding + position | masked self-attention | small network | logits of 64 colours | [choose one]

caption -> embedding + position
pixels so far -> embedding + position -> masked self-attention -> small network -> logits of 64 colours
logits of 64 colours -> choose one
z -> choose one -the next pixel, 256 times-> pixels so far
4 such blocks: masked self-attention & small network
""",
    "independent": """
# All pixels in one go
.                    | (caption)     | .                      | <z>               | .
(each pixel's place) | small network | (logits of 64 colours) | [choose one] | {all pixels}

each pixel's place -> small network -> logits of 64 colours -> choose one -> all pixels
caption -> small network
z -> choose one
""",
    "vae": """
# Training
.         | (caption) | .               | <epsilon>                | (caption') | .
{picture} | encoder   | (mu, log_var)   | [z = mu + sigma·epsilon] | decoder    | {redrawn}
.         | .         | [KL to N(0, I)] | [loss: the sum of both]  | .          | [−log p(x|z)]

picture -> encoder -> mu, log_var -> z = mu + sigma·epsilon -> decoder -> redrawn -> −log p(x|z)
caption -> encoder
epsilon -> z = mu + sigma·epsilon
caption' -> decoder
picture -> −log p(x|z) -> loss: the sum of both
mu, log_var -> KL to N(0, I) -> loss: the sum of both

# Drawing: the encoder is not needed
.   | (caption) | .
<z> | decoder   | {a picture}

z -> decoder -> a picture
caption -> decoder
""",
    "flow": """
# Training: from picture to z in three moves (every network is told the caption)
.         | (many: 752 numbers) | .             | [(many − guess) / deviation] | .            | (z of the many)
{picture} | .                   | 1. encoder    | 2. decoder                   | .            | [−log p(x)]
.         | (few: 16 numbers)   | [few − shift] | .                            | 3. couplings | (z of the few)

picture -> many: 752 numbers -> (many − guess) / deviation -> z of the many -> −log p(x)
picture -> few: 16 numbers -> few − shift -> 3. couplings -> z of the few -> −log p(x)
many: 752 numbers -> 1. encoder -> few − shift -> 2. decoder -> (many − guess) / deviation

# Drawing: the same moves, backwards
<z of the many> | .            | [z · deviation + guess] | (many)        | .
.               | .            | 2. decoder              | 1. encoder    | {a picture}
<z of the few>  | 3. couplings | .                       | [few + shift] | .

z of the few -> 3. couplings -> 2. decoder -> z · deviation + guess
z of the many -> z · deviation + guess -> many -> 1. encoder -> few + shift -> a picture
3. couplings -> few + shift
many -> a picture
""",
    "diffusion": """
# Training
.         | .           | <alpha_bar> | .         | .
{picture} | [add_noise] | {x_t}       | U-Net     | {its guess}
.         | <noise>     | .           | (caption) | [squared error]

picture -> add_noise -> x_t -> U-Net -> its guess -> squared error
alpha_bar -> add_noise
alpha_bar -> U-Net
noise -> add_noise
caption -> U-Net
picture -> squared error

# Drawing
.                     | .      | (caption, alpha_bar) | .            | .                            | .
<z, as the first x_t> | {x_t'} | U-Net                | {its guess'} | [a step from x_t towards it] | {a picture}

z, as the first x_t -> x_t' -> U-Net -> its guess' -> a step from x_t towards it -> a picture
caption, alpha_bar -> U-Net
a step from x_t towards it -again, with less noise: 20 times-> x_t'
""",
    "gan": """
# Training (both networks are told the caption)
<z> | generator | {made} | [same D, held still] | [loss of the generator]
.   | .         | {real} | discriminator D      | [loss of D]

z -> generator -> made -> same D, held still -> loss of the generator
made -|-> discriminator D
real -> discriminator D -> loss of D

# Drawing: the discriminator is not needed
<z> | generator | {a picture}

z -> generator -> a picture
""",
    "plug_in": """
# Training: a second teacher for any decoder (captions are left out)
.   | [its own loss]       | .      | .                    | [loss of the model]
<z> | any model that draws | {made} | [same D, held still] | .
.   | .                    | {real} | discriminator D      | [loss of D]

z -> any model that draws -> made -> same D, held still -> loss of the model
any model that draws -> its own loss -> loss of the model
made -|-> discriminator D
real -> discriminator D -> loss of D
""",
    "latent_diffusion": """
# Training: the VAE is there already, and learns no more
.         | .             | .      | <noise>     | text encoder | (caption)
{picture} | [VAE encoder] | {grid} | [add_noise] | U-Net        | {guessed grid}
.         | .             | .      | <alpha_bar> | .            | [squared error]

picture -> VAE encoder -> grid -> add_noise -> U-Net -> guessed grid -> squared error
caption -> text encoder -> U-Net
noise -> add_noise
alpha_bar -> add_noise
alpha_bar -> U-Net
grid -> squared error

# Drawing
.   | (caption)    | text encoder | .                               | .             | .
<z> | {noisy grid} | U-Net        | [a small step] | [VAE decoder] | {a picture'}

z -> noisy grid -> U-Net -> a small step -> VAE decoder -> a picture'
caption -> text encoder -> U-Net
a small step -again, with less noise: 20 times-> noisy grid
""",
    "in_use": """
# Image to image: the way begins at a picture, and not at pure noise
.         | <noise>     | .            | (new caption) | .              | .
{picture} | [add_noise] | {noisy grid} | U-Net         | [a small step] | {a picture'}

picture -> add_noise -> noisy grid -> U-Net -> a small step -> a picture'
noise -> add_noise
new caption -> U-Net
a small step -again, with less noise-> noisy grid

# Inpainting: at every level what is known is put back
.   | .             | (new caption') | .               | [known, as noisy] | .
<z> | {noisy grid'} | U-Net'         | [a small step'] | [mask: mix]       | {a picture''}

z -> noisy grid' -> U-Net' -> a small step' -> mask: mix -> a picture''
new caption' -> U-Net'
known, as noisy -> mask: mix
mask: mix -again, with less noise-> noisy grid'
""",
    "side_by_side": """
# One caption and one z go in, a picture comes out
.                   | (caption)             | .               | <z>             | .
(a caption and a z) | =                     | =               | =               | =
VAE decoder, once   | flow, once, backwards | U-Net, 20 times | generator, once | GPT, once a pixel
{VAE}               | {flow}                | {diffusion}     | {GAN}           | {pixel by pixel}

caption -> a caption and a z
z -> a caption and a z
a caption and a z -> VAE decoder, once -> VAE
a caption and a z -> flow, once, backwards -> flow
a caption and a z -> U-Net, 20 times -> diffusion
a caption and a z -> generator, once -> GAN
a caption and a z -> GPT, once a pixel -> pixel by pixel
U-Net, 20 times -> U-Net, 20 times
GPT, once a pixel -> GPT, once a pixel
""",
}


def draw(name: str, legend: bool = False) -> figures.Figure:
    """The diagram of a family.

    Args:
        name: one of ``DIAGRAMS``.
        legend: whether to say below what the signs mean.

    Raises:
        KeyError: no such diagram.
    """
    return _figure(DIAGRAMS[name] + LEGEND * legend, FAMILY.get(name, name))


def side_by_side(**pictures: Tensor) -> figures.Figure:
    """All families beside each other.

    Args:
        **pictures: what ``vae``, ``flow``, ``diffusion``, ``gan`` and ``autoregressive`` drew, ``(3, s, s)`` in [0, 1];
            of those that are not given, a real picture.
    """
    names = {"vae": "VAE", "gan": "GAN", "autoregressive": "pixel by pixel"}
    drew = {names.get(family, family): picture for family, picture in pictures.items()}
    return _figure(DIAGRAMS["side_by_side"], "vae", **drew)


def _figure(diagram: str, family: str, **pictures: Tensor) -> figures.Figure:
    parts = read(diagram)
    figure = drawn(parts, {"": COLOURS[family], **OF_OTHERS}, _pictures() | pictures)
    plotted = figures.plot(figure, " ".join(words(part) for part in parts))
    # With 256 colours it looks the same and has a third of the bytes.
    return figures.Figure(plotted.image.quantize(dither=Image.Dither.NONE), plotted.alt)


@cache
def _pictures() -> dict[str, Tensor]:
    """What a picture of this name shows: mostly one dog as it is learned from, and another as it is drawn."""
    one, other, so_far = _dog(8), _dog(9, size=16), _dog(9, size=16)
    so_far[:, 11:] = 1
    many = torch.stack([_dog(seed, size=16) for seed in range(16)]).flatten(2)  # (16, 3, 256)
    mixed = many[torch.randint(16, (256,), generator=torch.Generator().manual_seed(0)), :, torch.arange(256)]
    return {
        "picture": one, "real": one, "redrawn": _dog(8, size=12), "its guess": _dog(8, size=12), "x_t": _dog(8, 0.5),
        "grid": _dog(8, size=8), "guessed grid": _dog(8, size=8), "a picture": other, "made": other,
        "a picture'": _dog(9), "its guess'": _dog(9, size=10), "x_t'": _dog(9, 0.3), "noisy grid": _dog(9, 0.3, 8),
        "pixels so far": so_far, "all pixels": mixed.T.unflatten(1, (16, 16)),
        "VAE": _dog(2, size=16), "flow": _dog(3, size=16), "diffusion": _dog(4, size=16), "GAN": _dog(5, size=16),
        "pixel by pixel": _dog(6, size=16), "a picture''": _dog(9), "noisy grid'": _dog(9, 0.3, 8),
    }  # fmt: skip


def _dog(seed: int, alpha_bar: float = 1.0, size: int = 32) -> Tensor:
    """One right answer to one caption, ``(3, size, size)``, under noise."""
    rng = torch.Generator().manual_seed(seed)
    dog = dogs.draw(dogs.sample_scenes(["a large black dog running left on the grass"], rng), 32)
    dog = 4 * F.adaptive_avg_pool2d(dog, size) - 2
    return (add_noise(dog, torch.randn(dog.shape, generator=rng), torch.tensor(alpha_bar))[0] + 2) / 4
