"""A discriminator after any decoder.

A GAN is another angle on a model, and no rival of it. Whatever draws pictures can be told by a discriminator how to
draw them better, besides what it learns by its own loss: variational autoencoders (Larsen et al., "Autoencoding beyond
Pixels Using a Learned Similarity Metric", ICML 2016), flows (Grover, Dhar and Ermon, "Flow-GAN", AAAI 2018), diffusion
(Xiao, Kreis and Vahdat, "Tackling the Generative Learning Trilemma with Denoising Diffusion GANs", ICLR 2022), down to
a single step (Sauer et al., "Adversarial Diffusion Distillation", ECCV 2024).
"""

import copy
import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from helpers.captions import Language
from helpers.layers import CaptionEmbedding, PictureEncoder, latent
from helpers.models.diffusion import Diffusion, add_noise, posterior, to_picture
from helpers.models.gan import adversarial_losses
from helpers.models.latent_diffusion import LatentDiffusion, VectorDenoiser
from helpers.models.vae import kl_divergence, reparameterise

# What both sides of a game know, what the world made of it, and what the model did.
Pair = tuple[Any, Tensor, Tensor]

# ---- The plug ----


def draw(model: nn.Module, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None):
    """What ``model.sample`` draws, with its gradients, ``(n, 3, s, s)``.

    ``sample`` of every model stands in a ``torch.no_grad``, which keeps the bare function; here it is called bare.

    Raises:
        ValueError: no gradient comes through.
    """
    pictures = inspect.unwrap(type(model).sample)(model, captions, z, rng)
    if not pictures.requires_grad:
        raise ValueError(
            "no gradient comes through this drawing: either the weights are frozen, and model.requires_grad_(True) "
            "helps; or colours are chosen from a list, and a choice has no slope"
        )
    return pictures


def whole_pictures(model: nn.Module, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Pair:
    """The usual game: both sides know the caption; the world shows a picture, and the model draws one."""
    return captions, pictures, draw(model, captions, rng=rng)


def own_loss(hybrid: "WithDiscriminator", pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
    """What the model would learn by itself."""
    return hybrid.model.loss(pictures, captions, rng)


def nothing(hybrid: "WithDiscriminator", pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> float:
    """No loss of its own: the model learns from the discriminator alone."""
    return 0.0


class WithDiscriminator(nn.Module):
    """Any model of the course, and a discriminator of what it draws.

    Args:
        model: has ``loss`` and ``sample``.
        discriminator: called with what both sides know and x, gives logits ``(n,)``.
        besides: what the model learns besides: called with this module, pictures, captions and rng, gives a loss.
        pair: what is put before the discriminator, see ``whole_pictures``.
        gamma: weight of the gradient penalties, see ``adversarial_losses``.
    """

    def __init__(
        self,
        model: nn.Module,
        discriminator: nn.Module,
        besides: Callable[..., Tensor | float] = own_loss,
        pair: Callable[..., Pair] = whole_pictures,
        gamma: float = 0.3,
    ):
        super().__init__()
        self.model, self.discriminator = model, discriminator
        self.besides, self.pair, self.gamma = besides, pair, gamma

    def losses(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """The discriminator's loss and the model's: gradients of each reach its own player only."""
        known, real, made = self.pair(self.model, pictures, captions, rng)
        of_discriminator, of_model = adversarial_losses(self.discriminator, known, real, made, self.gamma)
        return of_discriminator, of_model + self.besides(self, pictures, captions, rng)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """Both losses added: one step along its gradient is a step of each player."""
        return sum(self.losses(pictures, captions, rng))

    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """What the model draws: the discriminator is needed for training only."""
        return self.model.sample(captions, z, rng)


# ---- With a VAE: another measure of what is alike ----


def learned_similarity(features: nn.Module, captions: Sequence[str], x: Tensor, redrawn: Tensor) -> Tensor:
    """Mean squared difference in the features of a discriminator (Larsen et al. 2016, section 2.2).

    Args:
        features: called with captions and pictures, gives ``(n, k)``.
        captions: ``n`` of them.
        x, redrawn: ``(n, 3, s, s)``.
    """
    return (features(captions, x) - features(captions, redrawn)).square().mean()


def alike_in_features(
    hybrid: WithDiscriminator, pictures: Tensor, captions: Sequence[str], rng: torch.Generator
) -> Tensor:
    """A VAE's loss with the error measured in what the discriminator sees (ibid., algorithm 1).

    In nats for each number. As in our VAE, the deviation of what is measured is taken as large as the error. No
    gradient reaches the discriminator: it could make everything alike (ibid., section 2.3).
    """
    vae, features = hybrid.model, hybrid.discriminator.features
    mu, log_var = vae.encode(pictures, captions)
    redrawn = vae.decoder(captions, reparameterise(mu, log_var, rng))
    frozen = {name: parameter.detach() for name, parameter in features.named_parameters()}
    error = learned_similarity(lambda *seen: functional_call(features, frozen, seen), captions, pictures, redrawn)
    return kl_divergence(mu, log_var).mean() / pictures[0].numel() + error.log() / 2


# ---- With diffusion: few large steps ----


def exact_posterior(
    x_t: Tensor, now: Tensor, before: Tensor, means: Tensor, spread: float, shares: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """q(x_{t-1} | x_t) where x_0 comes from k clouds on a line: it is k Gaussians too, by Bayes' rule.

    Args:
        x_t: ``(n,)``.
        now, before: alpha_bar of x_t and of x_{t-1}.
        means, shares: of the clouds, ``(k,)``.
        spread: standard deviation of each cloud.

    Returns:
        Their shares and means, ``(n, k)`` each, and the variance of each.
    """
    kept = now / before  # what the step leaves of x_{t-1}
    variance = before * spread**2 + 1 - before  # of x_{t-1} in one cloud
    away = x_t[:, None] - now.sqrt() * means
    total = kept * variance + 1 - kept  # of x_t in one cloud
    weight = (shares.log() - away.square() / (2 * total)).softmax(1)
    return weight, before.sqrt() * means + kept.sqrt() * variance / total * away, variance * (1 - kept) / total


def two_levels(x: Tensor, now: Tensor, before: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """x_{t-1} and x_t of one way into the noise: ``(n, ...)`` to the same shape twice."""
    x_before = add_noise(x, torch.randn(x.shape, generator=rng).to(x.device), before)
    return x_before, add_noise(x_before, torch.randn(x.shape, generator=rng).to(x.device), now / before)


def step_back(x_t: Tensor, picture: Tensor, now: Tensor, before: Tensor, noise: Tensor) -> Tensor:
    """A draw of x_{t-1}, given x_t and the picture in it: ``(n, ...)`` to the same shape. See ``posterior``."""
    mean, variance = posterior(x_t, picture, now, before)
    return mean + variance.sqrt() * noise


class FewSteps(nn.Module):
    """A diffusion model that takes few steps, and *draws* at each which picture is in x_t (Xiao et al. 2022, eq. 5, 6).

    A small step back is nearly Gaussian, and the mean of all pictures that may be in x_t is enough to take it. A large
    one is not: for it, one picture has to be chosen. A vector z chooses; then the step is DDPM's.

    Args:
        diffusion: its network is taken over. At first the vector changes nothing, and this is DDPM with so many steps.
        steps: from noise to picture.
        latent_size: numbers in the vector of each step.

    Its z has a row for each step: noise for every number of the picture, then the vector.
    """

    def __init__(self, diffusion: Diffusion, steps: int, latent_size: int = 32):
        super().__init__()
        self.diffusion = diffusion
        levels = torch.linspace(0, len(diffusion.alpha_bar) - 1, steps + 1).round().long()
        self.register_buffer("alpha_bar", diffusion.alpha_bar[levels], persistent=False)
        self.shape, self.latent_size = diffusion.latent_shape, latent_size
        self.latent_shape = (steps, math.prod(self.shape) + latent_size)
        width = diffusion.network.CONDITION
        self.choice = nn.Sequential(nn.Linear(latent_size, width), nn.SiLU(), nn.Linear(width, width))
        nn.init.zeros_(self.choice[-1].weight)
        nn.init.zeros_(self.choice[-1].bias)

    def picture(self, captions: Sequence[str], x_t: Tensor, alpha_bar: Tensor, vector: Tensor) -> Tensor:
        """One of the pictures that may be in x_t, about -2 to 2, as x_t is: ``(n, 3, s, s)``.

        Args:
            captions: n of them.
            x_t: ``(n, 3, s, s)``.
            alpha_bar: of each, ``(n,)``.
            vector: which picture, ``(n, latent_size)``, standard normal.
        """
        network = self.diffusion.network
        told = network.condition(captions, alpha_bar) + self.choice(vector)
        return to_picture(self.diffusion.predicts, network.unet(x_t, told), x_t, alpha_bar.view(-1, 1, 1, 1))

    def one_step(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Pair:
        """A random step back for each picture: did the world take it, or the model (ibid., eq. 4)?

        Pictures are ``(n, 3, s, s)`` in [0, 1]. Both sides know captions, x_t and alpha_bar; the world shows the
        x_{t-1} that was there, the model makes one.
        """
        now, before = self._levels(len(pictures), rng)
        x_before, x_t = two_levels(self.diffusion.inside(pictures, captions), now, before, rng)
        vector = torch.randn(len(x_t), self.latent_size, generator=rng).to(x_t.device)
        picture = self.picture(captions, x_t, now.flatten(), vector)
        made = step_back(x_t, picture, now, before, torch.randn(x_t.shape, generator=rng).to(x_t.device))
        return (captions, x_t, now.flatten()), x_before, made

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """Mean squared error of the picture: by itself it learns the mean of all that may be there, whatever z says."""
        x = self.diffusion.inside(pictures, captions)
        now, _ = self._levels(len(x), rng)
        x_t = add_noise(x, torch.randn(x.shape, generator=rng).to(x.device), now)
        vector = torch.randn(len(x), self.latent_size, generator=rng).to(x.device)
        return (self.picture(captions, x_t, now.flatten(), vector) - x).square().mean()

    def _levels(self, n: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """alpha_bar before and after a random step back, ``(n, 1, 1, 1)`` each."""
        t = torch.randint(1, len(self.alpha_bar), (n, 1, 1, 1), generator=rng)
        return self.alpha_bar[t], self.alpha_bar[t - 1]

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, *latent_shape)``, standard normal, drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng).to(self.alpha_bar.device)
        noise, vectors = z.split([math.prod(self.shape), self.latent_size], dim=2)
        noise = noise.unflatten(2, self.shape)  # (n, steps, 3, s, s)
        x = noise[:, 0]
        for t in range(len(self.alpha_bar) - 1, 0, -1):
            now, before = self.alpha_bar[t], self.alpha_bar[t - 1]
            picture = self.picture(captions, x, now.expand(len(x)), vectors[:, t - 1])
            picture = picture.clamp(-self.diffusion.BOUND, self.diffusion.BOUND)
            x = step_back(x, picture, now, before, noise[:, t - 1])  # of variance 0 at last
        return self.diffusion.outside(x, captions).clamp(0, 1)


class StepDiscriminator(nn.Module):
    """From what is known of a step, captions, x_t and alpha_bar, and an x_{t-1}, to one number: high for real.

    Args:
        language, size, width, features: see ``Discriminator``.
    """

    def __init__(self, language: Language, size: int = 16, width: int = 64, features: int = 128):
        super().__init__()
        self.features = PictureEncoder(language, features, size, width, channels=7)
        self.caption = CaptionEmbedding(language, features)
        self.real = nn.Linear(features, 1)

    def forward(self, known: tuple[Sequence[str], Tensor, Tensor], x: Tensor) -> Tensor:
        """Captions, x_t ``(n, 3, s, s)``, alpha_bar ``(n,)``, and x_{t-1} to logits ``(n,)``."""
        captions, x_t, alpha_bar = known
        level = 4 * alpha_bar.view(-1, 1, 1, 1).expand_as(x[:, :1]) - 2
        features = self.features(captions, (torch.cat([x, x_t, level], dim=1) + 2) / 4)
        return self.real(features)[:, 0] + (features * self.caption(captions)).sum(1) / math.sqrt(features.shape[1])


# ---- With diffusion: one step ----


class OneStep(nn.Module):
    """A diffusion of vectors that is asked once, what is in pure noise, and answers with a picture.

    Trained to take noise away, its network can only say the mean of all that may be in there. So it learns twice: first
    where the steps of a teacher lead from a z (``distillation_loss``), then from a game (``noisy_pair``). The two
    lessons are those of Sauer et al., "Adversarial Diffusion Distillation", ECCV 2024, there in one; that both
    players begin as the diffusion's network is as in Xu et al., "UFOGen: You Forward Once Large Scale Text-to-Image
    Generation via Diffusion GANs", CVPR 2024.

    Args:
        diffusion: its network is taken over, and learns on.
    """

    def __init__(self, diffusion: LatentDiffusion):
        super().__init__()
        self.diffusion = diffusion
        self.latent_shape = diffusion.latent_shape

    def vector(self, captions: Sequence[str], z: Tensor) -> Tensor:
        """The vector that is in the noise z, as it is inside: ``(n, *latent_shape)`` to the same shape."""
        alpha_bar = self.diffusion.alpha_bar[-1]
        return self.diffusion.estimate(z.to(alpha_bar.device), alpha_bar, captions)

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, *latent_shape)``, standard normal, drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng)
        return self.diffusion.outside(self.vector(captions, z), captions).clamp(0, 1)


def distillation_loss(pupil: OneStep, led: Tensor, captions: Sequence[str], z: Tensor) -> Tensor:
    """Mean squared distance to where the steps of a teacher led from z (Luhman and Luhman, "Knowledge Distillation in
    Iterative Generative Models for Improved Sampling Speed", 2021, arXiv:2101.02388).

    Args:
        pupil: is asked once.
        led: what ``sample_inside`` of the teacher gave for n captions and z, ``(n, *latent_shape)``.
        captions: n of them.
        z: in the shape of ``led``.
    """
    return (pupil.vector(captions, z) - led).square().mean()


def noisy_pair(pupil: OneStep, x: Tensor, captions: Sequence[str], rng: torch.Generator) -> Pair:
    """A real and a made vector under the same noise: which of the two is from the world?

    Real and made vectors may share hardly a point, and a discriminator that is sure of both teaches nothing. Noise
    makes them overlap (Arjovsky and Bottou, "Towards Principled Methods for Training Generative Adversarial Networks",
    ICLR 2017, section 3), more or less with its amount, which both sides know (Wang et al., "Diffusion-GAN: Training
    GANs with Diffusion", ICLR 2023, section 3). That a pair has one noise between them is our choice: then they differ
    in what is to be judged alone.

    Args:
        pupil: makes the vectors, each in one evaluation.
        x: what ``diffusion.inside`` gave for n pictures, ``(n, *latent_shape)``.
        captions: n of them.
        rng: the source of z and of the noise.
    """
    made = pupil.vector(captions, torch.randn(x.shape, generator=rng))
    steps = torch.randint(len(pupil.diffusion.alpha_bar) - 1, (len(x),), generator=rng)
    alpha_bar, noise = pupil.diffusion.alpha_bar[steps], torch.randn(x.shape, generator=rng).to(x.device)
    real, made = (add_noise(side, noise, alpha_bar.view(-1, 1, 1, 1)) for side in (x, made))
    return (captions, alpha_bar), real, made


class VectorDiscriminator(nn.Module):
    """From captions, amounts of noise and noisy vectors to one number each: high for real.

    A denoiser knows what vectors of dogs look like. So this begins as a denoiser, and looks at what lies
    between the layers of that (Sauer et al., "Fast High-Resolution Image Synthesis with Latent Adversarial Diffusion
    Distillation", SIGGRAPH Asia 2024; there the denoiser stays as it is, here it learns on).

    Args:
        denoiser: a trained one; a copy of it is taken.
        features: of the vector.
    """

    def __init__(self, denoiser: VectorDenoiser, features: int = 256):
        super().__init__()
        self.denoiser = copy.deepcopy(denoiser).requires_grad_(True)
        layers = self.denoiser.network
        self.features = nn.Linear(layers.begin.out_features * (len(layers.network) - 1), features)
        self.caption = CaptionEmbedding(denoiser.language, features)
        self.real = nn.Sequential(nn.LayerNorm(features), nn.SiLU(), nn.Linear(features, 1))

    def forward(self, known: tuple[Sequence[str], Tensor], x: Tensor) -> Tensor:
        """Captions and alpha_bar ``(n,)``, and x under so much noise, ``(n, ...)``, to logits ``(n,)``."""
        captions, alpha_bar = known
        depths = self.denoiser.network.depths(captions, self.denoiser.seen(x, alpha_bar))
        return self.real(self.features(depths) + self.caption(captions))[:, 0]
