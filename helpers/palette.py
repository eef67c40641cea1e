"""Pictures as rows of numbered colours: a box of crayons, and which crayon goes where.

A *palette* is a tensor ``(k, 3)`` of colours in [0, 1]. *Tokens* are int64 numbers of colours, one for each pixel, in
raster order: row after row, each from left to right.
"""

import torch
from sklearn.cluster import MiniBatchKMeans
from torch import Tensor


def fit(pictures: Tensor, colours: int, rng: torch.Generator) -> Tensor:
    """The ``colours`` colours that stand best for all the pixels of some pictures, by k-means (Lloyd 1982).

    Args:
        pictures: ``(n, 3, s, s)`` in [0, 1].
        colours: how many.
        rng: the source of randomness.

    Returns:
        ``(colours, 3)`` float32, from dark to light.
    """
    seed = int(torch.randint(2**31, (), generator=rng))
    pixels = pictures.movedim(1, -1).reshape(-1, 3)
    clusters = MiniBatchKMeans(colours, batch_size=8192, n_init=1, random_state=seed).fit(pixels.cpu().numpy())
    palette = torch.tensor(clusters.cluster_centers_, dtype=torch.float32).clamp(0, 1)
    return palette[palette.sum(1).argsort()]


def to_tokens(pictures: Tensor, palette: Tensor) -> Tensor:
    """The nearest colour of the palette for each pixel: ``(n, 3, s, s)`` to ``(n, s * s)``."""
    pixels = pictures.movedim(1, -1).flatten(1, 2)  # (n, s * s, 3)
    return torch.cdist(pixels, palette).argmin(-1)


def to_pictures(tokens: Tensor, palette: Tensor) -> Tensor:
    """The picture that each row of tokens paints: ``(n, s * s)`` to ``(n, 3, s, s)``.

    Raises:
        ValueError: the number of tokens is not a square.
    """
    size = round(tokens.shape[1] ** 0.5)
    if size * size != tokens.shape[1]:
        raise ValueError(f"{tokens.shape[1]} tokens do not fill a square picture; {size * size} would")
    return palette[tokens].unflatten(1, (size, size)).movedim(-1, 1).contiguous()
