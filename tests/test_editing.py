"""What is done with a trained diffusion model: what should stay stays, and an adapter begins with no effect."""

import torch
from torch import nn

from helpers.models.diffusion import add_noise, cosine_schedule
from helpers.models.editing import LowRank, image_to_image, masked_step

LEVELS = cosine_schedule(1000).float()[[0, 200, 500, 800]]
X = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))


def test_without_noise_a_picture_stays_as_it_is():
    asked = []
    drawn = image_to_image(lambda x, level: asked.append(level), X, LEVELS[:1], torch.Generator())
    assert torch.equal(drawn, X)
    assert not asked


def test_a_network_that_sees_the_picture_through_the_noise_gets_back_to_it():
    drawn = image_to_image(lambda x, level: X, X, LEVELS, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn, X, atol=1e-5)


def test_the_way_begins_at_the_last_level():
    seen = []
    image_to_image(lambda x, level: seen.append((x, level)) or X, X, LEVELS, torch.Generator().manual_seed(1))
    noise = torch.randn(X.shape, generator=torch.Generator().manual_seed(1))
    assert torch.allclose(seen[0][0], add_noise(X, noise, LEVELS[-1]))
    assert [level for _, level in seen] == [*LEVELS.flip(0)[:-1]]


def test_what_the_mask_keeps_is_in_the_end_the_original_and_the_rest_is_drawn():
    mask, rng = torch.zeros(1, 1, 3, 3), torch.Generator().manual_seed(2)
    mask[..., 0] = 1
    guess, x_t = torch.zeros_like(X), torch.randn(X.shape, generator=rng)
    last = masked_step(x_t, guess, X, mask, LEVELS[1], LEVELS[0], rng)
    assert torch.equal(last[..., 0], X[..., 0])
    assert torch.allclose(last[..., 1:], guess[..., 1:], atol=1e-5)


def test_on_the_way_what_is_known_has_the_noise_of_the_level():
    rng = torch.Generator().manual_seed(3)
    known = torch.ones(500, 2, 3, 3)
    kept = masked_step(torch.zeros_like(known), known, known, torch.ones(1), LEVELS[3], LEVELS[2], rng)
    assert abs(kept.mean() - LEVELS[2].sqrt()) < 0.05
    assert abs(kept.std() - (1 - LEVELS[2]).sqrt()) < 0.05


def test_an_adapter_begins_with_no_effect_learns_alone_and_folds_into_one_matrix():
    torch.manual_seed(0)
    linear, x = nn.Linear(5, 4), torch.randn(7, 5)
    layer = LowRank(linear, 2)
    assert torch.equal(layer(x), linear(x))
    layer(x).square().sum().backward()
    assert layer.up.grad.any()
    assert linear.weight.grad is None
    nn.init.normal_(layer.up)
    layer.scale = 0.5
    assert torch.linalg.matrix_rank(layer.merged() - linear.weight) == 2
    assert torch.allclose(x @ layer.merged().T + linear.bias, layer(x), atol=1e-6)
