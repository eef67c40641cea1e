"""Pixels in rounds: what is asked, what is charged for, and what is drawn when."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from helpers import checkpoints, dogs, judge, palette
from helpers.models.independent import draw_independently, marginals, next_round, total_correlation
from helpers.models.masked import MaskedPixels, coarse_first, known_after

CAPTIONS = ["a running dog", "a small white dog running left on the sand"]


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def masked(size=8):
    torch.manual_seed(0)
    model = MaskedPixels(dogs.LANGUAGE, torch.rand(6, 3), size, width=32).eval()
    nn.init.normal_(model.unet.end[2].weight, std=0.05)  # untrained, the U-Net says 0 to everything
    nn.init.normal_(model.fine.second.weight, std=0.05)
    return model


def seen_by(model, captions, z, rounds):
    """What the network was given in each round, and the picture and what was known after it."""
    given, logits = [], model.logits

    def listening(captions, colours, known):
        given.append((colours.clone(), known.clone()))
        return logits(captions, colours, known)

    model.logits = listening
    after = list(model.drawing(captions, z, rounds))
    model.logits = logits
    return given, after


# ---- Counting ----


def test_marginals_and_total_correlation_of_what_can_be_counted_by_hand():
    tokens = torch.tensor([[0, 0], [0, 0], [1, 2], [1, 2]])
    shares = marginals(tokens, 3)
    assert shares.tolist() == [[0.5, 0.5, 0], [0.5, 0, 0.5]]
    assert total_correlation(shares, tokens) == pytest.approx(1)
    every = torch.cartesian_prod(torch.arange(2), torch.arange(3))  # independent, each picture once
    assert total_correlation(marginals(every, 3), every) == pytest.approx(0, abs=1e-6)
    often = torch.tensor([[0, 0]] * 3 + [[1, 1]])  # H(1/4) = 0.811 bits, twice, minus once
    assert total_correlation(marginals(often, 2), often) == pytest.approx(0.8113, abs=1e-4)


def test_independent_draws_keep_the_shares_and_nothing_else():
    shares = torch.tensor([[0.7, 0.3, 0.0], [0.2, 0.2, 0.6]])
    drawn = draw_independently(shares, 20_000, rng())
    assert drawn.shape == (20_000, 2)
    assert torch.allclose(marginals(drawn, 3), shares, atol=0.02)
    assert total_correlation(marginals(drawn, 3), drawn) < 0.005


# ---- Rounds ----


def test_a_round_keeps_what_is_known_and_draws_the_rest_from_the_answers_that_agree():
    answers, some = torch.tensor([[0, 0, 0], [0, 1, 1], [1, 2, 2]]), rng()
    known = torch.tensor([True, False, False])
    rest = {tuple(next_round(answers, 3, answers[0], known, some)[1:].tolist()) for _ in range(100)}
    assert rest == {(0, 0), (0, 1), (1, 0), (1, 1)}  # each by itself: two of these are no answers
    told = torch.tensor([1, 1, 1])  # no answer agrees with the first two; two answers agree with one of them
    drawn = [next_round(answers, 3, told, torch.tensor([True, True, False]), some).tolist() for _ in range(100)]
    assert sorted({tuple(picture) for picture in drawn}) == [(1, 1, 1), (1, 1, 2)]


def test_few_pixels_come_first_and_all_in_the_end():
    assert known_after(256, 8) == [2, 4, 8, 16, 32, 64, 128, 256]
    assert known_after(256, 1) == [256]
    assert known_after(256, 256) == list(range(1, 257))
    for pixels, rounds in ((256, 2), (256, 13), (256, 64), (256, 255), (9, 4), (64, 50)):
        known = known_after(pixels, rounds)
        assert len(known) == rounds
        assert known[-1] == pixels
        assert all(b > a for a, b in zip([0, *known], known, strict=False))


def test_a_coarse_grid_comes_first():
    grid = coarse_first(16)
    assert grid.bincount().tolist() == [16, 48, 64, 128]
    assert grid.view(16, 16)[:3, :3].tolist() == [[0, 3, 1], [3, 2, 3], [1, 3, 1]]
    turns = masked(16).turns(torch.rand(3, 256, generator=rng()))
    assert torch.equal(turns.sort(1).values, torch.arange(256).expand(3, -1))  # every pixel has its turn, once
    assert (grid[turns].diff(dim=1) >= 0).all()
    assert not torch.equal(turns[0], turns[1])


@pytest.mark.parametrize("rounds", [1, 3, 8, 64])
def test_every_pixel_is_drawn_once_and_stays(rounds):
    model = masked()
    z = torch.rand(2, *model.latent_shape, generator=rng(1))
    given, after = seen_by(model, CAPTIONS, z, rounds)
    assert len(given) == rounds
    assert not given[0][1].any()  # at first nothing is known
    assert after[-1][1].all()
    for (colours, known), goal, (_, known_before) in zip(after, known_after(64, rounds), given, strict=True):
        assert known.sum(1).tolist() == [goal, goal]
        assert (known | ~known_before).all()  # what was known stays known
        assert torch.equal(colours[known], after[-1][0][known])  # and keeps its colour
    assert torch.equal(model.sample(CAPTIONS, z, rounds=rounds), palette.to_pictures(after[-1][0], model.palette))


def test_one_round_is_independent_sampling_from_its_marginals():
    model = masked()
    n = 3000
    z = torch.rand(n, *model.latent_shape, generator=rng(1))
    drawn = palette.to_tokens(model.sample(CAPTIONS[:1] * n, z, rounds=1), model.palette)
    nothing = torch.zeros(1, 64, dtype=torch.int64)
    with torch.no_grad():
        chances = model.logits(CAPTIONS[:1], nothing, nothing.bool())[0].softmax(-1)
    assert torch.allclose(marginals(drawn, 6), chances, atol=0.04)
    moved = z[:1].clone()
    moved[0, 0, 20] = (z[0, 0, 20] + 0.5) % 1  # a die of its own for each pixel
    changed = palette.to_tokens(model.sample(CAPTIONS[:1], moved, rounds=1), model.palette) != drawn[:1]
    assert changed[0].nonzero().flatten().tolist() in ([], [20])
    assert torch.equal(model.sample(CAPTIONS[:1], z[:1], rounds=1), model.sample(CAPTIONS[:1], z[:1].clone(), rounds=1))


def test_in_later_rounds_a_pixel_depends_on_those_before():
    model = masked()
    z = torch.rand(1, *model.latent_shape, generator=rng(1))
    first = model.turns(z[:, 1])[0, 0]
    moved = z.clone()
    moved[0, 0, first] = (z[0, 0, first] + 0.5) % 1
    a, b = (model.sample(CAPTIONS[:1], some, rounds=64) for some in (z, moved))
    assert (a != b).any(1).sum() > 1


def test_what_stands_at_a_hidden_pixel_and_what_is_unsaid_changes_nothing():
    model = masked()
    colours = torch.randint(6, (2, 64), generator=rng())
    known = torch.rand(2, 64, generator=rng(1)) < 0.5
    other = torch.where(known, colours, (colours + 1) % 6)
    with torch.no_grad():
        said = model.logits(CAPTIONS, colours, known)
        assert torch.equal(said, model.logits(CAPTIONS, other, known))
        assert not torch.allclose(said, model.logits(CAPTIONS[::-1], colours, known))  # captions matter
        changed = torch.where(known, (colours + 1) % 6, colours)
        assert not torch.allclose(said, model.logits(CAPTIONS, changed, known))  # and so does what is known


def test_the_loss_charges_for_hidden_pixels_only():
    model = masked()
    pictures = dogs.draw(dogs.sample_scenes(CAPTIONS * 8, rng()), 8)
    colours = palette.to_tokens(pictures, model.palette)
    said = []

    def telling(captions, colours, known):
        said.append(known)
        sure = 50.0 * F.one_hot(colours, 6)  # right and sure where it is known, uniform where not
        return sure * known[:, :, None]

    model.logits = telling
    assert model.loss(pictures, CAPTIONS * 8, rng(2)).item() == pytest.approx(math.log(6), rel=1e-5)

    def blind(captions, colours, known):
        return 50.0 * F.one_hot((colours + known.long()) % 6, 6)  # wrong where it is known, right where not

    model.logits = blind
    assert model.loss(pictures, CAPTIONS * 8, rng(2)).item() == pytest.approx(0, abs=1e-5)
    hidden = torch.cat([~known for known in said]).sum(1)
    assert hidden.min() >= 1
    assert len(set(hidden.tolist())) > 8
    assert colours.shape == said[0].shape


def test_every_number_of_hidden_pixels_comes_equally_often():
    model, counts = masked(), []

    def telling(captions, colours, known):
        counts.append((~known).sum(1))
        return torch.zeros(*colours.shape, 6)

    model.logits = telling
    pictures = dogs.draw(dogs.sample_scenes(CAPTIONS[:1] * 500, rng()), 8)
    for seed in range(8):
        model.loss(pictures, CAPTIONS[:1] * 500, rng(seed))
    shares = torch.cat(counts).bincount(minlength=65)[1:] / 4000  # from 1 to 64
    assert torch.allclose(shares, torch.full((64,), 1 / 64), atol=0.01)


# ---- What is shipped ----


def test_the_shipped_model_draws_better_in_more_rounds():
    model = checkpoints.load("masked")
    captions = dogs.LANGUAGE.sample(60, rng())
    z = torch.rand(60, *model.latent_shape, generator=rng(1))
    one, many = (model.sample(captions, z, rounds=rounds) for rounds in (1, 64))
    assert judge.valid(one) < 0.05
    strangeness = [judge.read(pictures).strangeness.median() for pictures in (one, many)]
    assert strangeness[1] < 0.7 * strangeness[0]
