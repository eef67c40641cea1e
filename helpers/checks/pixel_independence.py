"""Checks of the exercises of ``03_pixel_independence``."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from helpers.checks import check, require, require_none_of


def _pictures() -> Tensor:
    """Five pictures of three pixels in colours 0 to 3, two of them equal; no pixel has colour 3."""
    return torch.tensor([[0, 1, 2], [0, 1, 2], [1, 1, 0], [2, 0, 0], [0, 2, 1]])


def _shares(tokens: Tensor, colours: int) -> Tensor:
    return F.one_hot(tokens, colours).float().mean(0)


@check("a row for each pixel, a share for each colour, and every row sums to 1.")
def counted_shares(answer) -> None:
    """The share of every colour at every pixel: ``(n, pixels)`` to ``(pixels, colours)``."""
    tokens, colours = _pictures(), 4
    value = answer(tokens, colours)
    right = _shares(tokens, colours)  # (3, 4)
    require(isinstance(value, Tensor), f"the answer should be a tensor, not {type(value).__name__}")
    require(
        value.shape != right.T.shape,
        "you have a row for each colour; turn the table round: a row for each pixel, a column for each colour",
    )
    require(
        value.shape != (len(tokens), colours),
        "you have a row for each picture; count over the pictures, for each pixel by itself",
    )
    require(
        value.shape != (3, 3),
        "one column is missing: a colour that never occurs has a column too, of zeros. Make `colours` columns",
    )
    require(value.shape == right.shape, f"for 3 pixels and 4 colours it should be (3, 4), not {tuple(value.shape)}")
    wrong = {
        "these are counts; divide them by the number of pictures": right * len(tokens),
        "all pixels have the same shares in your table; count each pixel by itself": right.mean(0).expand(3, -1),
        "your table sums to 1 as a whole; every row should, for each pixel has a distribution of its own": right / 3,
    }
    require_none_of(wrong, value, atol=1e-5)
    require(
        torch.allclose(value.double(), right.double(), atol=1e-5),
        f"of the five pictures, pixel 0 has the shares {[round(v, 2) for v in right[0].tolist()]}; "
        f"you give {[round(v, 2) for v in value[0].tolist()]}",
    )


@check("every pixel throws its own die: the shares are kept, and nothing else is.")
def independent_dice(answer) -> None:
    """n pictures, every pixel drawn by itself: ``(pixels, colours)`` to ``(n, pixels)``."""
    shares, n = torch.tensor([[0.7, 0.2, 0.1], [0.2, 0.2, 0.6]]), 20_000
    value = answer(shares, n, torch.Generator().manual_seed(0))
    require(isinstance(value, Tensor), f"the answer should be a tensor, not {type(value).__name__}")
    require(value.shape != (2, n), "you have a row for each pixel; turn it round: a row for each picture")
    require(value.shape == (n, 2), f"{n} pictures of 2 pixels should be ({n}, 2), not {tuple(value.shape)}")
    require(
        not value.is_floating_point() and value.min() >= 0 and value.max() <= 2,
        "a pixel is the number of a colour, here 0, 1 or 2",
    )
    require(
        torch.equal(value, answer(shares, n, torch.Generator().manual_seed(0))),
        "the same generator should give the same draw: pass generator=rng to what draws",
    )
    require(
        (value != value[0]).any(),
        "all your pictures are alike; throw new dice for each of them, and do not always take the likeliest colour",
    )
    found = _shares(value, 3)
    require(
        not torch.allclose(found, torch.full_like(found, 1 / 3), atol=0.02),
        "you draw all colours equally often; the shares should say how often",
    )
    require(
        not torch.allclose(found, shares.mean(0).expand(2, -1), atol=0.02),
        "your pixels all draw from the same shares; each has a row of its own",
    )
    require(
        torch.allclose(found, shares, atol=0.02),
        f"pixel 0 should be colour 0 in {shares[0, 0]:.0%} of the pictures; in yours it is in {found[0, 0]:.0%}",
    )
    both = _shares(3 * value[:, :1] + value[:, 1:], 9).view(3, 3)  # of each two colours together
    require(
        torch.allclose(both, found[0][:, None] * found[1], atol=0.02),
        "the shares are right, and yet your two pixels agree: one die served them both. Throw one for each pixel",
    )


@check("what the pixels have by themselves, minus what they have together: the bits that they share.")
def shared_bits(answer) -> None:
    """Sum of the entropies of the pixels minus that of the picture, in bits."""
    columns = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 1]])
    for tokens, colours in ((columns, 2), (_pictures(), 4)):
        shares = _shares(tokens, colours)
        value = answer(shares, tokens)
        value = value.item() if isinstance(value, Tensor) and value.numel() == 1 else value
        require(isinstance(value, float | int), f"the answer should be one number, not {value!r}")
        counts = tokens.unique(dim=0, return_counts=True)[1]
        alone = torch.special.entr(shares).sum().item() / math.log(2)
        whole = torch.special.entr(counts / len(tokens)).sum().item() / math.log(2)
        right, n, different = alone - whole, len(tokens), len(counts)

        def is_near(wrong: float, value: float = value, right: float = right) -> bool:
            return math.isclose(value, wrong, rel_tol=1e-3) and not math.isclose(wrong, right, rel_tol=1e-3)

        require(not is_near(right * math.log(2)), f"{value:.3f} is right in nats; divide by log 2 for bits")
        require(not is_near(-right), "the sign: what pixels share is never less than nothing. Which sum is larger?")
        require(not is_near(alone), "that is the entropy of the pixels one by one; take the picture's from it")
        require(not is_near(whole), "that is the entropy of the picture; compare it with the pixels' one by one")
        require(
            not is_near(alone / tokens.shape[1] - whole) and not is_near(right / tokens.shape[1]),
            "you took a mean over the pixels; their bits add up",
        )
        require(
            not is_near(alone - math.log2(n)),
            f"you count {n} different pictures, but two of them are equal: torch.unique finds them, with dim=0",
        )
        require(
            not is_near(alone - math.log2(different)),
            f"you take all {different} different pictures for equally likely; one comes twice: return_counts=True",
        )
        require(
            math.isclose(value, right, rel_tol=1e-3, abs_tol=1e-5),
            f"you give {value:.3f} bits; one by one the pixels have {alone:.3f}, the picture {whole:.3f}",
        )


@check("what is known chooses among the answers, and what is not yet known is drawn, each pixel by itself.")
def one_round(answer) -> None:
    """A picture with its known pixels kept, and the others drawn independently, given the known ones."""
    answers, colours, n = _pictures(), 4, 1500
    for picture, known, agreeing in (
        ([0, 1, 0], [True, True, False], [0, 1]),
        ([2, 1, 0], [True, True, False], [0, 1, 2, 3]),  # no answer has both: these have one of the two
        ([0, 0, 0], [True, False, False], [0, 1, 4]),
        ([0, 0, 0], [False, False, False], [0, 1, 2, 3, 4]),
    ):
        picture, known, rng = torch.tensor(picture), torch.tensor(known), torch.Generator().manual_seed(0)
        same = answers == picture
        try:
            value = answer(answers, colours, picture, known, rng)
        except RuntimeError as error:
            require(
                same[:, known].all(1).any(),
                "here no answer agrees with all known pixels, and your code stops; take those that agree with the "
                f"most ({error})",
            )
            raise
        require(isinstance(value, Tensor), f"the answer should be a tensor, not {type(value).__name__}")
        require(
            value.shape == picture.shape,
            f"give one picture, ({len(picture)},), not {tuple(value.shape)}; draw_independently gives a table with "
            "a row for each picture: [0] is the first",
        )
        require(
            torch.equal(value[known], picture[known]),
            "a known pixel has changed; torch.where(known, picture, drawn) keeps the known and takes the rest",
        )
        drawn = torch.stack([answer(answers, colours, picture, known, rng) for _ in range(n)])
        require((drawn >= 0).all() and (drawn < colours).all(), "a pixel is the number of a colour")
        found = _shares(drawn, colours)

        def is_near(chosen: Tensor, found: Tensor = found, known: Tensor = known) -> bool:
            return torch.allclose(found[~known], _shares(chosen, colours)[~known], atol=0.06)

        if not is_near(answers[agreeing]):
            require(not is_near(answers), "you draw from all answers; those that contradict a known pixel must go")
            require(
                not is_near(answers[same.sum(1) == same.sum(1).max()]),
                "you compare all pixels; what stands at a hidden one means nothing. Compare the known ones: [:, known]",
            )
            require(
                not is_near(answers[(same & known).any(1)]),
                "one known pixel that agrees is not enough; all of them should, or as many as can be",
            )
            require(
                False,
                f"the answers {answers[agreeing].tolist()} agree best with {picture.tolist()} where known is "
                f"{known.tolist()}; your hidden pixels do not have their shares",
            )
        alone = (drawn[:, None] != answers).any(2).all(1).any()  # some picture is no answer
        require(
            alone or len(agreeing) != len(answers),
            "your hidden pixels all come from one answer; draw each by itself, from the shares: draw_independently",
        )
