"""Checks of the exercises of ``02_pixel_by_pixel``."""

import math

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of
from helpers.layers import choose


@check(
    "scaled, masked, in several heads: what each place gives depends on itself and on what came before, and no more."
)
def causal(answer) -> None:
    """Causal attention in several heads: query ``(n, t, width)`` of the last t of s places, key, value, heads."""
    rng = torch.Generator().manual_seed(0)
    query, key, value = 2 * torch.randn(3, 2, 6, 8, generator=rng)

    def attention(
        query: Tensor,
        key: Tensor,
        value: Tensor,
        heads: int,
        ahead: Tensor,
        scale: float,
        axis: int = -1,
        bar=-math.inf,
    ) -> tuple[Tensor, Tensor]:
        """As it should be, or nearly: with heads merged, and before that."""
        query, key, value = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (query, key, value))
        weights = (query @ key.mT / scale).masked_fill(ahead, bar).softmax(axis)
        mixed = weights @ value
        return mixed.transpose(1, 2).flatten(2), mixed

    ahead = torch.ones(6, 6, dtype=torch.bool).triu(1)
    for heads in (1, 2):
        given = answer(query, key, value, heads)
        d = 8 // heads
        right, apart = attention(query, key, value, heads, ahead, d**0.5)
        require(isinstance(given, Tensor), "the answer should be a tensor, a vector for each place")
        require(
            given.shape == right.shape,
            f"(n, t, width) is wanted, here (2, 6, 8), and you give {tuple(given.shape)}. Weigh the values, and lay "
            "the heads side by side again: transpose(1, 2).flatten(2)",
        )
        require(
            not given.isnan().any(),
            "there are places without a number: may the first place look at itself? Forbid what is ahead, triu(1), and "
            "do not forbid the place itself",
        )
        wrong = {
            "it looks ahead: the first place should give its own value, and yours takes from later ones. Where is the "
            "mask?": attention(query, key, value, heads, torch.zeros_like(ahead), d**0.5)[0],
            "a 0 before the softmax is no weight of 0, as exp(0) is 1: put -inf where a place is ahead": (
                attention(query, key, value, heads, ahead, d**0.5, bar=0.0)[0]
            ),
            "your mask forbids the past and allows the future": (
                attention(query, key, value, heads, ahead.mT, d**0.5)[0]
            ),
            "your weights sum to 1 over the wrong places: the softmax belongs over the keys, the last dimension": (
                attention(query, key, value, heads, ahead, d**0.5, axis=-2)[0].nan_to_num()
            ),
            "the scale is missing: divide the products by the root of how many numbers a query of one head has": (
                attention(query, key, value, heads, ahead, 1.0)[0]
            ),
            "you divide by d; divide by its root, which is how large such a product is": (
                attention(query, key, value, heads, ahead, d)[0]
            ),
        }
        if heads > 1:
            wrong |= {
                "that is one head, and two were asked for: split the width first, each head has numbers of its own": (
                    attention(query, key, value, 1, ahead, 8**0.5)[0]
                ),
                "right for one head; with two, d is 4 and not 8: scale by the root of the numbers of one head": (
                    attention(query, key, value, heads, ahead, 8**0.5)[0]
                ),
                "the heads are right and laid out in the wrong order: transpose(1, 2) before you flatten": (
                    apart.reshape(right.shape)
                ),
            }
        require_none_of(wrong, given, atol=1e-5)
        require(
            torch.allclose(given, right, atol=1e-5),
            f"with {heads} head{'s' * (heads > 1)} the last place should give {right[0, -1, 0]:.3f}, ..., and yours "
            f"gives {given[0, -1, 0]:.3f}. The first head has the first {d} numbers of the width",
        )
    last = answer(query[:, -1:], key, value, 2)
    require(
        last.shape == (2, 1, 8) and torch.allclose(last, right[:, -1:], atol=1e-5),
        "right while all places ask. When it writes, only the newest place asks, t = 1, and no place is ahead of it. "
        "The mask has t rows and s columns, and begins after 1 + s - t: triu(1 + s - t)",
    )


@check("the model reads all but the last, is asked for all but the first, and pays nothing for filling.")
def shifted(answer) -> None:
    """-log P of each text in nats, ``(n,)``, from a model, tokens ``(n, t)`` and what counts, ``(n, t)``."""
    rng = torch.Generator().manual_seed(0)
    table = torch.randn(7, 7, generator=rng)
    tokens = torch.randint(7, (4, 6), generator=rng)
    counted = torch.arange(6) < torch.tensor([6, 3, 5, 4])[:, None]
    read = []

    def model(tokens: Tensor) -> Tensor:
        """The chances depend on the sum of all tokens so far."""
        read.append(tokens)
        return table[tokens.cumsum(1) % 7]

    value = answer(model, tokens, counted)
    reads = len(read)
    require(reads, "ask the model: model(tokens of the text) gives the logits after each of them")
    every = model(tokens).log_softmax(-1)
    each = -every[:, :-1].gather(2, tokens[:, 1:, None])[..., 0]  # (4, 5)
    right = (each * counted[:, 1:]).sum(1)
    require(isinstance(value, Tensor), "the answer should be a tensor, one number for each of the n texts")
    require(value.ndim > 0, "that is one number for the whole batch; give one for each text, and average in training")
    require(
        value.shape != each.shape,
        "that is one number for each token; the logarithms of a chain of probabilities add up: sum over the text",
    )
    require(value.shape == right.shape, f"one number for each of the 4 texts is wanted, not {tuple(value.shape)}")
    own = -every.gather(2, tokens[..., None])[..., 0]
    counts = counted[:, 1:].sum(1)
    wrong = {
        "the sign is turned: a likely text must cost little, and nothing costs less than 0": -right,
        "you average over the tokens of a text; add them up: the chances of a chain multiply": right / counts,
        "right without filling: `counted` is False for what only fills a row up, and that must cost nothing": each.sum(
            1
        ),
        "you average over the places; add up those that count": (each * counted[:, 1:]).mean(1),
        "`counted` says which tokens count; a loss belongs to the token that was to come, so take counted[:, 1:]": (
            (each * counted[:, :-1]).sum(1)
        ),
        "you ask after each token for that very token; what was read is known. The target is the token after it": (
            (own * counted).sum(1)
        ),
        "what was read is asked for again: with the logits after tokens[:, :-1] go the targets tokens[:, 1:]": (
            (own[:, :-1] * counted[:, 1:]).sum(1)
        ),
        "you ask after each token for the one before it: the first logits go with the second token": (
            -(model(tokens[:, 1:]).log_softmax(-1).gather(2, tokens[:, :-1, None])[..., 0] * counted[:, 1:]).sum(1)
        ),
        "that is in bits; the course trains in nats, so leave the natural logarithm as it is": right / math.log(2),
    }
    require_none_of(wrong, value, rtol=1e-4)
    require(
        torch.allclose(value, right, rtol=1e-4),
        f"the first text should cost {right[0]:.3f} nats, and you give {value[0]:.3f}",
    )
    require(
        all(tokens.shape[1] < 6 for tokens in read[:reads]),
        "right, but you let it read the last token too, after which nothing is left to predict: tokens[:, :-1]",
    )
    weights = table.clone().requires_grad_()
    total = answer(lambda tokens: weights[tokens.cumsum(1) % 7], tokens, counted).sum()
    require(total.requires_grad, "no gradient comes back to the model; do not detach it")


@check("look at all there is, choose by the next column of z, write down, look again.")
def loop(answer) -> None:
    """Tokens ``(n, t)`` continued by one for each column of z, from next_logits, tokens, z, temperature and top_k."""
    rng = torch.Generator().manual_seed(0)
    table = 2 * torch.randn(11, 5, generator=rng)
    begun, z = torch.randint(5, (400, 2), generator=rng), torch.rand(400, 4, generator=rng)
    looks = []

    def next_logits(tokens: Tensor) -> Tensor:
        """What comes next depends on every token so far, and on where it stands."""
        looks.append(tokens.shape[1])
        return table[(tokens * torch.arange(1, tokens.shape[1] + 1)).sum(1) % 11]

    def written(see=lambda tokens: tokens, number=lambda step: z[:, step], temperature=0.5, top_k=3) -> Tensor:
        """As it should be, or nearly."""
        tokens = begun
        for step in range(4):
            token = choose(next_logits(see(tokens)), number(step), temperature, top_k)
            tokens = torch.cat([tokens, token[:, None]], dim=1)
        return tokens

    value, seen = answer(next_logits, begun, z, 0.5, 3), looks[:]
    right = written()
    require(isinstance(value, Tensor), "the answer should be a tensor of tokens (n, t + steps)")
    require(
        value.shape != z.shape,
        "these are the new tokens alone: return those that were begun with them, as the next step needs both",
    )
    require(
        value.shape == right.shape,
        f"2 tokens were begun and z has 4 columns, so (n, 6) is wanted, and you give {tuple(value.shape)}",
    )
    require(not torch.equal(value[:, -2:], begun), "the new token belongs behind the others, not before them")
    require(torch.equal(value[:, :2], begun), "the tokens that were begun must stay, and the new ones follow them")
    wrong = {
        "each step sees only the newest token: give next_logits all tokens so far": written(
            lambda tokens: tokens[:, -1:]
        ),
        "every step sees the same beginning: put the new token behind the others before you look again": (
            written(lambda tokens: begun)
        ),
        "you always take the likeliest token; draw, with choose(logits, u, temperature, top_k)": written(temperature=0),
        "every step uses the same number; z has a column for each": written(number=lambda step: z[:, 0]),
        "neither knob is turned: pass temperature and top_k on to choose": written(temperature=1.0, top_k=None),
        "the temperature is not passed on to choose": written(temperature=1.0),
        "top_k is not passed on to choose": written(top_k=None),
        "at temperature 0.5 yours is more even, not less: the logits are divided by it": written(temperature=2.0),
    }
    require_none_of(wrong, value)
    require(
        torch.equal(value, answer(next_logits, begun, z, 0.5, 3)),
        "the same z should write the same text: choose by z, and draw nothing else",
    )
    require(
        torch.equal(value, right),
        f"the first text should go on with {right[0, 2:].tolist()}, and yours goes on with {value[0, 2:].tolist()}",
    )
    require(seen == [2, 3, 4, 5], f"look once at each step, at 2, 3, 4 and 5 tokens; you look at {seen}")


@check("what is old is kept and never computed again; a step brings one new place.")
def remembers(answer) -> None:
    """A class like ``Cache``: ``append(key, value)`` keeps what is new, and returns all so far, ``(n, s, width)``."""
    rng = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 2, 6, 4, generator=rng)
    cache, other = answer(9), answer(9)
    for new in ((0, 3), (3, 4), (4, 6)):
        place = slice(*new)
        both = cache.append(keys[:, place], values[:, place])
        if both is None or both is ...:
            raise NotImplementedError
        require(
            isinstance(both, tuple | list) and len(both) == 2,
            "append should return two tensors, all keys and all values",
        )
        right = keys[:, : new[1]], values[:, : new[1]]
        for found, wanted, what in zip(both, right, ("keys", "values"), strict=True):
            require(isinstance(found, Tensor), f"all {what} so far should be a tensor (n, places, width)")
            require(
                found.shape[1:2] != (9,),
                "you return the whole room, with places that nobody has seen: end after those that are there",
            )
            require(
                found.shape[0] == 2 and found.shape[2] == 4,
                f"(n, places, width) is wanted, and you give {tuple(found.shape)}: places are the dimension 1",
            )
            require(
                found.shape[1] == wanted.shape[1],
                f"after places {new[0]} to {new[1] - 1} have come, there should be {new[1]} {what}, and you return "
                f"{found.shape[1]}: keep them in self, and put the new ones behind the old",
            )
        require(
            not torch.equal(both[0], right[1]), "keys and values are the wrong way round: append returns keys first"
        )
        require(
            all(map(torch.equal, both, right)),
            "all are there, and in the wrong order: the new ones belong behind the old",
        )
        require(
            cache.seen == new[1],
            f"cache.seen should be {new[1]}, the number of places it holds, and is {cache.seen}: the GPT asks it where "
            "the next place stands",
        )
    first = other.append(keys[:, :1], values[:, :1])
    require(
        other.seen == 1 and first[0].shape[1] == 1,
        "a second cache knows what the first was told: keep keys and values in self, for each layer has a cache",
    )
