"""Checks of the exercises of ``11_latent_diffusion``."""

import torch
from torch import Tensor

from helpers.checks import check, require, require_none_of


@check("one number for all channels, and the noise of the diffusion has something its own size to cover.")
def scale_of_the_grids(answer) -> None:
    """The number that gives grids ``(n, c, h, w)`` the standard deviation 1 when they are multiplied by it."""
    rng = torch.Generator().manual_seed(0)
    grids = 0.3 + torch.tensor([2.0, 5.0, 8.0]).view(1, 3, 1, 1) * torch.randn(64, 3, 4, 4, generator=rng)
    value = torch.as_tensor(answer(grids))
    require(
        value.numel() == 1,
        f"there should be one number for all channels, and yours has the shape {tuple(value.shape)}; "
        "the differences between channels may stay",
    )
    std = grids.std()
    wrong = {
        "that is the standard deviation itself; multiplied by it, the grids get larger still": std,
        "that is the variance": std.square(),
        "you divide by the variance; divide by the standard deviation": 1 / std.square(),
        "that brings the largest number to 1, and one strange picture would set the scale": 1 / grids.abs().max(),
        "you average the standard deviations of the channels; take that of all numbers together": (
            1 / grids.std((0, 2, 3)).mean()
        ),
    }
    require_none_of(wrong, value, rtol=1e-3)
    require(
        torch.allclose(value, 1 / std, rtol=2e-3), f"multiplied by yours, the deviation is {(value * std).item():.3f}"
    )


@check("every point asks, every word answers, and padding is not heard.")
def attention_to_words(answer) -> None:
    """Queries ``(n, p, d)``, keys and values ``(n, w, d)``, empty ``(n, w)`` to ``(n, p, d)`` and ``(n, p, w)``."""
    rng = torch.Generator().manual_seed(0)
    queries = 2 * torch.randn(3, 7, 4, generator=rng)
    keys, values = torch.randn(2, 3, 5, 4, generator=rng)
    empty = torch.tensor([[False] * 5, [False] * 3 + [True] * 2, [False] * 2 + [True] * 3])
    given = answer(queries.clone(), keys.clone(), values.clone(), empty.clone())
    require(
        isinstance(given, tuple) and len(given) == 2 and all(isinstance(part, Tensor) for part in given),
        "two tensors are wanted: what each point hears, (n, p, d), and the weights of the words, (n, p, w)",
    )
    heard, weights = given
    require(
        weights.shape != (3, 5, 7), "the weights have a row for each word; a row for each point is wanted: q before k"
    )
    require(weights.shape == (3, 7, 5), f"the weights should have the shape (n, p, w), not {tuple(weights.shape)}")
    require(
        not weights.isnan().any(),
        "some weights are no numbers: all words of a full caption are hidden; `empty` is True where there is no word",
    )
    scores = queries @ keys.mT

    def shared(scores: Tensor, dim: int = -1) -> Tensor:
        return scores.masked_fill(empty[:, None], -torch.inf).softmax(dim)

    right = shared(scores / 2)
    unmasked = (scores / 2).softmax(-1)
    wrong = {
        "the weights do not add up to 1: softmax is taken over the points; take it over the words, dimension -1": (
            (scores / 2).masked_fill(empty[:, None], -torch.inf).softmax(1).nan_to_num()
        ),
        "empty places are heard like words: set their scores to minus infinity before the softmax": unmasked,
        "empty places are at 0, but the weights of the words do not add up to 1: mask before the softmax, not after": (
            unmasked.masked_fill(empty[:, None], 0)
        ),
        "a score of 0 is not silence, e^0 is 1: mask with minus infinity": (
            (scores / 2).masked_fill(empty[:, None], 0).softmax(-1)
        ),
        "the scores are not scaled: divide them by the square root of d": shared(scores),
        "the scores are divided by d; by its square root, they would stay at about 1": shared(scores / 4),
        "the root is that of the number of words; take that of d, the length of a query": shared(scores / 5**0.5),
        "the root is that of the number of points; take that of d, the length of a query": shared(scores / 7**0.5),
        "these are scores: softmax makes weights of them": (scores / 2).masked_fill(empty[:, None], -torch.inf),
    }
    require_none_of(wrong, weights, atol=1e-4)
    require(torch.allclose(weights, right, atol=1e-4), "the weights are not softmax(q k^T / sqrt(d)), padding masked")
    require(heard.shape == queries.shape, f"each point should hear d numbers, (n, p, d), not {tuple(heard.shape)}")
    wrong = {
        "the weights are right, but they average the keys; average the values": right @ keys,
        "the weights are right; divide what is heard by nothing more": right @ values / 5,
        "what is heard is added to the queries; the network does that later": queries + right @ values,
    }
    require_none_of(wrong, heard, atol=1e-4)
    require(torch.allclose(heard, right @ values, atol=1e-4), "what is heard is not weights @ values")


@check("the grid is what is learned; the picture is seen only by the encoder.")
def loss_in_latents(answer) -> None:
    """The mean squared error of a network that finds a scaled grid in its noise, a scalar."""
    rng = torch.Generator().manual_seed(0)
    pictures, noise = torch.rand(6, 3, 8, 8, generator=rng), torch.randn(6, 3, 4, 4, generator=rng)
    alpha_bar = torch.linspace(0.1, 0.9, 6).view(6, 1, 1, 1)
    scale, gain, seen = 3.0, torch.tensor(0.7, requires_grad=True), []

    def encode(pictures, captions):
        return torch.nn.functional.avg_pool2d(pictures, 2)

    def network(captions, x, levels):
        require(
            isinstance(levels, Tensor) and levels.shape == (6,),
            "the network wants alpha_bar of each grid in a row, (n,): alpha_bar.flatten()",
        )
        seen.append(x.detach())
        return gain * x

    value = answer(network, encode, scale, pictures.clone(), ["a running dog"] * 6, alpha_bar.clone(), noise.clone())
    require(seen, "the network was never asked")
    require(isinstance(value, Tensor), f"the loss should be a tensor, not {type(value).__name__}")
    require(value.numel() == 1, f"a loss is one number; take the mean of all, not the shape {tuple(value.shape)}")
    require(seen[0].shape != pictures.shape, "the network is shown pictures; encode them first")
    require(seen[0].shape == noise.shape, f"the network should be shown grids, not the shape {tuple(seen[0].shape)}")
    raw, signal, spread = encode(pictures, None), alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
    grids = scale * raw
    wrong = {
        "the network is shown the grid without noise: there is nothing to find": grids,
        "the grid was not brought to the scale of the noise: multiply it by `scale`": signal * raw + spread * noise,
        "the grid was divided by `scale`; multiply": signal * raw / scale + spread * noise,
        "the noise was scaled together with the grid; only the grid needs it": scale * (signal * raw + spread * noise),
        "alpha_bar and 1 - alpha_bar are shares of the variance: take their square roots": (
            alpha_bar * grids + (1 - alpha_bar) * noise
        ),
        "grid and noise have changed places: alpha_bar is what is left of the grid": spread * grids + signal * noise,
        "the grid must shrink while noise comes in: multiply it by the root of alpha_bar": grids + spread * noise,
    }
    require_none_of(wrong, seen[0], atol=1e-4)
    x_t = signal * grids + spread * noise
    require(torch.allclose(seen[0], x_t, atol=1e-4), "what the network sees is not x_t of the scaled grids")
    require(value.requires_grad, "no gradient comes back to the network")
    error = gain.detach() * x_t - grids
    wrong = {
        "you compare with the noise; this network is to find the grid": (gain.detach() * x_t - noise).square().mean(),
        "you compare with the grid before it was scaled": (gain.detach() * x_t - raw).square().mean(),
        "you compare with the noisy grid, which the network was given": (gain.detach() * x_t - x_t).square().mean(),
        "that is the sum; take the mean, so that the loss does not grow with the batch": error.square().sum(),
        "that is the absolute error; square it": error.abs().mean(),
        "that is the root of the mean squared error; leave the root out": error.square().mean().sqrt(),
        "that is the mean error, in which too much and too little cancel; square it first": error.mean(),
    }
    require_none_of(wrong, value.detach(), rtol=1e-3)
    require(
        torch.allclose(value.detach(), error.square().mean(), rtol=1e-3),
        f"the loss should be {error.square().mean():.3f} here, and yours is {value.item():.3f}",
    )


@check("noise becomes a grid step by step, and the decoder draws once, at the end.")
def drawing_in_latents(answer) -> None:
    """Pictures ``(n, 3, s, s)`` from noise ``(n, c, h, w)``, by DDIM from the noisiest level down to 1."""
    rng = torch.Generator().manual_seed(0)
    z = 2 * torch.randn(2, 3, 4, 4, generator=rng)
    alpha_bars, scale, asked, decoded = torch.tensor([1.0, 0.8, 0.4, 0.1]), 1.7, [], []

    def network(captions, x, levels):
        require(
            isinstance(levels, Tensor) and levels.shape == (2,),
            "the network wants alpha_bar of each grid, (n,): now.expand(len(x))",
        )
        asked.append(round(levels[0].item(), 3))
        return torch.tanh(x + 0.3)

    def decode(grids, captions):
        decoded.append(grids)
        return torch.nn.functional.interpolate(grids, scale_factor=2.0) + 0.4

    value = answer(network, decode, scale, ["a running dog"] * 2, z.clone(), alpha_bars.clone())
    require(isinstance(value, Tensor), f"pictures are wanted, a tensor, not {type(value).__name__}")
    require(decoded, "nothing was decoded: grids are no pictures yet")
    require(asked[:1] == [0.1], "begin where there is most noise: alpha_bars runs from 1 down, so turn it round")
    require(
        1.0 not in asked, "you ask the network at level 1, where there is no noise; the last level is only arrived at"
    )
    require(asked == [0.1, 0.4, 0.8], f"the levels to be asked at are 0.1, 0.4 and 0.8; you ask at {asked}")
    require(len(decoded) == 1, "the decoder draws at every step here; it is needed once, at the end")
    require(value.shape == (2, 3, 8, 8), f"the decoder's pictures are wanted, not the shape {tuple(value.shape)}")

    def way(noise_of) -> Tensor:
        x = z
        for now, before in zip((0.1, 0.4, 0.8), (0.4, 0.8, 1.0), strict=True):
            grid = torch.tanh(x + 0.3)
            x = before**0.5 * grid + (1 - before) ** 0.5 * noise_of(x, grid, now)
        return x

    x = way(lambda x, grid, now: (x - now**0.5 * grid) / (1 - now) ** 0.5)
    wrong = {
        "the scale is missing: divide by it before you decode, as the loss multiplied": x,
        "you multiply by the scale; the loss did that, so divide on the way back": scale * x,
        "this always mixes in z; take the noise that must be in x if the guess is right": (
            way(lambda x, grid, now: z) / scale
        ),
        "the noise in x is what is left after the guess, over the root of 1 - alpha_bar; the division is missing": (
            way(lambda x, grid, now: x - now**0.5 * grid) / scale
        ),
        "the noise in x is x minus the guess times the root of alpha_bar; the root of alpha_bar is missing": (
            way(lambda x, grid, now: (x - grid) / (1 - now) ** 0.5) / scale
        ),
        "nothing but guesses: mix the noise of each step in again, or the network sees what it never learned": (
            way(lambda x, grid, now: torch.zeros_like(x)) / scale
        ),
    }
    require_none_of(wrong, decoded[0], atol=1e-4)
    require(torch.allclose(decoded[0], x / scale, atol=1e-4), "the grid that is decoded is not where DDIM leads")
    require(value.min() >= 0 and value.max() <= 1, "a colour lies between 0 and 1: clamp what the decoder gives")
    require(torch.allclose(value, decode(x / scale, None).clamp(0, 1), atol=1e-4), "give what the decoder draws")
