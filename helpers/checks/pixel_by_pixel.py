"""Checks of the exercises of ``02_pixel_by_pixel``."""

import torch

from helpers.checks import check, require


@check("row after row, each from left to right: pixels are numbered like this when they are written as text.")
def raster_index(answer) -> None:
    """The place of a pixel in raster order, counted from 0."""
    places = [(0, 0, 16), (0, 5, 16), (3, 0, 16), (9, 8, 16), (15, 15, 16), (2, 1, 8)]
    given = [answer(*place) for place in places]
    right = [row * size + column for row, column, size in places]
    require(
        given != [column * size + row for row, column, size in places],
        "you go down the columns: in raster order the pixel to the right comes next. Which of the two jumps by size?",
    )
    require(
        given != [place + 1 for place in right],
        "everything is one too far: the first pixel, row 0 and column 0, stands at place 0",
    )
    require(
        given != [(row - 1) * size + column - 1 for row, column, size in places],
        "you count rows and columns from 1; here all start at 0, so no row has to be taken off",
    )
    require(
        given != [row * 16 + column for row, column, _ in places],
        "right for pictures 16 pixels wide and for no others: use size",
    )
    for (row, column, size), value, place in zip(places, given, right, strict=True):
        require(
            value == place,
            f"row {row}, column {column} of a picture {size} wide: you give {value}. "
            f"{row} full rows of {size} pixels come before this row; how many pixels is that?",
        )


@check("below 1 the likely gets likelier, above 1 all chances draw together, and they always sum to 1.")
def with_temperature(answer) -> None:
    """softmax(logits / temperature), ``(n, k)``."""
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.5, 0.5, -3.0, 4.0]])
    for temperature in (0.5, 2.0, 1.0):
        value, right = answer(logits, temperature), (logits / temperature).softmax(-1)
        require(
            isinstance(value, torch.Tensor) and value.shape == logits.shape,
            "the answer should be a tensor (n, k) like the logits: a probability for each",
        )
        require(
            temperature == 1 or not torch.allclose(value, (logits * temperature).softmax(-1)),
            f"at temperature {temperature} you turn the knob the wrong way: heat should even out, not sharpen. "
            "Multiply or divide?",
        )
        require(
            temperature == 1 or not torch.allclose(value, logits / temperature),
            "these are still logits: a softmax makes probabilities of them",
        )
        require(
            not torch.allclose(value, (logits / temperature).softmax(0)),
            "your columns sum to 1: the softmax belongs over the colours, the last dimension",
        )
        sums = value.sum(-1)
        require(
            torch.allclose(sums, torch.ones(2), atol=1e-5),
            f"at temperature {temperature} your probabilities sum to {sums[0]:.2f}: change the logits before the "
            "softmax, not the probabilities after it",
        )
        require(
            torch.allclose(value, right, atol=1e-5),
            f"at temperature {temperature} the first colour should have {right[0, 0]:.3f}, not {value[0, 0]:.3f}",
        )


@check("a sum that grows with the square of the length, or the length itself: that is what the cache saves.")
def places_computed(answer) -> None:
    """How many places are computed to write t tokens: t with a cache, 1 + 2 + ... + t without."""
    for tokens in (10, 256, 1024, 2, 1):
        without, cached = answer(tokens, False), answer(tokens, True)
        require(
            not (tokens > 1 and without == tokens and cached != tokens),
            "with and without are the wrong way round: the cache is what saves work",
        )
        require(
            cached == tokens,
            f"with a cache one place is new at each of {tokens} steps: {tokens} in all, not {cached}",
        )
        require(
            not (tokens > 1 and without == tokens**2),
            f"{tokens} steps of {tokens} places would be right if the text had its full length from the start; "
            "step i has only i places",
        )
        require(
            not (tokens > 1 and without == tokens * (tokens - 1) // 2),
            "nearly: you left out the place that is being computed itself. The first step computes 1 place, not 0",
        )
        require(
            without == tokens * (tokens + 1) // 2,
            f"without a cache {tokens} steps compute 1 + 2 + ... + {tokens} places; you give {without}",
        )
