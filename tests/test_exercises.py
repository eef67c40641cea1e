"""Every exercise: the stub is met politely, the solution passes, and typical wrong answers get the hint that fits."""

import ast
import itertools
import math
from pathlib import Path

import nbformat
import pytest
import torch

from helpers.checks import PASSED, UNFINISHED, WRONG, Verdict
from tests.test_notebooks import is_stub

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"

# notebook, exercise cell, a wrong answer that replaces it, a part of the hint it must get
WRONG_ANSWERS = [
    ("00_start_here", "exercise-caption", "my_caption = 'a purple running dog'", "does not know the word 'purple'"),
    ("00_start_here", "exercise-caption", "my_caption = 'a black dog running in the city'", "leaves the size open"),
    (
        "00_start_here",
        "exercise-caption",
        "my_caption = 'a small white dog running in the city'",
        "coat in your caption is white",
    ),
    (
        "00_start_here",
        "exercise-caption",
        "my_caption = 'a small black dog running left in the city'",
        "also fixes the direction",
    ),
    ("00_start_here", "exercise-caption", "my_caption = 'small black dog in the city'", "Did you mean"),
    ("00_start_here", "exercise-caption", "my_caption = 7", "a text in quotation marks"),
    (
        "01_one_to_many",
        "exercise-bits",
        "def bits_left_open(c): return len(dogs.LANGUAGE.answers(c))",
        "how many yes-or-no questions",
    ),
    (
        "01_one_to_many",
        "exercise-bits",
        "import math\ndef bits_left_open(c): return math.log(len(dogs.LANGUAGE.answers(c)))",
        "right in nats",
    ),
    (
        "01_one_to_many",
        "exercise-bits",
        "import math\ndef bits_left_open(c): return math.log2(192 / len(dogs.LANGUAGE.answers(c)))",
        "that is what the caption names",
    ),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return 7.58", "Count the rows"),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return c", "should be a number"),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return c.bits", "AttributeError"),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return p.median(0).values", "the median"),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return p[0]", "one of the right answers"),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return p.sum(0)", "sum of all"),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return p.mean()", "not over the pixels"),
    (
        "01_one_to_many",
        "exercise-best-picture",
        "def best_single_picture(p): return p.mean((2, 3))",
        "not over the pixels",
    ),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return p.mean(1)", "one picture has"),
    ("01_one_to_many", "exercise-best-picture", "def best_single_picture(p): return 0 * p[0]", "slope zero"),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(p, q): return (p - q).sum()",
        "absolute values",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(p, q): return (p - q).abs().sum()",
        "twice too large",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(p, q): return (p - q).abs().max()",
        "largest difference",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(p, q): return (p - q).abs().mean()",
        "averaged over the places",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(p, q): return (p - q).square().sum() ** 0.5",
        "it should be",
    ),
    ("02_pixel_by_pixel", "exercise-raster", "def raster_index(r, c, s): return c * s + r", "go down the columns"),
    ("02_pixel_by_pixel", "exercise-raster", "def raster_index(r, c, s): return r * s + c + 1", "one too far"),
    (
        "02_pixel_by_pixel",
        "exercise-raster",
        "def raster_index(r, c, s): return (r - 1) * s + c - 1",
        "count rows and columns from 1",
    ),
    ("02_pixel_by_pixel", "exercise-raster", "def raster_index(r, c, s): return r * 16 + c", "use size"),
    ("02_pixel_by_pixel", "exercise-raster", "def raster_index(r, c, s): return r + c", "full rows"),
    (
        "02_pixel_by_pixel",
        "exercise-temperature",
        "def with_temperature(x, t): return (x * t).softmax(-1)",
        "the wrong way",
    ),
    ("02_pixel_by_pixel", "exercise-temperature", "def with_temperature(x, t): return x / t", "still logits"),
    (
        "02_pixel_by_pixel",
        "exercise-temperature",
        "def with_temperature(x, t): return x.softmax(-1) / t",
        "change the logits before",
    ),
    ("02_pixel_by_pixel", "exercise-temperature", "def with_temperature(x, t): return (x / t).softmax(0)", "columns"),
    (
        "02_pixel_by_pixel",
        "exercise-temperature",
        "def with_temperature(x, t): return x.softmax(-1)",
        "the first colour should have",
    ),
    (
        "02_pixel_by_pixel",
        "exercise-places",
        "def places_computed(t, cached): return t if cached else t * t",
        "full length from the start",
    ),
    (
        "02_pixel_by_pixel",
        "exercise-places",
        "def places_computed(t, cached): return t if cached else t * (t - 1) // 2",
        "left out the place",
    ),
    (
        "02_pixel_by_pixel",
        "exercise-places",
        "def places_computed(t, cached): return t if not cached else t * (t + 1) // 2",
        "wrong way round",
    ),
    ("02_pixel_by_pixel", "exercise-places", "def places_computed(t, cached): return 1", "one place is new"),
    ("03_pixel_independence", "exercise-independent", "def independent(p): return p", "that is p itself"),
    (
        "03_pixel_independence",
        "exercise-independent",
        "def independent(p): return torch.full_like(p, 1 / p.numel())",
        "equally likely",
    ),
    ("03_pixel_independence", "exercise-independent", "def independent(p): return p.sum(0)", "should have that shape"),
    (
        "03_pixel_independence",
        "exercise-independent",
        "def independent(p): return torch.ones_like(p)",
        "all axes but one",
    ),
    (
        "03_pixel_independence",
        "exercise-independent",
        "def independent(p): return sum(p.sum(a, keepdim=True).expand_as(p) for a in range(p.ndim))",
        "do not add",
    ),
    (
        "03_pixel_independence",
        "exercise-total-correlation",
        "def total_correlation(p): return right(p) * math.log(2)",
        "right in nats",
    ),
    (
        "03_pixel_independence",
        "exercise-total-correlation",
        "def total_correlation(p): return -right(p)",
        "the sign",
    ),
    (
        "03_pixel_independence",
        "exercise-total-correlation",
        "def total_correlation(p): return right(p) / p.ndim",
        "a mean over the pixels",
    ),
    (
        "03_pixel_independence",
        "exercise-total-correlation",
        "def total_correlation(p): return torch.special.entr(p).sum().item() / math.log(2)",
        "the entropy of the picture",
    ),
    ("03_pixel_independence", "exercise-total-correlation", "def total_correlation(p): return p", "one number"),
    (
        "03_pixel_independence",
        "exercise-next-pixel",
        "def next_pixel(p, known): return p[known].sum(list(range(1, p.ndim - len(known)))) if p.ndim - len(known) > 1 "
        "else p[known]",
        "Divide by P(known)",
    ),
    ("03_pixel_independence", "exercise-next-pixel", "def next_pixel(p, known): return p[known]", "Add up"),
    (
        "03_pixel_independence",
        "exercise-next-pixel",
        "def next_pixel(p, known): return p.sum([a for a in range(p.ndim) if a != len(known)])",
        "does not look at what is known",
    ),
    (
        "03_pixel_independence",
        "exercise-next-pixel",
        "def next_pixel(p, known):\n    rest = p[known]\n"
        "    return (rest.flatten(1).sum(1) if rest.ndim > 1 else rest).softmax(0)",
        "not a softmax",
    ),
    ("04_random_vector", "exercise-bend", "def bend(z, data): return data[(z * len(data)).long()]", "Sort the data"),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return (data[:, None] <= z).float().mean(0)",
        "the way back",
    ),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return data.min() + (data.max() - data.min()) * z",
        "evenly spread",
    ),
    ("04_random_vector", "exercise-bend", "def bend(z, data): return data.mean() + data.std() * z", "two heaps"),
    ("04_random_vector", "exercise-bend", "def bend(z, data): return torch.quantile(data, 1 - z)", "turned round"),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return data.sort(descending=True).values[(z * len(data)).long()]",
        "turned round",
    ),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return data.sort().values[(z * len(data) + 5).long().clamp(max=len(data) - 1)]",
        "the answer should be near",
    ),
    ("04_random_vector", "exercise-bend", "def bend(z, data): return data[:3]", "one number for each z"),
    ("04_random_vector", "exercise-slerp", "def slerp(a, b, t): return (1 - t) * a + t * b", "the straight way"),
    ("04_random_vector", "exercise-slerp", "def slerp(a, b, t): return slerp_right(b, a, t)", "exchange the two"),
    (
        "04_random_vector",
        "exercise-slerp",
        "def slerp(a, b, t): return slerp_right(a, b, t) * torch.sin(angle(a, b))",
        "sine of the angle",
    ),
    ("04_random_vector", "exercise-slerp", "def slerp(a, b, t): return slerp_right(a, b, t * t)", "radians"),
    ("04_random_vector", "exercise-slerp", "def slerp(a, b, t): return t", "a vector like a and b"),
    ("05_vae", "workshop-reparameterise", "def reparameterise(mu, log_var, rng): return mu[0]", "same shape"),
    ("05_vae", "workshop-reparameterise", "def reparameterise(mu, log_var, rng): return mu * 1", "where is the noise"),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng): return mu + log_var.exp() * torch.randn(mu.shape, generator=rng)",
        "the spread is the variance",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng): return mu + log_var * torch.randn(mu.shape, generator=rng)",
        "logarithm of the variance",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng): return mu + (log_var / 2).exp() * torch.randn_like(mu)",
        "generator=rng",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng): return torch.normal(mu, (log_var / 2).exp(), generator=rng)",
        "no gradient comes back to mu",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng):\n"
        "    return torch.normal(mu.detach(), (log_var.detach() / 2).exp(), generator=rng)",
        "no gradient comes back to mu",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng):\n"
        "    return mu + (log_var.detach() / 2).exp() * torch.randn(mu.shape, generator=rng)",
        "no gradient comes back to log_var",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng):\n"
        "    half = (mu + mu.detach()) / 2\n"
        "    return half + (log_var / 2).exp() * torch.randn(mu.shape, generator=rng)",
        "their slopes are not",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng):\n"
        "    drawn = mu + (log_var / 2).exp() * torch.randn(mu.shape, generator=rng)\n"
        "    return drawn + (log_var - log_var.detach())",
        "their slopes are not",
    ),
    (
        "05_vae",
        "workshop-reparameterise",
        "def reparameterise(mu, log_var, rng):\n"
        "    return mu + (log_var / 2).exp() * torch.randn(len(mu), 1, generator=rng)",
        "same noise",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (mu**2 + log_var.exp() - 1 - log_var).mean(1) / 2",
        "32 times too small",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (mu**2 + log_var.exp() - 1 - log_var) / 2",
        "add theirs up",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (mu**2 + log_var.exp() - 1 - log_var).sum(1).mean() / 2",
        "one number for the whole batch",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (mu**2 + log_var.exp() - 1 - log_var).sum(1)",
        "one half",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (1 + log_var - mu**2 - log_var.exp()).sum(1) / 2",
        "sign is turned",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return (mu**2 + (2 * log_var).exp() - 1 - 2 * log_var).sum(1) / 2",
        "for the standard deviation",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var): return ((mu**2 + 1) / log_var.exp() - 1 + log_var).sum(1) / 2",
        "the other way round",
    ),
    ("05_vae", "workshop-likelihood", "def log_likelihood(x, m, s=None): return RIGHT(x, m, s).mean()", "whole batch"),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None): return RIGHT(x, m, s) / 75",
        "75 times too small",
    ),
    ("05_vae", "workshop-likelihood", "def log_likelihood(x, m, s=None): return -RIGHT(x, m, s)", "sign is turned"),
    ("05_vae", "workshop-likelihood", "def log_likelihood(x, m, s=None): return 2 * RIGHT(x, m, s)", "minus one half"),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None): return RIGHT(x, m, s**0.5 if s else s)",
        "divide by its square",
    ),
    ("05_vae", "workshop-likelihood", "def log_likelihood(x, m, s=None): return RIGHT(x, m, s or 1.0)", "you take 1"),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None):\n"
        "    variance = (x - m).square().mean() if s is None else torch.tensor(s**2)\n"
        "    return -((x - m).square() / variance).flatten(1).sum(1) / 2",
        "sigma costs nothing",
    ),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None): return RIGHT(x, m, s) + 75 * math.log(2 * math.pi) / 2",
        "log(2 pi) is missing",
    ),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None):\n"
        "    if s: return RIGHT(x, m, s)\n"
        "    return torch.cat([RIGHT(x[k : k + 1], m[k : k + 1]) for k in range(len(x))])",
        "the whole batch, error.mean()",
    ),
    (
        "05_vae",
        "workshop-likelihood",
        "def log_likelihood(x, m, s=None): return RIGHT(x, m.detach(), s)",
        "no gradient comes back",
    ),
    ("05_vae", "exercise-predicted-kl", "def predicted_kl(v, s): return (v / s**2).log() / 2", "stop at zero"),
    ("05_vae", "exercise-predicted-kl", "def predicted_kl(v, s): return (v / s**2).log().clamp(min=0)", "one half"),
    ("05_vae", "exercise-predicted-kl", "def predicted_kl(v, s): return (v / s).log().clamp(min=0) / 2", "square it"),
    (
        "05_vae",
        "exercise-predicted-kl",
        "def predicted_kl(v, s): return (v / s**2).log2().clamp(min=0) / 2",
        "natural logarithm",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return log_deviation.sum(1)",
        "the sign is turned",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return -log_deviation.mean(1)",
        "not their mean",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return -log_deviation.sum()",
        "for the whole batch",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return -log_deviation",
        "its logarithm is a sum",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return -log_deviation.exp().sum(1)",
        "logarithms of the deviations already",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return (-log_deviation.sum(1)).exp()",
        "the determinant itself",
    ),
    (
        "06_flow",
        "exercise-coupling",
        "def coupling_log_det(log_deviation): return -log_deviation.abs().sum(1)",
        "may cancel",
    ),
    (
        "06_flow",
        "exercise-conv",
        "def conv1x1_log_det(w, a, b): return torch.linalg.slogdet(w).logabsdet",
        "for a single pixel",
    ),
    ("06_flow", "exercise-conv", "def conv1x1_log_det(w, a, b): return a * b * torch.linalg.det(w).log()", "negative"),
    (
        "06_flow",
        "exercise-conv",
        "def conv1x1_log_det(w, a, b): return (a + b) * torch.linalg.slogdet(w).logabsdet",
        "height times width",
    ),
    (
        "06_flow",
        "exercise-conv",
        "def conv1x1_log_det(w, a, b): return -a * b * torch.linalg.slogdet(w).logabsdet",
        "the sign is turned",
    ),
    (
        "06_flow",
        "exercise-conv",
        "def conv1x1_log_det(w, a, b): return a * b * torch.linalg.det(w).abs()",
        "not its logarithm",
    ),
    (
        "06_flow",
        "exercise-conv",
        "def conv1x1_log_det(w, a, b): return 3 * a * b * torch.linalg.slogdet(w).logabsdet",
        "count the pixels only",
    ),
    (
        "06_flow",
        "exercise-bits",
        "import math\ndef bits_per_dim(p, n): return 8 + p / (n * math.log(2))",
        "the sign before log_prob",
    ),
    ("06_flow", "exercise-bits", "import math\ndef bits_per_dim(p, n): return -p / (n * math.log(2))", "one in 256"),
    ("06_flow", "exercise-bits", "import math\ndef bits_per_dim(p, n): return 8 - p / n", "so divide"),
    (
        "06_flow",
        "exercise-bits",
        "import math\ndef bits_per_dim(p, n): return 8 - p * math.log(2) / n",
        "do not multiply",
    ),
    ("06_flow", "exercise-bits", "import math\ndef bits_per_dim(p, n): return 8 - p / math.log(2)", "how many numbers"),
    (
        "06_flow",
        "exercise-bits",
        "import math\ndef bits_per_dim(p, n): return (8 - p / (n * math.log(2))).mean()",
        "one number for each picture",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return x[0]",
        "the shape of x",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return alpha_bar.sqrt() * x + (1 - alpha_bar) * noise",
        "needs the standard deviation",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return alpha_bar * x + (1 - alpha_bar) * noise",
        "both factors need a square root",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return x + (1 - alpha_bar).sqrt() * noise",
        "never becomes standard normal",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return (1 - alpha_bar).sqrt() * x + alpha_bar.sqrt() * noise",
        "are exchanged",
    ),
    (
        "07_diffusion",
        "workshop-add-noise",
        "def add_noise(x, noise, alpha_bar): return alpha_bar.sqrt() * x + (1 - alpha_bar.sqrt()) * noise",
        "squares of both factors",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, x, a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "without noise",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, a * x + (1 - a) * noise, a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "is not x_t",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a)\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "one alpha_bar for each picture",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).abs()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "square it",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - noise).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "compare with the noise: target",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - x).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "compare with the noise: target(predicts, x",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (error).mean()",
        "the weight is missing",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return loss_weight(predicts, a).mean() * error.mean()",
        "multiply first",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error).sum()",
        "take the mean, so that",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error)",
        "one number is wanted for the whole batch",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten())\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight('picture', a) * error).mean()",
        "hand predicts to loss_weight",
    ),
    (
        "07_diffusion",
        "workshop-loss",
        "def denoising_loss(network, captions, x, a, noise, predicts):\n"
        "    said = network(captions, add_noise(x, noise, a), a.flatten()).detach()\n"
        "    error = (said - target(predicts, x, noise, a)).square()\n"
        "    return (loss_weight(predicts, a) * error).mean()",
        "no gradient comes back",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean + variance.sqrt() * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "you begin at the level with no noise",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, before), now, before)\n"
        "        x = mean + variance.sqrt() * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "the first question is about pure noise",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(estimate(x, now), x, now, before)\n"
        "        x = mean + variance.sqrt() * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "should have the mean",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean\n"
        "    return x",
        "no fresh noise comes in",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean + variance * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "too little noise",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean + (1 - now / before).sqrt() * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "too much noise",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean + variance.sqrt() * torch.randn(2, generator=rng)\n"
        "    return x",
        "share their fresh noise",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = mean + variance.sqrt() * torch.randn(x.shape)\n"
        "    return x",
        "the same generator",
    ),
    (
        "07_diffusion",
        "workshop-sampler",
        "def ancestral_sampling(estimate, x, levels, rng):\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        mean, variance = ddpm(x, estimate(x, now), now, before)\n"
        "        x = estimate(x, now) + variance.sqrt() * torch.randn(x.shape, generator=rng)\n"
        "    return x",
        "the denoiser should be asked once",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before).sqrt() * fresh",
        "no fresh noise should come in",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before) * noise + sigma * fresh",
        "take the square root of 1 - before",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - now).sqrt() * noise + sigma * fresh",
        "the noise of the old level",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return now.sqrt() * picture + (1 - before).sqrt() * noise + sigma * fresh",
        "where you go, not of now",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture",
        "the old noise is missing",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before).sqrt() * x_t",
        "where its noise should stand",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before).sqrt() * noise",
        "yours never does",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before).sqrt() * noise + sigma * fresh",
        "old noise must go",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, eta)\n"
        "    return before.sqrt() * picture + (1 - before - sigma**4).sqrt() * noise + sigma**2 * fresh",
        "sigma is the square root",
    ),
    (
        "07_diffusion",
        "workshop-ddim",
        "def ddim_step(x_t, picture, now, before, fresh, eta):\n"
        "    noise, sigma = ddim_parts(x_t, picture, now, before, 0.5 * eta)\n"
        "    return before.sqrt() * picture + (1 - before - sigma**2).clamp(min=0).sqrt() * noise + sigma * fresh",
        "yours is 0.289",
    ),
    (
        "08_gan",
        "exercise-best-discriminator",
        "def optimal_discriminator(p, q): return q / (p + q)",
        "chance of being made",
    ),
    ("08_gan", "exercise-best-discriminator", "def optimal_discriminator(p, q): return p / q", "no probability"),
    (
        "08_gan",
        "exercise-best-discriminator",
        "def optimal_discriminator(p, q): return (p > q).float()",
        "takes a side",
    ),
    ("08_gan", "exercise-best-discriminator", "def optimal_discriminator(p, q): return p.sum()", "same length"),
    ("08_gan", "exercise-best-discriminator", "def optimal_discriminator(p, q): return p", "compared with q"),
    (
        "08_gan",
        "exercise-best-discriminator",
        "def optimal_discriminator(p, q): return p / (p + q)",
        "one half is wanted",
    ),
    (
        "08_gan",
        "exercise-best-discriminator",
        "def optimal_discriminator(p, q): return p / (p + q).clamp(min=1e-9)",
        "you give 0.000",
    ),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return 2 * jsd_right(p, q)", "twice too large"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return -jsd_right(p, q)", "sign is turned"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return jsd_right(p, q) / torch.tensor(2.0).log()", "in bits"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return (p - q).abs().sum() / 2", "total variation"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return (p * (p / q).log()).sum()", "0 log 0"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return torch.xlogy(p, p / q).sum()", "exchange p and q"),
    ("08_gan", "exercise-jsd", "def jensen_shannon(p, q): return torch.xlogy(p, p)", "one number"),
    (
        "08_gan",
        "exercise-penalty",
        "def gradient_penalty(d, c, x): return penalty_right(d, c, x, slope=lambda s: s.flatten(1).norm(dim=1).mean())",
        "square it",
    ),
    (
        "08_gan",
        "exercise-penalty",
        "def gradient_penalty(d, c, x): return penalty_right(d, c, x, slope=lambda s: s.square().mean())",
        "averages over the pixels",
    ),
    (
        "08_gan",
        "exercise-penalty",
        "def gradient_penalty(d, c, x): return penalty_right(d, c, x, slope=lambda s: s.square().sum())",
        "adds up the whole batch",
    ),
    (
        "08_gan",
        "exercise-penalty",
        "def gradient_penalty(d, c, x):\n"
        "    return penalty_right(d, c, x, slope=lambda s: (s.flatten(1).norm(dim=1) - 1).square().mean())",
        "WGAN-GP",
    ),
    (
        "08_gan",
        "exercise-penalty",
        "def gradient_penalty(d, c, x): return penalty_right(d, c, x, graph=False)",
        "create_graph=True",
    ),
    ("08_gan", "exercise-penalty", "def gradient_penalty(d, c, x): return penalty_right(d, c, x)[0]", "two things"),
    (
        "09_comparison",
        "exercise-evaluations",
        "def evaluations(network, act): return 5 * heard(network, act)",
        "pictures",
    ),
    (
        "09_comparison",
        "exercise-evaluations",
        "def evaluations(network, act): return sum(heard(layer, act) for layer in network)",
        "act() ran 2 times",
    ),
    (
        "09_comparison",
        "exercise-evaluations",
        "def evaluations(network, act): return 2 * heard(network, act)",
        "the layers inside",
    ),
    ("09_comparison", "exercise-evaluations", "def evaluations(network, act): return 4", "nobody called act()"),
    (
        "09_comparison",
        "exercise-evaluations",
        "def evaluations(network, act):\n    act()\n    return heard(network, int)",
        "before act() runs",
    ),
    (
        "09_comparison",
        "exercise-evaluations",
        "def evaluations(network, act): return heard(network, act, leave=True)",
        "takes it off",
    ),
    (
        "09_comparison",
        "exercise-pareto",
        "def pareto_front(cost):\n    return ~(cost[:, None] < cost[None]).all(2).any(0)",
        "a tie in one is enough",
    ),
    (
        "09_comparison",
        "exercise-pareto",
        "def pareto_front(cost): return ~(cost[:, None] <= cost[None]).all(2).any(0)",
        "you leave nobody",
    ),
    (
        "09_comparison",
        "exercise-pareto",
        "def pareto_front(cost): return (cost == cost.amin(0)).any(1)",
        "first in one thing",
    ),
    (
        "09_comparison",
        "exercise-pareto",
        "def pareto_front(cost):\n"
        "    return ((cost[:, None] <= cost[None]).all(2) & (cost[:, None] < cost[None]).any(2)).any(0)",
        "turned round",
    ),
    ("09_comparison", "exercise-pareto", "def pareto_front(cost): return cost.sum(1).argmin()", "True and False"),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (x - r).square().mean()",
        "error of the pixels",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r)).abs().mean()",
        "square it",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r)).square().sum()",
        "adds up the whole batch",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r)).square().sum(1).mean()",
        "features of a picture",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r)).mean().square()",
        "cancel",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r)).square().mean(1)",
        "one number",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-similarity",
        "def learned_similarity(f, c, x, r): return (f(c, x) - f(c, r.detach())).square().mean()",
        "no gradient reaches",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise): return ddpm(x, p, now, before)[0]",
        "that is the mean",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise):\n"
        "    mean, variance = ddpm(x, p, now, before)\n"
        "    return mean + variance * noise",
        "the root of it",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise): return before.sqrt() * p + (1 - before).sqrt() * noise",
        "forgets x_t",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise): return ddpm(x, p, now, before)[0] + noise",
        "all the noise of a normal draw",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise): return ddpm(x, p, before, now)[0]",
        "are exchanged",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-two-levels",
        "def two_levels(x, now, before, rng): return jump(x, before, rng), jump(x, now, rng)",
        "both have fresh noise",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-two-levels",
        "def two_levels(x, now, before, rng):\n"
        "    noise = torch.randn(x.shape, generator=rng)\n"
        "    return tuple(a.sqrt() * x + (1 - a).sqrt() * noise for a in (before, now))",
        "the same noise",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-two-levels",
        "def two_levels(x, now, before, rng):\n"
        "    first = jump(x, before, rng)\n"
        "    return first, jump(first, now, rng)",
        "now / before",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-two-levels",
        "def two_levels(x, now, before, rng):\n"
        "    first = jump(x, before, rng)\n"
        "    return jump(first, now / before, rng), first",
        "return x_{t-1} first",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-two-levels",
        "def two_levels(x, now, before, rng): return jump(x, before, rng)",
        "two things",
    ),
    (
        "11_latent_diffusion",
        "exercise-scale",
        "def scale_factor(grids): return grids.std()",
        "larger still",
    ),
    (
        "11_latent_diffusion",
        "exercise-scale",
        "def scale_factor(grids): return 1 / grids.var()",
        "divide by the variance",
    ),
    ("11_latent_diffusion", "exercise-scale", "def scale_factor(grids): return grids.var()", "that is the variance"),
    (
        "11_latent_diffusion",
        "exercise-scale",
        "def scale_factor(grids): return 1 / grids.std((0, 2, 3))",
        "one number for all channels",
    ),
    (
        "11_latent_diffusion",
        "exercise-scale",
        "def scale_factor(grids): return 1 / grids.std((0, 2, 3)).mean()",
        "average the standard deviations",
    ),
    (
        "11_latent_diffusion",
        "exercise-scale",
        "def scale_factor(grids): return 1 / grids.abs().max()",
        "strange picture",
    ),
    ("11_latent_diffusion", "exercise-words", "def mean_over_words(h, empty): return h.mean(1)", "count as words"),
    (
        "11_latent_diffusion",
        "exercise-words",
        "def mean_over_words(h, empty): return h.masked_fill(empty[..., None], 0).mean(1)",
        "divide by all places",
    ),
    (
        "11_latent_diffusion",
        "exercise-words",
        "def mean_over_words(h, empty): return h.masked_fill(empty[..., None], 0).sum(1)",
        "speak louder",
    ),
    (
        "11_latent_diffusion",
        "exercise-words",
        "def mean_over_words(h, empty): return (h * empty[..., None]).sum(1) / empty.sum(1, True).clamp(1)",
        "no word",
    ),
    ("11_latent_diffusion", "exercise-words", "def mean_over_words(h, empty): return h.mean(2)", "within each word"),
    (
        "12_homework_6",
        "exercise-nearest",
        "def nearest(a, b): return torch.cdist(a.flatten(1), b.flatten(1)).mean(1)",
        "mean distance to all",
    ),
    (
        "12_homework_6",
        "exercise-nearest",
        "def nearest(a, b): return torch.cdist(a.flatten(1), b.flatten(1)).amin(0)",
        "each training picture",
    ),
    (
        "12_homework_6",
        "exercise-nearest",
        "def nearest(a, b): return torch.cdist(a.flatten(1), b.flatten(1)).amin(1).square()",
        "take the root",
    ),
    (
        "12_homework_6",
        "exercise-nearest",
        "def nearest(a, b): return torch.cdist(a.flatten(1), b.flatten(1)).amax(1)",
        "the farthest",
    ),
    (
        "12_homework_6",
        "exercise-nearest",
        "def nearest(a, b): return torch.cdist(a.flatten(1), b.flatten(1), p=1).amin(1)",
        "absolute differences",
    ),
    ("12_homework_6", "exercise-mirror", "def mirror(pictures, u): return pictures.flip(-1)", "all are mirrored"),
    (
        "12_homework_6",
        "exercise-mirror",
        "def mirror(x, u): return torch.where((u < 0.5)[:, None, None, None], x.flip(-2), x)",
        "on their heads",
    ),
    (
        "12_homework_6",
        "exercise-mirror",
        "def mirror(x, u): return torch.where((u < 0.5)[:, None, None, None], x, x.flip(-1))",
        "those are the others",
    ),
    (
        "12_homework_6",
        "exercise-mirror",
        "def mirror(x, u):\n    x[u < 0.5] = x[u < 0.5].flip(-1)\n    return x",
        "leave them as they are",
    ),
    ("12_homework_6", "exercise-mirror", "def mirror(pictures, u): return pictures[u < 0.5].flip(-1)", "the shape of"),
]

# Other right answers than the solution that the notebook gives.
RIGHT_ANSWERS = [
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return torch.tensor(dogs.LANGUAGE.entropy(c))"),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return data.sort().values[(z * len(data)).long()]",  # as the notebook bends sizes
    ),
    (
        "04_random_vector",
        "exercise-bend",
        "def bend(z, data): return data.sort().values[(z * (len(data) - 1)).round().long()]",
    ),
    ("04_random_vector", "exercise-bend", "def bend(z, data): return torch.quantile(data.double(), z.double())"),
]

# Written once, for wrong answers that are nearly right.
NEARLY = """
import itertools

def right(p):
    axes = range(p.ndim)
    marginals = [p.sum([other for other in axes if other != axis]) for axis in axes]
    return (sum(torch.special.entr(m).sum() for m in marginals) - torch.special.entr(p).sum()).item() / math.log(2)

def angle(a, b):
    return torch.arccos(a @ b / (a.norm() * b.norm()))

def ddim_parts(x_t, picture, now, before, eta):
    sigma = eta * ((1 - before) / (1 - now) * (1 - now / before)).sqrt()
    return (x_t - now.sqrt() * picture) / (1 - now).sqrt(), sigma

def slerp_right(a, b, t):
    omega = angle(a, b)
    return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)

def jsd_right(p, q):
    m = (p + q) / 2
    return (torch.xlogy(p, p) + torch.xlogy(q, q)).sum() / 2 - torch.xlogy(m, m).sum()

def penalty_right(d, c, x, slope=lambda s: s.square().flatten(1).sum(1).mean(), graph=True):
    x = x.detach().requires_grad_()
    logits = d(c, x)
    return slope(torch.autograd.grad(logits.sum(), x, create_graph=graph, retain_graph=True)[0]), logits

def ddpm(x_t, picture, now, before):
    beta = 1 - now / before
    mean = (before.sqrt() * beta * picture + (now / before).sqrt() * (1 - before) * x_t) / (1 - now)
    return mean, (1 - before) / (1 - now) * beta

def jump(x, alpha_bar, rng):
    return alpha_bar.sqrt() * x + (1 - alpha_bar).sqrt() * torch.randn(x.shape, generator=rng)

from helpers.models.diffusion import add_noise, loss_weight, target
from helpers.models.vae import log_likelihood as RIGHT

def heard(network, act, leave=False):
    calls = []
    hook = network.register_forward_hook(lambda *_: calls.append(1))
    act()
    if not leave:
        hook.remove()
    return len(calls)
"""


def cells(notebook: str) -> dict:
    return {cell.id: cell for cell in nbformat.read(NOTEBOOKS / f"{notebook}.ipynb", as_version=4).cells}


def last_value(source: str, namespace: dict) -> object:
    """Runs a cell as a kernel would, and returns what its check says; a step of a workshop is handed its check."""
    *body, last = ast.parse(source).body
    exec(compile(ast.Module(body, type_ignores=[]), "cell", "exec"), namespace)
    call = last.value
    if isinstance(last, ast.Assign):
        answer, check = call.args[:2]
        assert ast.unparse(last.targets[0]) == ast.unparse(answer)  # what the lesson runs on has the name of the step
        call = ast.Call(check, [answer], [])
    return eval(compile(ast.fix_missing_locations(ast.Expression(call)), "cell", "eval"), namespace)


def verdict_on(notebook: str, source: str) -> Verdict:
    namespace = {"math": math, "torch": torch}
    exec(cells(notebook)["setup"].source, namespace)
    return last_value(source, namespace)


def with_what_came_before(notebook: str, solution: str) -> str:
    """The solution after the imports and definitions that stand above it: a step may use what is taught before it."""
    above = itertools.takewhile(lambda cell: cell.id != solution, cells(notebook).values())
    nodes = [node for cell in above if cell.cell_type == "code" for node in ast.parse(cell.source).body]
    taught = [ast.unparse(node) for node in nodes if isinstance(node, (ast.Import, ast.ImportFrom)) or is_alone(node)]
    return "\n".join([*taught, cells(notebook)[solution].source])


def is_alone(node: ast.stmt) -> bool:
    """Whether this defines a function or class without a look at a notebook's variable."""
    if isinstance(node, ast.FunctionDef):
        return all(isinstance(default, ast.Constant) for default in node.args.defaults)
    return isinstance(node, ast.ClassDef)


def exercises() -> list[tuple[str, str, str]]:
    found = []
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        code = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
        for stub, solution in itertools.pairwise(code):
            if is_stub(stub):
                found.append((path.stem, stub.id, solution.id))
    return found


@pytest.mark.parametrize(("notebook", "stub", "solution"), exercises())
def test_the_stub_is_met_politely_and_the_solution_passes(notebook, stub, solution):
    unsolved = verdict_on(notebook, cells(notebook)[stub].source)
    assert unsolved.status == UNFINISHED
    solved = verdict_on(notebook, with_what_came_before(notebook, solution))
    assert solved.status == PASSED, solved


@pytest.mark.parametrize(("notebook", "stub", "answer", "hint"), WRONG_ANSWERS)
def test_a_typical_wrong_answer_gets_the_hint_that_fits(notebook, stub, answer, hint):
    check_call = cells(notebook)[stub].source.splitlines()[-1]  # all of it stands on one line
    verdict = verdict_on(notebook, f"{NEARLY}\n{answer}\n{check_call}")
    assert verdict.status == WRONG
    assert hint in verdict.message
    assert hint.replace("'", "&#x27;") in verdict._repr_html_()


@pytest.mark.parametrize(("notebook", "stub", "answer"), RIGHT_ANSWERS)
def test_other_right_answers_pass_as_well(notebook, stub, answer):
    verdict = verdict_on(notebook, f"{answer}\n{cells(notebook)[stub].source.splitlines()[-1]}")
    assert verdict.status == PASSED, verdict


@pytest.mark.parametrize(("notebook", "stub", "solution"), exercises())
def test_every_exercise_has_wrong_answers(notebook, stub, solution):
    assert sum((notebook, stub) == wrong[:2] for wrong in WRONG_ANSWERS) >= 3


def test_an_answer_that_is_not_implemented_counts_as_not_finished():
    source = "def bits_left_open(c): raise NotImplementedError\nchecks.bits_left_open(bits_left_open)"
    assert verdict_on("01_one_to_many", source).status == UNFINISHED
