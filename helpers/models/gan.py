"""Generative adversarial networks: a decoder that learns from an opponent.

A discriminator D gives a high number to real pictures and a low one to made ones. The decoder, here called generator,
learns what D says of its pictures, and nothing else. In the original game (Goodfellow et al., "Generative Adversarial
Nets", NeurIPS 2014, eq. 1), with D a probability,

    V(D) = E_p[log D(x)] + E_q[log(1 - D(x))]

D makes V large; the generator, which makes q, makes it small. The best D is D* = p / (p + q), and then
V(D*) = -log 4 + 2 JSD(p || q) (ibid., theorem 1).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from helpers.captions import Language
from helpers.layers import CaptionEmbedding, PictureEncoder, latent


def game_value(p: Tensor, q: Tensor, d: Tensor) -> Tensor:
    """V(D) in nats, for distributions ``(k,)`` over k outcomes and D ``(k,)`` in [0, 1] (ibid., eq. 1)."""
    return torch.xlogy(p, d).sum() + torch.xlogy(q, 1 - d).sum()


def optimal_discriminator(p: Tensor, q: Tensor) -> Tensor:
    """D* = p / (p + q), ``(k,)``; one half where neither puts anything (ibid., proposition 1)."""
    return torch.where(p + q > 0, p / (p + q), 0.5)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """JSD(p || q) in nats, from 0 (equal) to log 2 (nothing in common), for ``(k,)`` twice."""
    m = (p + q) / 2
    return (torch.xlogy(p, p) + torch.xlogy(q, q)).sum() / 2 - torch.xlogy(m, m).sum()


class Discriminator(nn.Module):
    """From a caption and a picture to one number: high for real, low for made.

    The features of the picture are compared with a learned vector of the caption (Miyato and Koyama, "cGANs with
    Projection Discriminator", ICLR 2018, eq. 3).

    Args:
        language: of the captions.
        size: of the pictures, in pixels; a multiple of 4.
        width: see ``PictureEncoder``.
        features: of the picture.
    """

    def __init__(self, language: Language, size: int = 16, width: int = 64, features: int = 128):
        super().__init__()
        self.features = PictureEncoder(language, features, size, width)
        self.caption = CaptionEmbedding(language, features)
        self.real = nn.Linear(features, 1)

    def forward(self, captions: Sequence[str], pictures: Tensor) -> Tensor:
        """``n`` captions and pictures ``(n, 3, s, s)`` to logits ``(n,)``."""
        features = self.features(captions, pictures)  # (n, features)
        fits = (features * self.caption(captions)).sum(1) / math.sqrt(features.shape[1])
        return self.real(features)[:, 0] + fits


def discriminator_loss(discriminator: nn.Module, captions: Sequence[str], real: Tensor, made: Tensor) -> Tensor:
    """-V(D) in nats, a scalar (Goodfellow et al. 2014, eq. 1). No gradient comes back to ``made``.

    Args:
        discriminator: called with captions and pictures, gives logits ``(n,)``; D is their sigmoid.
        captions: ``n`` of them.
        real, made: ``(n, ...)``.
    """
    of_real, of_made = discriminator(captions, real), discriminator(captions, made.detach())
    return (F.softplus(-of_real) + F.softplus(of_made)).mean()


def generator_loss(discriminator: nn.Module, captions: Sequence[str], made: Tensor) -> Tensor:
    """-log D of what was made, in nats, a scalar: it reaches ``made`` through the discriminator.

    It has the same equilibrium as log(1 - D), and a slope also where D is sure (Goodfellow et al. 2014, section 3).
    """
    return F.softplus(-discriminator(captions, made)).mean()


def play_round(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizers: Sequence[torch.optim.Optimizer],
    losses: Sequence[Callable[..., Tensor]],
    captions: Sequence[str],
    real: Tensor,
    z: Tensor,
) -> tuple[float, float]:
    """One move of each player, first the discriminator's (ibid., algorithm 1, with k = 1).

    Args:
        generator: called with captions and z, gives pictures.
        discriminator: called with captions and pictures, gives logits ``(n,)``.
        optimizers: of the discriminator's weights and of the generator's.
        losses: as ``discriminator_loss`` and as ``generator_loss``.
        captions: ``n`` of them.
        real: ``(n, ...)``.
        z: for the generator, ``(n, ...)``.

    Returns:
        Both losses, each before its player moved.
    """
    made = generator(captions, z)
    of_discriminator = losses[0](discriminator, captions, real, made)
    optimizers[0].zero_grad()
    of_discriminator.backward()
    optimizers[0].step()
    of_generator = losses[1](discriminator, captions, made)
    optimizers[1].zero_grad()
    of_generator.backward()
    optimizers[1].step()
    return of_discriminator.item(), of_generator.item()


def paired_losses(real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's and the generator's loss, from logits ``(n,)`` of real and of made pictures of one caption.

    Which of the two looks more real? Relativistic GAN (Jolicoeur-Martineau, ICLR 2019), as in Huang et al., "The GAN is
    dead; long live the GAN!", NeurIPS 2024, eq. 2.
    """
    return F.softplus(made - real).mean(), F.softplus(real - made).mean()


def gradient_penalty(discriminator: nn.Module, captions: Sequence[str], x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean squared slope of the discriminator at x, and its logits there ``(n,)``.

    On real pictures it is R1 (Mescheder, Geiger and Nowozin, "Which Training Methods for GANs do actually Converge?",
    ICML 2018, eq. 9), on made ones R2 (ibid., eq. 10).
    """
    x = x.detach().requires_grad_()
    logits = discriminator(captions, x)
    (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=True)
    return slope.square().flatten(1).sum(1).mean(), logits


def adversarial_losses(
    discriminator: nn.Module, captions: Sequence[str], real: Tensor, made: Tensor, gamma: float
) -> tuple[Tensor, Tensor]:
    """What the discriminator, and the model that made ``made``, have to minimise: ``paired_losses``, and R1 and R2.

    Gradients of the first reach the discriminator alone, of the second ``made`` alone: so their sum trains both at
    once. No generator is asked for, so a discriminator can stand after any decoder.

    Args:
        discriminator: called with captions and pictures, gives logits ``(n,)``.
        captions: ``n`` of them; each goes with a real and a made picture.
        real, made: ``(n, ...)``.
        gamma: weight of the gradient penalties R1 and R2; 0 for none.
    """
    frozen = {name: parameter.detach() for name, parameter in discriminator.named_parameters()}
    seen = functional_call(discriminator, frozen, (captions, made))
    if gamma == 0:
        of_real, of_made = discriminator(captions, real), discriminator(captions, made.detach())
        penalty = 0.0
    else:
        r1, of_real = gradient_penalty(discriminator, captions, real)
        r2, of_made = gradient_penalty(discriminator, captions, made)
        penalty = gamma / 2 * (r1 + r2)
    return paired_losses(of_real, of_made)[0] + penalty, paired_losses(of_real.detach(), seen)[1]


class GAN(nn.Module):
    """A generator, which is a decoder, and the discriminator it learns from.

    Args:
        generator: called with captions and z, gives pictures.
        discriminator: called with captions and pictures, gives logits ``(n,)``.
        latent_size: numbers in z.
        gamma: weight of the gradient penalties.
    """

    def __init__(self, generator: nn.Module, discriminator: nn.Module, latent_size: int, gamma: float = 1.0):
        super().__init__()
        self.generator, self.discriminator = generator, discriminator
        self.latent_shape = (latent_size,)
        self.gamma = gamma

    def losses(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The discriminator's loss and the generator's: gradients of each reach its own player only."""
        made = self.generator(captions, latent(None, len(captions), self.latent_shape, rng))
        return adversarial_losses(self.discriminator, captions, pictures, made, self.gamma)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """Both losses added: one step along its gradient is a step of each player."""
        return sum(self.losses(pictures, captions, rng))

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, latent_size)``, standard normal, drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng)
        return self.generator(captions, z).clamp(0, 1)
