"""Checks of the exercises of ``03_pixel_independence``."""

import math

import torch
from torch import Tensor

from helpers.checks import check, require


def _tables() -> list[Tensor]:
    """Distributions over small pictures, the last with three colours and no symmetry."""
    columns = torch.zeros(2, 2, 2, 2)
    columns[1, 0, 1, 0] = columns[0, 1, 0, 1] = 0.5
    uneven = torch.rand(3, 3, 3, generator=torch.Generator().manual_seed(0)) ** 3
    return [columns, uneven / uneven.sum()]


def _marginals(p: Tensor) -> list[Tensor]:
    return [p.sum([other for other in range(p.ndim) if other != axis]) for axis in range(p.ndim)]


@check("every pixel keeps its own shares, and nothing else is kept.")
def independent(answer) -> None:
    """The product of the marginals of a table, of the same shape."""
    for p in _tables():
        value = answer(p)
        require(isinstance(value, Tensor), f"the answer should be a table, not {type(value).__name__}")
        require(
            value.shape == p.shape,
            f"for a table of shape {tuple(p.shape)} the answer should have that shape too, not {tuple(value.shape)}",
        )
        require(not torch.allclose(value, p, atol=1e-6), "that is p itself: its pixels still know of each other")
        require(
            p.ndim != 4 or not torch.allclose(value.sum(), torch.tensor(16.0), atol=1e-3),
            "you took each marginal for 1; sum p over all axes but one",
        )
        require(
            abs(value.sum().item() - 1) < 1e-4,
            f"your table sums to {value.sum():.3f}. Multiply the marginals: do not add them",
        )
        uniform = torch.full_like(p, 1 / p.numel())
        require(
            p.ndim == 4 or not torch.allclose(value, uniform, atol=1e-5),
            "you made all pictures equally likely; a pixel that is mostly black must stay so",
        )
        require(
            all(torch.allclose(a, b, atol=1e-5) for a, b in zip(_marginals(value), _marginals(p), strict=True)),
            "a pixel has other shares than in p: does every marginal stand at its own axis?",
        )
        product = torch.einsum("a,b,c,d->abcd" if p.ndim == 4 else "a,b,c->abc", *_marginals(p))
        require(torch.allclose(value, product, atol=1e-5), "the marginals are right, and yet some pixels still agree")


@check("what the pixels have by themselves, minus what they have together: the bits that they share.")
def total_correlation(answer) -> None:
    """Sum of the marginal entropies minus the joint entropy, in bits."""
    for p in _tables():
        value = answer(p)
        value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        require(isinstance(value, float | int), f"the answer should be one number, not {value!r}")
        alone = sum(torch.special.entr(m).sum().item() for m in _marginals(p)) / math.log(2)
        whole = torch.special.entr(p).sum().item() / math.log(2)
        right = alone - whole

        def is_near(wrong: float, value: float = value, right: float = right) -> bool:
            return math.isclose(value, wrong, rel_tol=1e-3) and not math.isclose(wrong, right, rel_tol=1e-3)

        require(not is_near(right * math.log(2)), f"{value:.3f} is right in nats; divide by log 2 for bits")
        require(not is_near(-right), "the sign: what pixels share is never less than nothing. Which sum is larger?")
        require(not is_near(alone), "that is the entropy of the pixels one by one; take the picture's from it")
        require(not is_near(whole), "that is the entropy of the picture; compare it with the pixels' one by one")
        require(
            not is_near(alone / p.ndim - whole) and not is_near(right / p.ndim),
            "you took a mean over the pixels; their bits add up",
        )
        require(
            math.isclose(value, right, rel_tol=1e-3, abs_tol=1e-5),
            f"you give {value:.3f} bits; one by one the pixels have {alone:.3f}, the picture {whole:.3f}",
        )


@check("keep what agrees with the pixels so far, add up what may follow, and make it sum to 1 again.")
def next_pixel(answer) -> None:
    """P(next pixel | pixels so far), ``(k,)``."""
    for p, known in ((_tables()[0], (1, 0)), (_tables()[1], ()), (_tables()[1], (2,)), (_tables()[1], (0, 1))):
        value = answer(p, known)
        rest = p[known]
        joint = rest.flatten(1).sum(1) if rest.ndim > 1 else rest
        right = joint / joint.sum()
        require(
            isinstance(value, Tensor) and value.shape == right.shape,
            f"with {len(known)} pixels known the answer should be {len(right)} numbers, one for each colour of the "
            "next pixel. Add up over the pixels that come after it",
        )
        require(
            not (len(known) and torch.allclose(value, joint, atol=1e-6)),
            f"your numbers sum to {value.sum():.3f}: that is P(next and known). Divide by P(known)",
        )
        marginal = _marginals(p)[len(known)]
        require(
            not (len(known) and torch.allclose(value, marginal, atol=1e-5) and not torch.allclose(marginal, right)),
            "that is the pixel's marginal: it does not look at what is known",
        )
        require(
            not torch.allclose(value, joint.softmax(0), atol=1e-5),
            "these are probabilities already: a sum turns them into shares, not a softmax",
        )
        require(
            torch.allclose(value, right, atol=1e-5),
            f"for pixels {known} known you give {[round(v, 3) for v in value.tolist()]}, and it should be "
            f"{[round(v, 3) for v in right.tolist()]}",
        )
