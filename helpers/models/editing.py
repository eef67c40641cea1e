"""What is done with a diffusion model once it is trained: pictures are changed or filled in, or it learns a little.

None of the three trains the model anew. The first two are ways of sampling, the third adds few numbers beside its own.
"""

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from helpers.models.diffusion import add_noise, ddim_step


def image_to_image(
    estimate: Callable[[Tensor, Tensor], Tensor], x: Tensor, levels: Tensor, rng: torch.Generator
) -> Tensor:
    """x under noise, and from there back to a picture: ``(n, ...)`` to the same shape.

    Meng et al., "SDEdit: Guided Image Synthesis and Editing with Stochastic Differential Equations", ICLR 2022,
    algorithm 1; the way back is that of DDIM.

    Args:
        estimate: called with x_t and alpha_bar_t, gives the picture that it believes to be in x_t.
        x: what is diffused.
        levels: alpha_bar from 1 down to where the way back begins.
        rng: the source of the noise.
    """
    x = add_noise(x, torch.randn(x.shape, generator=rng), levels[-1])
    for now, before in itertools.pairwise(levels.flip(0)):
        x = ddim_step(x, estimate(x, now), now, before, torch.zeros_like(x), eta=0)
    return x


def masked_step(
    x_t: Tensor, guess: Tensor, known: Tensor, mask: Tensor, now: Tensor, before: Tensor, rng: torch.Generator
) -> Tensor:
    """One step of inpainting: where the mask is 1, what is known takes the place of what was drawn.

    Lugmayr et al., "RePaint: Inpainting using Denoising Diffusion Probabilistic Models", CVPR 2022, eq. 8; the step is
    that of DDIM.

    Args:
        x_t, guess, known: ``(n, ...)``: x at the level ``now``, the picture believed to be in it, and the original.
        mask: 1 where the original is to be kept, 0 where it is not; broadcasts.
        now, before: alpha_bar of x_t and of the level to go to.
        rng: the source of the noise over what is known.
    """
    drawn = ddim_step(x_t, guess, now, before, torch.zeros_like(x_t), eta=0)
    kept = add_noise(known, torch.randn(known.shape, generator=rng), before)
    return mask * kept + (1 - mask) * drawn


class LowRank(nn.Module):
    """A linear layer that stays as it is, and beside it a product of two thin matrices that learns.

    Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", ICLR 2022, eq. 3, with ``scale`` for alpha / r.

    Args:
        linear: the layer, which does not learn any more.
        rank: of the product.
    """

    def __init__(self, linear: nn.Linear, rank: int):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """``(..., inputs)`` to ``(..., outputs)``."""
        return self.linear(x) + self.scale * (x @ self.down.T) @ self.up.T

    def merged(self) -> Tensor:
        """The one matrix that does the same, ``(outputs, inputs)``."""
        return self.linear.weight + self.scale * self.up @ self.down
