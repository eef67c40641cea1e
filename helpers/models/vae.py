"""Variational autoencoders: an encoder and a decoder that agree on which vector belongs to which picture.

The decoder with a normal z is a model of pictures, p(x | y) = integral of p(x | z, y) p(z) dz. The integral cannot be
done, but it has a lower bound that an encoder q(z | x, y) makes as tight as it can (Kingma and Welling, "Auto-Encoding
Variational Bayes", ICLR 2014, eq. 3):

    log p(x | y)  >=  E_q[log p(x | z, y)]  -  KL(q(z | x, y) || p(z))
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from helpers.captions import Language
from helpers.layers import PictureDecoder, PictureEncoder, VectorNetwork, latent


def kl_divergence(mu: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mu, exp(log_var)) || N(0, I)) in nats: ``(n, d)`` twice to ``(n,)`` (ibid., appendix B)."""
    return (mu.square() + log_var.exp() - 1 - log_var).sum(1) / 2


def reparameterise(mu: Tensor, log_var: Tensor, rng: torch.Generator) -> Tensor:
    """A draw from N(mu, exp(log_var)) that gradients pass through: ``(n, d)`` twice to ``(n, d)`` (ibid., eq. 4)."""
    return mu + (log_var / 2).exp() * torch.randn(mu.shape, generator=rng).to(mu.device)


def log_likelihood(x: Tensor, mean: Tensor, sigma: float | None = None) -> Tensor:
    """log N(x; mean, sigma^2 I) in nats: ``(n, ...)`` twice to ``(n,)``.

    If sigma is None it is as large as the error of the whole batch, which is the likeliest value (Rybkin et al.,
    "Simple and Effective VAE Training with Calibrated Decoders", ICML 2021, eq. 5).
    """
    error = (x - mean).square().flatten(1)  # (n, numbers in x)
    variance = error.mean() if sigma is None else torch.tensor(sigma**2)
    return -(error / variance + variance.log() + math.log(2 * math.pi)).sum(1) / 2


class VAE(nn.Module):
    """An encoder to a Gaussian, a decoder from it, and the bound that trains both.

    Args:
        encoder: called with captions and x, gives mu and log_var side by side, ``(n, 2 * latent_size)``.
        decoder: called with captions and z, gives the mean of x.
        latent_size: numbers in z.
        sigma: standard deviation of x around the decoder's mean, see ``log_likelihood``.
        beta: weight of the KL term; 1 for the bound itself (Higgins et al., "beta-VAE", ICLR 2017).
    """

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, latent_size: int, sigma: float | None = None, beta: float = 1.0
    ):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.latent_shape = (latent_size,)
        self.sigma, self.beta = sigma, beta

    def encode(self, x: Tensor, captions: Sequence[str]) -> tuple[Tensor, Tensor]:
        """mu and log_var of q(z | x, caption), each ``(n, latent_size)``."""
        mu, log_var = self.encoder(captions, x).chunk(2, dim=1)
        return mu, log_var

    def terms(self, x: Tensor, captions: Sequence[str], rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The two terms of the bound, for one draw of z for each x.

        Returns:
            log p(x | z) in nats ``(n,)``, the KL divergence in nats ``(n,)``, mu and log_var ``(n, latent_size)``.
        """
        mu, log_var = self.encode(x, captions)
        z = reparameterise(mu, log_var, rng)
        return log_likelihood(x, self.decoder(captions, z), self.sigma), kl_divergence(mu, log_var), mu, log_var

    def loss(self, x: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The bound with its sign turned, in nats for each number of x, averaged over the batch."""
        redrawing, kl, _, _ = self.terms(x, captions, rng)
        return (self.beta * kl - redrawing).mean() / x[0].numel()

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, latent_size)``, standard normal, drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng)
        return self.decoder(captions, z).clamp(0, 1)


class TwoStageVAE(nn.Module):
    """A VAE of pictures, and a VAE of its vectors (Dai and Wipf, "Diagnosing and Enhancing VAE Models", ICLR 2019).

    The vectors of real pictures do not fill the normal distribution evenly. The second VAE learns where they are, and
    turns its own normal z into such a vector, which the first turns into a picture.

    Args:
        language: of the captions.
        latent_size: numbers in z, for both.
        size: of the pictures, in pixels.
        width: of the first, see ``PictureDecoder``.
    """

    VECTORS = 4  # of each picture, for the second to learn from while the first still changes

    def __init__(self, language: Language, latent_size: int = 16, size: int = 16, width: int = 64):
        super().__init__()
        self.latent_shape = (latent_size,)
        self.first = VAE(
            PictureEncoder(language, 2 * latent_size, size, width),
            PictureDecoder(language, latent_size, size, width),
            latent_size,
        )
        self.second = VAE(
            VectorNetwork(language, latent_size, 2 * latent_size),
            VectorNetwork(language, latent_size, latent_size),
            latent_size,
        )

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """Both losses added; no gradient passes from the second to the first.

        The second is small and quick: it learns from several vectors of each picture at once.
        """
        redrawing, kl, mu, log_var = self.first.terms(pictures, captions, rng)
        vectors = torch.stack([mu, log_var], dim=1).detach().repeat(self.VECTORS, 1, 1)  # (VECTORS * n, 2, latent_size)
        second = self.second_loss(vectors, list(captions) * self.VECTORS, rng)
        return (kl - redrawing).mean() / pictures[0].numel() + second

    def first_loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The loss of the first alone."""
        return self.first.loss(pictures, captions, rng)

    @torch.no_grad()
    def vectors(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """What ``second_loss`` learns from: mu and log_var of each picture, ``(n, 2, latent_size)``; none is drawn."""
        return torch.stack(self.first.encode(pictures, captions), dim=1)

    def second_loss(self, vectors: Tensor, captions: Sequence[str], rng: torch.Generator) -> Tensor:
        """The loss of the second, for a fresh draw from the Gaussian of each picture."""
        return self.second.loss(reparameterise(*vectors.unbind(1), rng), captions, rng)

    @torch.no_grad()
    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1]; z is ``(n, latent_size)``, standard normal, drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng)
        return self.first.decoder(captions, self.second.decoder(captions, z)).clamp(0, 1)
