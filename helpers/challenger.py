"""A model for the challenge, to begin with: copy it, and make it better. The rules are in docs/challenge.md.

It is a variational autoencoder (notebook 5). Whatever you write instead needs these four things and no more: ``build``,
``BUDGET``, and a model with ``loss`` and ``sample``.
"""

import torch
from torch import nn

from helpers import dogs, layers
from helpers.models.vae import kl_divergence, log_likelihood, reparameterise

BUDGET = {"lr": 4e-3, "muon_lr": 0.02, "ema_decay": 0.99}  # options of helpers.training.train, all but the steps


class Challenger(nn.Module):
    """Draws dogs of 16 pixels from a caption and sixteen normal numbers."""

    latent_shape = (16,)

    def __init__(self):
        super().__init__()
        self.encoder = layers.PictureEncoder(dogs.LANGUAGE, 32, width=48)
        self.decoder = layers.PictureDecoder(dogs.LANGUAGE, 16, width=48)

    def loss(self, pictures, captions, rng):
        """What is minimised, for pictures (n, 3, 16, 16) in [0, 1] and n captions."""
        mu, log_var = self.encoder(captions, pictures).chunk(2, dim=1)
        drawn = self.decoder(captions, reparameterise(mu, log_var, rng))
        return (kl_divergence(mu, log_var) - log_likelihood(pictures, drawn)).mean() / pictures[0].numel()

    @torch.no_grad()
    def sample(self, captions, z=None, rng=None):
        """Pictures (n, 3, 16, 16) in [0, 1], one for each caption."""
        z = layers.latent(z, len(captions), self.latent_shape, rng)
        return self.decoder(captions, z).clamp(0, 1)


def build(rng):
    """The untrained model. Torch's own generator has been given the seed already; ``rng`` is for your own draws."""
    return Challenger()
