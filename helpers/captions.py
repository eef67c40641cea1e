"""A language small enough to be known completely.

The captions of a world are a finite list: every subset of its nameable attributes, each said in exactly one way. So one
can ask of every caption which scenes fit it and how many bits it leaves open, and get an exact answer.
"""

import difflib
import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

Attributes = Mapping[str, tuple[str, ...]]


class Language:
    """All captions of one world.

    An *attribute* is a property with finitely many values, such as ``coat``. Words can name some attributes; others,
    such as the skyline behind a dog, no word can name. All values are equally likely and independent, so the scenes
    that fit a caption are uniform over whatever the caption leaves open.

    Args:
        nameable: the attributes that a caption may name, each with its values.
        unnameable: the attributes that no caption can name, each with its values.
        write: gives the caption that says exactly ``named``, a mapping from some nameable attributes to one value each.
            Two different mappings must give two different captions.
    """

    def __init__(self, nameable: Attributes, unnameable: Attributes, write: Callable[[Mapping[str, str]], str]):
        self.nameable = dict(nameable)
        self.attributes = {**nameable, **unnameable}
        self._write = write
        choices = [(None, *values) for values in nameable.values()]
        subsets = [
            {name: value for name, value in zip(nameable, choice, strict=True) if value is not None}
            for choice in itertools.product(*choices)
        ]
        self._named = {write(named): named for named in subsets}
        if len(self._named) != len(subsets):
            raise ValueError("`write` says two different things in the same words")
        self.captions = tuple(sorted(self._named, key=lambda text: (len(self._named[text]), text)))
        self.vocabulary = tuple(sorted({word for text in self.captions for word in text.split()}))

    def write(self, named: Mapping[str, str]) -> str:
        """The caption that names exactly these attributes, e.g. ``{"coat": "white"}``.

        Raises:
            ValueError: an attribute or a value that this world does not have.
        """
        for name, value in named.items():
            if name not in self.nameable:
                raise ValueError(f"no caption can name {name!r}; captions can name {', '.join(self.nameable)}")
            if value not in self.nameable[name]:
                raise ValueError(f"{name} cannot be {value!r}; it is one of {', '.join(self.nameable[name])}")
        return self._write(named)

    def parse(self, caption: str) -> dict[str, str]:
        """What a caption names, as ``{attribute: value}``. Case, full stops and extra spaces do not matter.

        Raises:
            ValueError: with the list of words where one is unknown, with the nearest caption where the order is wrong.
        """
        words = re.sub(r"[.,!]", " ", caption).lower().split()
        text = " ".join(words)
        if text in self._named:
            return dict(self._named[text])
        unknown = [word for word in words if word not in self.vocabulary]
        if unknown:
            raise ValueError(
                f"this world does not know the word {unknown[0]!r} in {caption!r}. "
                f"It knows: {', '.join(self.vocabulary)}"
            )
        for name, values in self.nameable.items():
            named = [value for value in values if value in words]
            if len(named) > 1:
                raise ValueError(f"{caption!r} names two values of {name}: {' and '.join(named)}. Keep one.")
        nearest = min(
            self.captions,
            key=lambda known: (
                len(set(known.split()) ^ set(words)),
                -difflib.SequenceMatcher(None, known, text).ratio(),
            ),
        )
        raise ValueError(f"{caption!r} is not a caption of this world. Did you mean {nearest!r}?")

    def encode(self, captions: Sequence[str]) -> Tensor:
        """Captions as numbers, for a network.

        Returns:
            ``(n, A)`` int64, a column for each nameable attribute: 0 where the caption leaves it open, k + 1 where it
            names value k.
        """
        named = self._named_by(captions)
        rows = [[self._index(name, named[caption]) + 1 for name in self.nameable] for caption in captions]
        return torch.tensor(rows, dtype=torch.int64).reshape(len(rows), len(self.nameable))

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """The words of captions as numbers, for a model that reads word by word.

        Returns:
            ``(n, w)`` int64, with w the number of words in the longest caption there is: k + 1 for word k of
            ``vocabulary``, and 0 after the last word.
        """
        longest = max(len(text.split()) for text in self.captions)
        number = {word: k for k, word in enumerate(self.vocabulary, start=1)}
        texts = {caption: self._write(named) for caption, named in self._named_by(captions).items()}
        rows = [[number[word] for word in texts[caption].split()] for caption in captions]
        return torch.tensor([row + [0] * (longest - len(row)) for row in rows]).reshape(len(rows), longest)

    def sample_answers(self, n_or_captions: int | Sequence[str], rng: torch.Generator) -> Tensor:
        """Random answers, uniform over what each caption leaves open.

        Args:
            n_or_captions: a list of captions, which gives one answer for each; or how many for the caption that names
                nothing.
            rng: the source of randomness.

        Returns:
            ``(n, A)`` int64, the index of the value in each column of ``attributes``.
        """
        captions = [self.captions[0]] * n_or_captions if isinstance(n_or_captions, int) else n_or_captions
        named = self.encode(captions)  # (n, nameable), 0 where left open
        chosen = torch.stack([torch.randint(len(v), (len(named),), generator=rng) for v in self.attributes.values()], 1)
        chosen[:, : named.shape[1]] = torch.where(named > 0, named - 1, chosen[:, : named.shape[1]])
        return chosen

    def answers(self, caption: str) -> Tensor:
        """Every combination of attribute values that fits a caption.

        Returns:
            ``(m, A)`` int64, the index of the value in each column of ``attributes``; rows in lexicographic order.
        """
        named = self.parse(caption)
        open_values = [
            [self._index(name, named)] if name in named else range(len(values))
            for name, values in self.attributes.items()
        ]
        return torch.tensor(list(itertools.product(*open_values)))

    def entropy(self, caption: str | None = None) -> float:
        """Bits left open: H(x) without a caption, H(x given y = ``caption``) with one.

        The entropy of a uniform choice among m answers is log2 m.
        """
        named = {} if caption is None else self.parse(caption)
        return math.fsum(math.log2(len(values)) for name, values in self.attributes.items() if name not in named)

    def fits(self, attributes: Tensor, captions: Sequence[str]) -> Tensor:
        """Whether each row of ``attributes`` ``(n, A)`` does what the caption beside it says, ``(n,)`` bool."""
        wanted = self.encode(captions).to(attributes.device)
        shown = attributes[:, : len(self.nameable)] + 1
        return ((wanted == 0) | (wanted == shown)).all(dim=1)

    def describe(self, attributes: Tensor, names: Sequence[str] | None = None) -> list[str]:
        """Captions for scenes: each row of ``attributes`` ``(n, A)`` named by ``names`` (all that can be, if None)."""
        names = list(self.nameable) if names is None else list(names)
        columns = list(self.attributes)
        return [
            self.write({name: self.attributes[name][int(row[columns.index(name)])] for name in names})
            for row in attributes
        ]

    def sample(self, n: int, rng: torch.Generator, p_named: float = 0.5) -> list[str]:
        """``n`` random captions: each attribute is named with probability ``p_named``, each value equally likely."""
        named = torch.rand(n, len(self.nameable), generator=rng) < p_named
        values = [torch.randint(len(v), (n,), generator=rng).tolist() for v in self.nameable.values()]
        return [
            self._write(
                {name: self.nameable[name][values[a][i]] for a, name in enumerate(self.nameable) if named[i, a]}
            )
            for i in range(n)
        ]

    def _named_by(self, captions: Sequence[str]) -> dict[str, dict[str, str]]:
        """What each of the different captions in a list names."""
        if isinstance(captions, str):
            raise TypeError(f"a list of captions is needed, not one text: try [{captions!r}]")
        return {caption: self.parse(caption) for caption in set(captions)}

    def _index(self, name: str, named: Mapping[str, str]) -> int:
        return self.nameable[name].index(named[name]) if name in named else -1
