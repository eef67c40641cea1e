"""Who takes part. Nothing here needs a peer to be installed, or torch to be loaded."""

import dataclasses
import importlib
from typing import Any

MARKS = (30, 60)  # CPU seconds of training after which a peer is judged, beside the end


@dataclasses.dataclass(frozen=True)
class Contestant:
    """A model and its training.

    Attributes:
        family: one of the course's, or ``"homework 6"``.
        build: ``module:name`` of what makes it, called with a seed and the budget in CPU seconds.
        settings: what was set, for the reader of the table.
        budgets: CPU seconds. Each is a training of its own, since learning rates fall as the budget runs out.
        marks: CPU seconds within a budget after which the model is judged too.
        ours: whether it is the course's.
        options: more for ``build``.
    """

    family: str
    build: str
    settings: str
    budgets: tuple[int, ...] = (120,)
    marks: tuple[int, ...] = MARKS
    ours: bool = False
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def world(self) -> str:
        """``"dogs"`` or ``"faces"``."""
        return "faces" if self.family == "homework 6" else "dogs"

    def make(self, seed: int, seconds: float) -> Any:
        """The competitor: see ``peers.Peer`` for what it can do."""
        module, name = self.build.split(":")
        return getattr(importlib.import_module(f"tests.benchmarks.{module}"), name)(seed, seconds, **self.options)


def _ours(family: str) -> Contestant:
    return Contestant(
        family,
        "ours:Ours",
        "as shipped (`helpers/checkpoints.py`), but for the length of the training, and all in one stage",
        budgets=(60, 30, 15, 10, 120),
        marks=(),
        ours=True,
        options={"family": family},
    )


# In the order in which they are measured: what matters most comes first.
CONTESTANTS = {
    "diffusion": _ours("diffusion"),
    "denoising-diffusion-pytorch, lr 1e-3": Contestant(
        "diffusion",
        "peers:DenoisingDiffusion",
        "`Unet` of width 32, multipliers 1, 2, 4; velocity, sigmoid schedule, T = 1,000; `Trainer`'s Adam (0.9, 0.99), "
        "batch 32, EMA 0.995 every 10 steps, gradients clipped at 1; learning rate 1e-3 (as the official code of "
        "homework 6 has it with this library). Without captions",
        marks=(60,),
        options={"lr": 1e-3},
    ),
    "diffusers, lr 1e-3": Contestant(
        "diffusion",
        "peers:Diffusers",
        "`UNet2DModel` of widths 32, 64, 64, two layers a block, attention at 8 x 8; noise prediction, linear "
        "schedule, T = 1,000; AdamW, batch 16, warm-up and cosine, EMA with power 3/4, gradients clipped at 1; "
        "learning rate 1e-3, ten times the documented one. Captions as classes",
        marks=(60,),
        options={"lr": 1e-3},
    ),
    "flow": _ours("flow"),
    "normflows": Contestant(
        "flow",
        "peers:Normflows",
        "Glow of the example notebook: 256 hidden channels, channel split, classes in the base; 2 levels of 8 steps "
        "where 32 x 32 pixels have 3 of 16; Adamax 1e-3, weight decay 1e-5, batch 64. Captions as classes",
    ),
    "vae": _ours("vae"),
    "pythae": Contestant(
        "vae",
        "peers:Pythae",
        "`VAE` with the convolutions of the library's CIFAR nets, one level fewer and half as wide, z of 16, default "
        "loss; Adam 1e-3, batch 64; `GaussianMixtureSampler`, fitted as part of the training. Without captions",
    ),
    "gan": _ours("gan"),
    "DCGAN": Contestant(
        "gan",
        "peers:DCGAN",
        "PyTorch's DCGAN tutorial: z of 100, ngf = ndf = 64, batch 128, Adam 2e-4 (0.5, 0.999); two levels fewer, "
        "for 16 pixels instead of 64. Without captions",
    ),
    "autoregressive": _ours("autoregressive"),
    "transformers": Contestant(
        "autoregressive",
        "peers:Transformers",
        "`GPT2LMHeadModel` of the same size (4 layers, width 128; 2 heads, ours has 1) over our 64 colours, the "
        "caption's words in front; all in 32 bits, where ours computes products in 16; no dropout; batch 8 as ours; "
        "learning rate 3e-3, Adam (0.9, 0.95), warm-up and cosine, as image GPT's smallest; `generate` with its cache",
        marks=(60,),
    ),
    "homework 6": Contestant(
        "homework 6",
        "ours:Homework",
        "`python -m helpers.homework train`, every option at its default but the number of steps",
        budgets=(75, 30, 15, 150),
        marks=(),
        ours=True,
    ),
    "official sample code": Contestant(
        "homework 6",
        "peers:OfficialHomework",
        "rebuilt with denoising-diffusion-pytorch: width 16, multipliers 1, 2, 4, noise prediction, T = 100, linear; "
        "batch 16, Adam 1e-3 (0.9, 0.99), EMA 0.995 every 10 steps; sampled by DDIM in 20 steps, which the official "
        "code does not have",
        budgets=(150,),
        marks=(75,),
    ),
    "denoising-diffusion-pytorch": Contestant(
        "diffusion",
        "peers:DenoisingDiffusion",
        "the same with the README's learning rate, 8e-5",
        marks=(60,),
        options={"lr": 8e-5},
    ),
    "diffusers": Contestant(
        "diffusion",
        "peers:Diffusers",
        "the same with the documented learning rate, 1e-4",
        marks=(60,),
        options={"lr": 1e-4},
    ),
}
