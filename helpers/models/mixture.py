"""A mixture of Gaussians: what one could assume of P(picture | caption) before networks learned to bend.

    P(x | y) = sum over k of P(k | y) N(x; mean_k, covariance_k)

Each component is a cloud around a mean picture; the caption says which clouds are likely.
"""

from collections.abc import Sequence

import torch
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor

from helpers.captions import Language
from helpers.layers import choose, latent

DIRECTIONS = 256  # in which pictures vary most; the rest of a picture of 16 pixels stands still, and nobody sees it
NATS = 1.0  # a picture: what a round of fitting must gain, of some thousands, for another one to follow


class MixtureOfGaussians:
    """A mixture fitted to pictures by expectation-maximisation (Dempster et al. 1977), through scikit-learn.

    Args:
        language: of the captions.
        components: how many Gaussians, each with a full covariance in the directions in which pictures vary most.

    Scikit-learn works on the CPU, and so do all of its tensors.
    Its z is one normal number that chooses the component, then one for each direction.
    """

    def __init__(self, language: Language, components: int):
        self.language = language
        self.components = components

    def fit(self, pictures: Tensor, attributes: Tensor, rng: torch.Generator) -> "MixtureOfGaussians":
        """Fit the clouds to pictures ``(n, 3, s, s)`` in [0, 1], and learn which go with which attributes ``(n, A)``.

        Raises:
            ValueError: fewer pictures than directions, which leaves even one covariance undetermined.
        """
        flat = pictures.flatten(1).cpu().double().numpy()
        directions = min(DIRECTIONS, flat.shape[1])
        if len(flat) < directions:
            raise ValueError(f"a covariance of {directions} numbers needs more than {len(flat)} pictures")
        seed = int(torch.randint(2**31, (), generator=rng))
        self.pca = PCA(directions, svd_solver="covariance_eigh").fit(flat)
        self.mixture = GaussianMixture(
            self.components, reg_covar=1e-5, tol=NATS, max_iter=30, init_params="k-means++", random_state=seed
        )
        self.mixture.fit(self.pca.transform(flat))
        self.shape = pictures.shape[1:]
        self.latent_shape = (1 + directions,)
        self.means = torch.tensor(self.pca.inverse_transform(self.mixture.means_)).float()  # (k, d)
        roots = torch.linalg.cholesky(torch.tensor(self.mixture.covariances_))  # (k, directions, directions)
        self.roots = (torch.tensor(self.pca.components_).T @ roots).float()  # (k, d, directions)
        self.attributes = attributes.cpu()
        self.responsibilities = torch.tensor(self.mixture.predict_proba(self.pca.transform(flat))).float()  # (n, k)
        return self

    def log_density(self, pictures: Tensor) -> Tensor:
        """log P(picture) without a caption, in the directions of the clouds: ``(n, 3, s, s)`` to nats ``(n,)``."""
        flat = pictures.flatten(1).cpu().double().numpy()
        return torch.tensor(self.mixture.score_samples(self.pca.transform(flat))).float()

    def weights(self, captions: Sequence[str]) -> Tensor:
        """P(component | caption), ``(n, k)``: the mean responsibility for the training pictures that fit."""
        self.language.encode(captions)  # to say at once what is wrong with them
        rows = {}
        for caption in set(captions):
            fits = self.language.fits(self.attributes, [caption] * len(self.attributes))
            rows[caption] = self.responsibilities[fits].mean(0)
        return torch.stack([rows[caption] for caption in captions])

    def sample(self, captions: Sequence[str], z: Tensor | None = None, rng: torch.Generator | None = None) -> Tensor:
        """Pictures ``(n, 3, s, s)``, clipped to [0, 1]; z is standard normal, and drawn with rng if None."""
        z = latent(z, len(captions), self.latent_shape, rng).cpu()
        share = torch.special.ndtr(z[:, 0].double()).clamp(max=1 - 1e-9)  # uniform in [0, 1)
        component = choose(self.weights(captions).log(), share)
        flat = torch.stack(
            [self.means[k] + self.roots[k] @ row for k, row in zip(component.tolist(), z[:, 1:], strict=True)]
        )
        return flat.unflatten(1, self.shape).clamp(0, 1)
