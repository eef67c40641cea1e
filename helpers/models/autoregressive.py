"""Pixel by pixel: a picture as a text in a language of colours, written by a small GPT.

The words of the caption come first, then the pixels in raster order, each the number of a colour in a palette (Chen et
al., "Generative Pretraining from Pixels", ICML 2020). The model gives P(next token | all tokens before it), so

    P(picture | caption) = product over i of P(pixel i | caption, pixels before i).
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from tqdm.auto import tqdm

from helpers import layers
from helpers import palette as crayons
from helpers.captions import Language


def angles(coordinates: Tensor, numbers: int) -> Tensor:
    """By what angle the pairs of a query or key turn at each place (rotary embedding, Su et al. 2021, section 3.2).

    Args:
        coordinates: ``(length, axes)``, where each place is: one axis for text, row and column for pictures.
        numbers: of a query; the axes share its pairs equally.

    Returns:
        ``(length, numbers / 2)`` in radians; from a quarter turn a step down to a sixty-fourth of a turn.
    """
    speeds = math.pi / 2 * torch.logspace(0, -4, numbers // 2 // coordinates.shape[1], base=2.0)
    return (coordinates[:, :, None] * speeds).flatten(1)


def turn(x: Tensor, angle: Tensor) -> Tensor:
    """Turns each pair of numbers of each head: ``(..., t, width)`` by ``(t, d / 2)``, if a head has d numbers.

    Products of what was turned then depend on distances alone.
    """
    a, b = x.unflatten(-1, (-1, 2, angle.shape[-1])).unbind(-2)  # (..., t, heads, d / 2)
    cos, sin = angle.cos()[:, None], angle.sin()[:, None]
    return torch.stack([a * cos - b * sin, a * sin + b * cos], dim=-2).flatten(-3)


def neighbours(size: int, reach: int) -> Tensor:
    """Which pixels lie around each and come before it in raster order.

    Args:
        size: of the picture, in pixels.
        reach: how many rows up, and how many columns to either side.

    Returns:
        ``(size * size, 2 * reach * (reach + 1))`` int64; ``size * size`` stands for those beyond the edge.
    """
    pixels = F.pad(torch.arange(size * size).view(size, size), (reach, reach, reach, 0), value=size * size)
    windows = pixels.unfold(0, reach + 1, 1).unfold(1, 2 * reach + 1, 1)  # (size, size, reach + 1, 2 * reach + 1)
    return windows.flatten(2).flatten(0, 1)[:, : 2 * reach * (reach + 1)]  # the pixel itself and what follows are last


def causal_attention(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Every place takes means of the values at itself and before it, never ahead (Vaswani et al. 2017, section 3.2).

    Written out, as ``F.scaled_dot_product_attention`` is no quicker on a processor, and slower in 16 bits.

    Args:
        query: ``(n, t, width)``, of the last t of s places.
        key, value: ``(n, s, width)``, of all s places.
        heads: how many means, each of its own part of the width.

    Returns:
        ``(n, t, width)``.
    """
    query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))  # (n, heads, t, d)
    agreement = query @ key.mT / math.sqrt(query.shape[-1])  # (n, heads, t, s)
    (t, s), device = agreement.shape[-2:], agreement.device
    ahead = torch.ones(t, s, dtype=torch.bool, device=device).triu(1 + s - t)
    mixed = agreement.masked_fill(ahead, -torch.inf).softmax(-1) @ value  # (n, heads, t, d)
    return mixed.transpose(1, 2).flatten(2)


class CausalSelfAttention(nn.Module):
    """Attention of every place to itself and to the places before it.

    Args:
        width: numbers at each place.
        heads: of ``causal_attention``; must divide ``width``.
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.query_key_value = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, angle: Tensor, cache: "Cache | None" = None) -> Tensor:
        """``(n, t, width)`` to the same shape; ``angle`` ``(t, width / heads / 2)`` says where the places are.

        With a cache, x are the places that follow those in it.
        """
        query, key, value = self.query_key_value(x).chunk(3, dim=-1)  # each (n, t, width)
        query, key = turn(query, angle), turn(key, angle)
        if cache is not None:
            key, value = cache.append(key, value)  # now of all places so far
        return self.out(causal_attention(query, key, value, self.heads))


class Block(nn.Module):
    """Attention, which moves information between places, then a small network at every place by itself.

    Each adds to its input what it has found (He et al. 2016), and reads its input normalised (Ba et al. 2016).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.attention = CausalSelfAttention(width, heads)
        self.network = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.norm_1, self.norm_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        nn.init.zeros_(self.attention.out.weight)  # a block begins by changing nothing
        nn.init.zeros_(self.network[-1].weight)

    def forward(self, x: Tensor, angle: Tensor, cache: "Cache | None" = None) -> Tensor:
        """``(n, t, width)`` to the same shape."""
        x = x + self.attention(self.norm_1(x), angle, cache)
        return x + self.network(self.norm_2(x))


class Cache:
    """Keys and values of the places that a layer has seen, so that none is computed twice.

    Args:
        length: the most places there will be.

    Attributes:
        seen: how many places it holds.
    """

    def __init__(self, length: int):
        self.length, self.seen = length, 0

    def append(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Adds those of new places, ``(n, t, width)`` each, and returns those of all places so far."""
        if self.seen == 0:  # room for all is set aside once: to join tensors at every step takes longer
            n, _, width = key.shape
            self.keys, self.values = key.new_empty(2, n, self.length, width)
        start, self.seen = self.seen, self.seen + key.shape[1]
        self.keys[:, start : self.seen], self.values[:, start : self.seen] = key, value
        return self.keys[:, : self.seen], self.values[:, : self.seen]


class GPT(nn.Module):
    """A causal transformer over tokens: what may come next, at every place (Radford et al. 2018).

    Args:
        vocabulary: how many different tokens there are.
        coordinates: ``(length, axes)``, where each place of the longest sequence is.
        width, layers, heads: its size.
    """

    def __init__(self, vocabulary: int, coordinates: Tensor, width: int = 128, layers: int = 4, heads: int = 1):
        super().__init__()
        self.token = nn.Embedding(vocabulary, width)
        self.place = nn.Embedding(len(coordinates), width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.next_token = nn.Linear(width, vocabulary)
        self.register_buffer("angle", angles(coordinates, width // heads), persistent=False)
        nn.init.normal_(self.token.weight, std=0.1)
        nn.init.normal_(self.place.weight, std=0.1)
        nn.init.zeros_(self.next_token.weight)

    def forward(self, tokens: Tensor, caches: "list[Cache] | None" = None, besides: Tensor | None = None) -> Tensor:
        """Logits of the next token after each place: ``(n, t)`` int64 to ``(n, t, vocabulary)``.

        With caches, one a layer, ``tokens`` are those that follow what the caches have seen. ``besides``
        ``(n, m, width)`` is what the last m places are told in addition.

        Raises:
            ValueError: the sequence is too long.
        """
        start = caches[0].seen if caches else 0
        end = start + tokens.shape[1]
        if end > len(self.angle):
            raise ValueError(f"this GPT reads {len(self.angle)} tokens, not {end}")
        x = self.token(tokens) + self.place.weight[start:end]  # (n, t, width)
        if besides is not None:
            x = x + F.pad(besides, (0, 0, x.shape[1] - besides.shape[1], 0))
        for layer, block in enumerate(self.blocks):
            x = block(x, self.angle[start:end], caches[layer] if caches else None)
        return self.next_token(self.norm(x))

    def caches(self) -> list[Cache]:
        """An empty cache for each layer."""
        return [Cache(len(self.angle)) for _ in self.blocks]


def next_token_loss(model: Callable[[Tensor], Tensor], tokens: Tensor, counted: Tensor) -> Tensor:
    """-log P(text) in nats: what each token costs, given the true ones before it, summed over a text.

    Args:
        model: logits of the next token after each place, ``(n, t - 1)`` int64 to ``(n, t - 1, k)``.
        tokens: ``(n, t)`` int64; the first of each text is given.
        counted: ``(n, t)`` bool, False for what only fills a row up.

    Returns:
        ``(n,)``.
    """
    nats = F.cross_entropy(model(tokens[:, :-1]).transpose(1, 2), tokens[:, 1:], reduction="none")  # (n, t - 1)
    return (nats * counted[:, 1:]).sum(1)


def write(
    next_logits: Callable[[Tensor], Tensor],
    tokens: Tensor,
    z: Tensor,
    temperature: float = 1.0,
    top_k: int | None = None,
) -> Tensor:
    """Texts that go on with those that were begun: look, choose, write down, look again.

    Args:
        next_logits: logits ``(n, k)`` of what may follow all the tokens so far, ``(n, any)``.
        tokens: ``(n, t)`` int64, what was begun; t may be 0.
        z: ``(n, steps)``, uniform in [0, 1), chooses among the tokens, a column at each step.
        temperature, top_k: as in ``layers.choose``.

    Returns:
        ``(n, t + steps)`` int64.
    """
    for u in z.unbind(1):
        token = layers.choose(next_logits(tokens), u, temperature, top_k)  # (n,)
        tokens = torch.cat([tokens, token[:, None]], dim=1)
    return tokens


class PixelByPixel(nn.Module):
    """P(picture | caption), a pixel at a time.

    Args:
        language: of the captions.
        palette: ``(k, 3)`` colours in [0, 1].
        size: of the pictures, in pixels.
        width, layers: size of the GPT.
        network: the class of the GPT, for a lesson in which a student writes one.

    Attention finds the pixel above a place only once it has learned where to look. So each place is also told directly
    what lies around the next pixel, as in the first layer of a PixelCNN (van den Oord, Kalchbrenner and Kavukcuoglu,
    "Pixel Recurrent Neural Networks", ICML 2016, section 3.4, mask A).

    Its z is one uniform number a pixel, which chooses the colour: the same captions and z give the same pictures.
    """

    REACH = 3  # rows and columns around the next pixel

    def __init__(
        self,
        language: Language,
        palette: Tensor,
        size: int,
        width: int = 128,
        layers: int = 4,
        network: Callable[..., nn.Module] = GPT,
    ):
        super().__init__()
        self.language, self.size = language, size
        self.latent_shape = (size * size,)
        self.register_buffer("palette", palette)
        self.words = language.tokens(language.captions[:1]).shape[1]
        vocabulary = len(palette) + 1 + len(language.vocabulary)  # colours first, then "no word", then the words
        above = torch.stack([-torch.ones(self.words), torch.arange(self.words)], dim=1)  # the words, as a row on top
        pixels = torch.cartesian_prod(torch.arange(size), torch.arange(size))  # raster order: (row, column)
        self.gpt = network(vocabulary, torch.cat([above, pixels]), width, layers)
        self.register_buffer("neighbours", neighbours(size, self.REACH), persistent=False)
        self.around = nn.Linear(4 * self.neighbours.shape[1], width, bias=False)
        self._start_from_what_is_alike()

    @torch.no_grad()
    def _start_from_what_is_alike(self) -> None:
        """Alike colours get alike vectors, and so do pixels in one row or one column. Training may change them all."""
        token, place = self.gpt.token.weight, self.gpt.place.weight
        width = token.shape[1]
        token[: len(self.palette)] += (2 * self.palette - 1) @ torch.randn(3, width) / 3
        rows, columns = 0.1 * torch.randn(self.size, 1, width), 0.1 * torch.randn(1, self.size, width)
        place[self.words :] = (rows + columns).flatten(0, 1)

    def tokens(self, captions: Sequence[str], colours: Tensor | None = None) -> Tensor:
        """The sequence that the GPT reads: the words of ``n`` captions, then ``(n, t)`` colours, in raster order."""
        words = self.language.tokens(captions).to(self.palette.device) + len(self.palette)
        return words if colours is None else torch.cat([words, colours], dim=1)

    def loss(self, pictures: Tensor, captions: Sequence[str], rng: torch.Generator | None = None) -> Tensor:
        """Mean of -log P(pixel | caption, pixels before it), in nats a pixel; pictures are ``(n, 3, s, s)``.

        Nothing is drawn here: ``rng`` stands for those models whose loss draws.
        """
        texts = F.pad(crayons.to_tokens(pictures, self.palette), (1, 0))  # the 0 in front stands for the caption
        nats = next_token_loss(lambda before: self.logits(captions, before[:, 1:]), texts, torch.ones_like(texts))
        return nats.mean() / self.size**2

    def logits(self, captions: Sequence[str], colours: Tensor) -> Tensor:
        """Of every colour at pixels 0 to t, given t colours: ``(n, t)`` int64 to ``(n, t + 1, k)``.

        Raises:
            ValueError: all pixels are given, and none is left to predict.
        """
        if colours.shape[1] >= self.size**2:
            raise ValueError(f"give at most {self.size**2 - 1} colours: after pixel {self.size**2} there is none")
        logits = self.gpt(self.tokens(captions, colours), besides=self.look_around(colours))
        return logits[:, self.words - 1 :, : len(self.palette)]

    def look_around(self, colours: Tensor, first: int = 0) -> Tensor:
        """What pixels ``first`` to t are told of those around: ``(n, t)`` int64 to ``(n, t + 1 - first, width)``."""
        t = colours.shape[1]
        known = F.pad(2 * self.palette - 1, (0, 1), value=1.0)[colours]  # (n, t, 4): a colour, and a 1 for "known"
        every = F.pad(known, (0, 0, 0, self.size**2 + 1 - t))  # (n, size * size + 1, 4)
        return self.around(every[:, self.neighbours[first : t + 1]].flatten(2))

    def next_colour(self, captions: Sequence[str], cached: bool = True) -> Callable[[Tensor], Tensor]:
        """For ``write``: a function from the colours so far ``(n, t)`` to the logits of the next ``(n, k)``.

        Its colours must be longer at every call, and go on with those of the last one; unless it is not ``cached``,
        and computes keys and values of all places again at every call.
        """
        caches = self.gpt.caches() if cached else None

        @torch.no_grad()
        def next_logits(colours: Tensor) -> Tensor:
            read = caches[0].seen if cached else 0  # places of the sequence
            besides = self.look_around(colours, max(0, read + 1 - self.words))
            return self.gpt(self.tokens(captions, colours)[:, read:], caches, besides)[:, -1, : len(self.palette)]

        return next_logits

    def sample(
        self,
        captions: Sequence[str],
        z: Tensor | None = None,
        rng: torch.Generator | None = None,
        temperature: float = 1.0,
        top_k: int | None = None,
        known: Tensor | None = None,
        cached: bool = True,
        progress: bool = False,
    ) -> Tensor:
        """Pictures ``(n, 3, s, s)`` in [0, 1].

        Args:
            captions: n captions.
            z: ``(n, s * s)`` uniform in [0, 1), or None to draw it.
            rng: the source of randomness if z is None.
            temperature, top_k: as in ``layers.choose``.
            known: ``(n, t)`` colours of the first t pixels, to complete a picture that was begun.
            cached: keep keys and values of the places that were read; without, all are computed again at every step.
            progress: whether to show a progress bar.

        Raises:
            ValueError: a caption of another language, or z or known of a wrong shape.
        """
        z = layers.latent(z, len(captions), self.latent_shape, rng, torch.rand)
        if known is None:
            known = torch.empty(len(captions), 0, dtype=torch.int64)
        if known.ndim != 2 or len(known) != len(captions) or known.shape[1] > z.shape[1]:
            raise ValueError(
                f"known must hold {len(captions)} rows of at most {z.shape[1]} colours, not {tuple(known.shape)}"
            )
        z = z[:, known.shape[1] :]
        next_logits = self.next_colour(captions, cached)
        with tqdm(total=z.shape[1], leave=False, mininterval=0.5, disable=not progress) as bar:

            def ticking(colours: Tensor) -> Tensor:
                bar.update()
                return next_logits(colours)

            colours = write(ticking, known.to(self.palette.device), z, temperature, top_k)
        return crayons.to_pictures(colours, self.palette)
