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
    ("00_start_here", "exercise-fool", "def fool(picture): return picture", "as it was"),
    ("00_start_here", "exercise-fool", "def fool(picture): return picture.flip(-1)", "pixels; 1 at most"),
    ("00_start_here", "exercise-fool", "def fool(picture): return picture[None]", "a picture like the one"),
    (
        "00_start_here",
        "exercise-fool",
        "def fool(picture):\n    picture[:, 0, 0] = 0\n    return picture",
        "make a copy first",
    ),
    (
        "00_start_here",
        "exercise-fool",
        "def fool(picture):\n    new = picture.clone()\n    new[:, 0, 0] += 1\n    return new",
        "from 0, black, to 1",
    ),
    (
        "00_start_here",
        "exercise-fool",
        "def fool(picture):\n    new = picture.clone()\n    new[:, 0, 0] *= 0.98\n    return new",
        "still accepts 6",
    ),
    ("00_start_here", "exercise-worst-patch", "def worst_patch(p, r): return (p - r).square().amax()", "five numbers"),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return patches(p, r).amax((1, 2))",
        "root is missing",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return (3 * patches(p, r)).amax((1, 2)).sqrt()",
        "three colours",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return (4 * patches(p, r)).amax((1, 2)).sqrt()",
        "four pixels",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return (p - r).square().mean(1).amax((1, 2)).sqrt()",
        "the worst pixel",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return (p - r).square().mean((1, 2, 3)).sqrt()",
        "over the whole picture",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return patches(p, r).amin((1, 2)).sqrt()",
        "the best patch",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return patches(p, r, 2).amax((1, 2)).sqrt()",
        "every second patch",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return patches((p - r).abs().sqrt(), 0 * r).amax((1, 2))",
        "without their squares",
    ),
    (
        "00_start_here",
        "exercise-worst-patch",
        "def worst_patch(p, r): return patches(p, r).amax((1, 2)).sqrt() / 7",
        "for the first picture",
    ),
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
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return 7.58", "Which attributes are open"),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return c", "should be a number"),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return c.bits", "AttributeError"),
    (
        "01_one_to_many",
        "exercise-bits",
        "def bits_left_open(c):\n"
        "    named = dogs.LANGUAGE.parse(c)\n"
        "    return sum(math.log2(len(v)) for k, v in dogs.LANGUAGE.nameable.items() if k not in named)",
        "no caption names the skyline",
    ),
    (
        "01_one_to_many",
        "exercise-bits",
        "def bits_left_open(c):\n"
        "    named = dogs.LANGUAGE.parse(c)\n"
        "    return math.prod(math.log2(len(v)) for k, v in dogs.LANGUAGE.attributes.items() if k not in named)",
        "bits add up",
    ),
    ("01_one_to_many", "exercise-split-error", "def split_error(g, p): return (p - g).square().mean()", "two numbers"),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return p.var(0), (g - p.mean(0)) ** 2",
        "one number",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return p.var(0).mean(), (g - p.mean(0)).square().mean()",
        "divides by n - 1",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (p - p.mean()).square().mean(), (g - p.mean()).square().mean()",
        "over dimension 0 only",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (g - p.mean(0)).square().mean(), (p - p.mean(0)).square().mean()",
        "wrong order",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (p - g).square().mean(), (g - p.mean(0)).square().mean()",
        "does not depend on the guess",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (p - p.mean(0)).square().sum() / len(p), (g - p.mean(0)).square().sum()",
        "average, do not sum",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (p - p.mean(0)).square().mean(), (g - p.mean(0)).abs().mean()",
        "without its square",
    ),
    (
        "01_one_to_many",
        "exercise-split-error",
        "def split_error(g, p): return (p - p.mean(0)).square().mean(), (g - p.mean(0)).square().mean() / 2",
        "and its error",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (S(s, r) - 1 / len(r)).sum()",
        "cancel",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (S(s, r) - 1 / len(r)).abs().sum()",
        "counts everything twice",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (S(s, r) - 1 / len(r)).abs().mean()",
        "average over the answers",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (S(s, r) - 1 / len(r)).abs().sum() / 2",
        "must change as well",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (S(s, r) - 1 / len(r)).square().sum() ** 0.5",
        "it should be 0.750",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return (1 / len(r) - S(s, r)).abs().max()",
        "every answer counts",
    ),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r): return 1 - (1 / len(r) - S(s, r)).clamp(min=0).sum()",
        "that is the coverage",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, mask=False)",
        "looks ahead",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, scale=1)",
        "scale is missing",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, scale=q.shape[-1] // h)",
        "divide by its root",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, scale=q.shape[-1] ** 0.5)",
        "right for one head",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, 1)",
        "that is one head",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, first=0)",
        "may the first place look at itself",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, bar=0)",
        "exp(0) is 1",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, past=True)",
        "forbids the past",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, axis=-2)",
        "over the keys",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, merge=False)",
        "lay the heads side by side",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, merge=False).reshape(q.shape)",
        "transpose(1, 2) before you flatten",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-attention",
        "def causal_attention(q, k, v, h): return attend(q, k, v, h, square=False)",
        "t rows and s columns",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return nats(m, t)",
        "one number for each token",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return nats(m, t).sum(1)",
        "right without filling",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t) * c[:, 1:]).sum(1).mean()",
        "whole batch",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t) * c[:, 1:]).mean(1)",
        "add up those that count",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t) * c[:, 1:]).sum(1) / c[:, 1:].sum(1)",
        "average over the tokens",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t) * c[:, :-1]).sum(1)",
        "counted[:, 1:]",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return -(nats(m, t) * c[:, 1:]).sum(1)",
        "sign is turned",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t) * c[:, 1:]).sum(1) / math.log(2)",
        "that is in bits",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t, t, t) * c).sum(1)",
        "that very token",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t, t[:, :-1], t[:, :-1]) * c[:, 1:]).sum(1)",
        "asked for again",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(m, t, t[:, 1:], t[:, :-1]) * c[:, 1:]).sum(1)",
        "the one before it",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(lambda x: m(t)[:, :-1], t) * c[:, 1:]).sum(1)",
        "read the last token too",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return (nats(lambda x: m(x).detach(), t) * c[:, 1:]).sum(1)",
        "do not detach",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, *knobs)[:, t.shape[1] :]",
        "new tokens alone",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(lambda x: f(x[:, -1:]), t, z, *knobs)",
        "only the newest token",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(lambda x: f(t), t, z, *knobs)",
        "same beginning",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, 0)",
        "always take the likeliest",
    ),
    ("02_pixel_by_pixel", "workshop-write", "write = lambda f, t, z, *knobs: going_on(f, t, z)", "neither knob"),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, 1.0, knobs[1])",
        "the temperature is not",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, knobs[0])",
        "top_k is not",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, 1 / knobs[0], knobs[1])",
        "divided by it",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z[:, :1].expand(z.shape), *knobs)",
        "same number",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, torch.rand(z.shape), *knobs)",
        "draw nothing else",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z[:, :1], *knobs)",
        "(n, 6) is wanted",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: going_on(f, t, z, *knobs).roll(-2, 1)",
        "not before them",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-write",
        "write = lambda f, t, z, *knobs: [going_on(f, t, z, *knobs), f(t)][0]",
        "look once at each step",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v) and (k, v)",
        "put the new ones behind the old",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v)[::-1]",
        "wrong way round",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v, dim=2)",
        "RuntimeError",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v, last=False)",
        "behind the old",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v, room=9)",
        "the whole room",
    ),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v, step=1)",
        "the number of places it holds",
    ),
    ("02_pixel_by_pixel", "workshop-cache", "class Cache(Keeps):\n    def append(self, k, v): return k", "two tensors"),
    (
        "02_pixel_by_pixel",
        "workshop-cache",
        "class Cache(Keeps):\n    kept, seen, append = [], 0, Keeps.keep\nCache.__init__ = lambda self, n: None",
        "each layer has",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).float().mean(0) for c in range(k)])",
        "turn the table round",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).float().mean(1) for c in range(k)], 1)",
        "a row for each picture",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).sum(0) for c in range(k)], 1)",
        "these are counts",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).float().mean().expand(3) for c in range(k)], 1)",
        "count each pixel by itself",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).float().mean(0) for c in t.unique()], 1)",
        "one column is missing",
    ),
    (
        "03_pixel_independence",
        "workshop-marginals",
        "def marginals(t, k): return torch.stack([(t == c).float().sum(0) for c in range(k)], 1) / t.numel()",
        "every row should",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return torch.multinomial(s, n, replacement=True, generator=rng)",
        "a row for each picture",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return torch.multinomial(s, n, generator=rng).T",
        "without replacement",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return torch.multinomial(s, n, replacement=True).T",
        "generator=rng",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return s.argmax(1).expand(n, -1)",
        "the likeliest colour",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return torch.multinomial(s, 1, generator=rng).T.expand(n, -1)",
        "all your pictures are alike",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng): return torch.randint(3, (n, 2), generator=rng)",
        "should say how often",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng):\n"
        "    return torch.multinomial(s.mean(0), 2 * n, replacement=True, generator=rng).view(n, 2)",
        "a row of its own",
    ),
    (
        "03_pixel_independence",
        "workshop-draw",
        "def draw_independently(s, n, rng):\n"
        "    return (s.cumsum(1)[:, None] < torch.rand(n, 1, generator=rng)).sum(2).T",
        "one die served them both",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t): return right(s, t) * math.log(2)",
        "right in nats",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t): return -right(s, t)",
        "the sign",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t): return right(s, t) / t.shape[1]",
        "a mean over the pixels",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t): return torch.special.entr(s).sum().item() / math.log(2)",
        "one by one; take the picture's",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t): return torch.special.entr(s).sum().item() / math.log(2) - math.log2(len(t))",
        "two of them are equal",
    ),
    (
        "03_pixel_independence",
        "workshop-total-correlation",
        "def total_correlation(s, t):\n"
        "    return torch.special.entr(s).sum().item() / math.log(2) - math.log2(len(t.unique(dim=0)))",
        "one comes twice",
    ),
    ("03_pixel_independence", "workshop-total-correlation", "def total_correlation(s, t): return s", "one number"),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng): return round_of(a, p, known, rng)",
        "those that contradict",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng): return round_of(a[(a == p)[:, known].all(1)], p, known, rng)",
        "take those that agree with the most",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng):\n    return round_of(a[most((a == p).sum(1))], p, known, rng)",
        "you compare all pixels",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng):\n"
        "    return round_of(a[((a == p) & known).any(1)] if known.any() else a, p, known, rng)",
        "one known pixel that agrees",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng):\n"
        "    return round_of(a[most((a == p)[:, known].sum(1))], p, known & False, rng)",
        "a known pixel has changed",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng): return p[None]",
        "give one picture",
    ),
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng):\n"
        "    chosen = a[most((a == p)[:, known].sum(1))]\n"
        "    one = chosen[torch.randint(len(chosen), (), generator=rng)]\n"
        "    return torch.where(known, p, one)",
        "all come from one answer",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density): return x[:5]",
        "one number for each z",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n    return cdf_right(z, x, density)",
        "the way back",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density): return x[0] + (x[-1] - x[0]) * z",
        "evenly spread",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density): return INVERSE((1 - z).clamp(max=0.9999), x, density)",
        "turned round",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density): return x[torch.multinomial(density, len(z), replacement=True)]",
        "z used once",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n"
        "    cdf = density.cumsum(0) / density.sum()\n"
        "    return x[torch.searchsorted(cdf, z)]",
        "finer at the left",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n"
        "    cdf = (density[1:] * x.diff()).cumsum(0)\n"
        "    return x[torch.searchsorted(cdf, z)]",
        "not 1",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n"
        "    cdf = (density[1:] * x.diff()).cumsum(0)\n"
        "    return x[torch.searchsorted(cdf / cdf[-1], z)]",
        "go on between them",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n"
        "    cdf = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(density, x)])\n"
        "    cdf = cdf / cdf[-1]\n"
        "    k = torch.searchsorted(cdf, z).clamp(max=len(x) - 2)\n"
        "    return x[k] + (z - cdf[k]) / (cdf[k + 1] - cdf[k]) * (x[k + 1] - x[k])",
        "are not numbers",
    ),
    ("04_random_vector", "workshop-energy-distance", "def energy_distance(a, b): return FAR(a, b).item()", "a tensor"),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return torch.cdist(a, b)",
        "take means",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return 2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - "
        "torch.cdist(b, b).mean()",
        "n (n - 1)",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return FAR(a, b) - torch.cdist(a, b).mean()",
        "counts twice",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return 2 * torch.cdist(a, b).mean() - torch.pdist(a).mean()",
        "second crowd are missing",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return 2 * torch.cdist(a, b).mean() - torch.pdist(b).mean()",
        "first crowd are missing",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return 2 * torch.cdist(a, b).mean()",
        "the middle of the others",
    ),
    ("04_random_vector", "workshop-energy-distance", "def energy_distance(a, b): return -FAR(a, b)", "sign is turned"),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return FAR(a, b).sqrt()",
        "take the root",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b):\n"
        "    return 2 * torch.cdist(a, b).square().mean() - torch.cdist(a, a).square().mean() - "
        "torch.cdist(b, b).square().mean()",
        "but the two means cancels",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return (a.mean(0) - b.mean(0)).norm()",
        "can have one mean",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return (a - b).norm(dim=1).mean()",
        "nobody has a partner",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return FAR(a.detach(), b)",
        "no gradient comes back",
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b):\n"
        "    far = lambda p, q: (p[:, None] - q).square().sum(-1).sqrt()\n"
        "    n, m = len(a), len(b)\n"
        "    return 2 * far(a, b).mean() - far(a, a).sum() / (n * (n - 1)) - far(b, b).sum() / (m * (m - 1))",
        "a root has none at 0",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(real, real)",
        "never called",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.randn(real.shape, generator=rng)), real)",
        "latent_size numbers",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.randn(1, d, generator=rng)), real)",
        "not (1, 3)",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.randn(1, d, "
        "generator=rng).expand(len(real), d)), real)",
        "all points get the same z",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.rand(len(real), d, generator=rng)), real)",
        "standard normal",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.randn(len(real), d)), real)",
        "generator=rng",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng):\n"
        "    rng.manual_seed(0)\n"
        "    return distance(g(torch.randn(len(real), d, generator=rng)), real)",
        "whatever rng is",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return (g(torch.randn(len(real), d, generator=rng)) - "
        "real).square().mean()",
        "for a partner",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng):\n"
        "    return distance(g(torch.randn(len(real), d, generator=rng)).detach(), real)",
        "no gradient",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return -distance(g(torch.randn(len(real), d, "
        "generator=rng)), real)",
        "sign is turned",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(g(torch.randn(len(real), d, "
        "generator=rng)), real) ** 2",
        "return it as it is",
    ),
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
        "def kl_divergence(mu, log_var): return (mu**2 + log_var.exp() - log_var).sum(1) / 2",
        "brings a -1",
    ),
    (
        "05_vae",
        "workshop-kl",
        "def kl_divergence(mu, log_var):\n"
        "    return (mu**2 + log_var.exp() - 1 - log_var + math.log(2 * math.pi)).sum(1) / 2",
        "left log(2 pi) in",
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
        "def predicted_kl(v, s): return ((s**2 / v - 1 - (s**2 / v).log()) / 2).where(v > s**2, 0.0)",
        "if mu were always 0",
    ),
    (
        "05_vae",
        "exercise-predicted-kl",
        "def predicted_kl(v, s): return (v / s**2).log2().clamp(min=0) / 2",
        "natural logarithm",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess): return x",
        "two tensors are wanted",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n    m, s = guess(x[:, moves])\n    return x, -s.sum(1)",
        "and of nothing else",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n    m, s = guess(x)\n    return x, -s.sum(1)",
        "and of nothing else",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n    m, s = guess(x[:, :2])\n    return x.clone(), -s.sum(1)",
        "something else than the numbers that stay",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess): return x.clone(), x.sum(1)",
        "you never ask guess",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n"
        "    m, s = guess(x[:, stays])\n"
        "    x[:, moves] = (x[:, moves] - m).detach()\n"
        "    return x, -s.sum(1)",
        "begin with y = x.clone()",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n"
        "    m, s = guess(x[:, stays])\n"
        "    return SURPRISE(x[:, moves], m, s), -s.sum(1)",
        "the shape of x",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "def coupling_forward(x, stays, moves, guess):\n"
        "    m, s = guess(x[:, stays])\n"
        "    return torch.cat([x[:, stays], SURPRISE(x[:, moves], m, s)], 1), -s.sum(1)",
        "come out as they went in",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: x * s.exp() + m)",
        "the way back",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: (x - m) * s.exp())",
        "divide by it",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: x / s.exp() - m)",
        "subtract first",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: (x - m) / s)",
        "by the logarithm of the deviation",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: x - m)",
        "now divide by the deviation",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: (x + m) / s.exp())",
        "and log deviation",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(lambda x, m, s: SURPRISE(x, m, s).detach())",
        "no gradient comes back from y",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: s.sum(1))",
        "the sign of log_det is turned",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.mean(1))",
        "not their mean",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s)",
        "its logarithm is a sum",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.sum())",
        "for the whole batch",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.sum(1, keepdim=True))",
        "the shape (4,)",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: (-s.sum(1)).exp())",
        "the determinant itself",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.exp().sum(1))",
        "is a logarithm already",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.abs().sum(1))",
        "may cancel",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.sum(1) - m.sum(1))",
        "log_det is",
    ),
    (
        "06_flow",
        "workshop-coupling-forward",
        "coupling_forward = forwards(SURPRISE, lambda m, s: -s.sum(1).detach())",
        "no gradient comes back from log_det",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess): return y.clone()",
        "you never ask guess",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n    m, s = guess(y[:, moves])\n    return y",
        "and of nothing else",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n    m, s = guess(y[:, 3:])\n    return y",
        "something else than the numbers that stay",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n    m, s = guess(y[:, stays])\n    return y, s.sum(1)",
        "only x is wanted",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n"
        "    m, s = guess(y[:, stays])\n"
        "    y[:, moves] = y[:, moves].detach() + 1\n"
        "    return y",
        "begin with x = y.clone()",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n"
        "    m, s = guess(y[:, stays])\n"
        "    return y[:, moves] * s.exp() + m",
        "the shape of y",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "def coupling_inverse(y, stays, moves, guess):\n"
        "    m, s = guess(y[:, stays])\n"
        "    return torch.cat([y[:, stays], y[:, moves] * s.exp() + m], 1)",
        "come out as they went in",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: (y - m) / s.exp())",
        "forwards once more",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: (y + m) * s.exp())",
        "undo the last thing first",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: y / s.exp() + m)",
        "so on the way back multiply",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: y * s.exp() - m)",
        "so on the way back add it",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: y * s + m)",
        "by the logarithm of the deviation",
    ),
    (
        "06_flow",
        "workshop-coupling-inverse",
        "coupling_inverse = backwards(lambda y, m, s: y * s.exp())",
        "the first number that moves should become",
    ),
    ("06_flow", "workshop-log-density", "def log_density(z, log_det): return DENSITY(z, 0 * log_det)", "Add log_det"),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, -log_det)",
        "the sign of log_det is turned",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return -z.square().sum(1) / 2 + log_det",
        "log(2 pi) is missing",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return log_det - (z.square().sum(1) + math.log(2 * math.pi)) / 2",
        "not once for all",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, -log_det) + DENSITY(z, 2 * log_det)",
        "minus one half",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return -DENSITY(z, -log_det)",
        "a z far from 0 is unlikely",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, 5 * log_det)",
        "add it once, after the sum",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, 0 * log_det) / 5 + log_det",
        "they are not averaged",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, log_det).exp()",
        "its logarithm is wanted",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, log_det).mean()",
        "for the whole batch",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return log_det[:, None] - (z.square() + math.log(2 * math.pi)) / 2",
        "add their logarithms",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, log_det)[:, None]",
        "one number for each of the 4 vectors",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, log_det) + 1",
        "nats, and you give",
    ),
    (
        "06_flow",
        "workshop-log-density",
        "def log_density(z, log_det): return DENSITY(z, log_det).detach()",
        "no gradient comes back",
    ),
    (
        "06_flow",
        "exercise-posterior",
        "def caption_posterior(p): return p.exp() / p.exp().sum(1, keepdim=True)",
        "becomes infinite: take the largest log p of each picture off",
    ),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return p.exp()", "divide by their sum"),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return p.log_softmax(1)", "take the exponential"),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return p.softmax(0)", "your columns add up to 1"),
    (
        "06_flow",
        "exercise-posterior",
        "def caption_posterior(p): return (p.exp() / p.exp().sum())",
        "all pictures together",
    ),
    (
        "06_flow",
        "exercise-posterior",
        "def caption_posterior(p): return p / p.sum(1, keepdim=True)",
        "take the exponential first",
    ),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return (0.6931472 * p).softmax(1)", "the base is e"),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return p.argmax(1)", "not only the best"),
    ("06_flow", "exercise-posterior", "def caption_posterior(p): return (2 * p).softmax(1)", "and you give"),
    (
        "06_flow",
        "exercise-posterior",
        "def caption_posterior(p): return (p == p.amax(1, keepdim=True)).float()",
        "how sure is it",
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
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return -right_d(d, c, x, y)",
        "sign is turned",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return right_d(d, c, y, x)",
        "real and made are exchanged",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return (softplus(-d(c, x)) + softplus(-d(c, y))).mean()",
        "pull the same way",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return softplus(-d(c, x)).mean()",
        "half of the made pictures is missing",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return softplus(d(c, y.detach())).mean()",
        "half of the real pictures is missing",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return right_d(d, c, x, y) / 2",
        "half of it",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return 5 * right_d(d, c, x, y)",
        "adds up the batch",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return softplus(-d(c, x)) + softplus(d(c, y.detach()))",
        "one number for each picture",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return (softplus(-d(c, x)) + softplus(d(c, y))).mean()",
        "made.detach()",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return right_d(d, c, x, y).detach()",
        "no gradient reaches the discriminator",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return (softplus(-d(c, x)) + softplus(d(c, y)).detach()).mean()",
        "its slope in the discriminator is not",
    ),
    (
        "08_gan",
        "workshop-discriminator-loss",
        "def discriminator_loss(d, c, x, y): return softplus(d(c, y) - d(c, x)).mean()",
        "it should be",
    ),
    (
        "08_gan",
        "workshop-generator-loss",
        "def generator_loss(d, c, y): return -softplus(d(c, y)).mean()",
        "flat where D is sure",
    ),
    (
        "08_gan",
        "workshop-generator-loss",
        "def generator_loss(d, c, y): return softplus(d(c, y)).mean()",
        "wants the opposite",
    ),
    (
        "08_gan",
        "workshop-generator-loss",
        "def generator_loss(d, c, y): return -softplus(-d(c, y)).mean()",
        "sign is turned",
    ),
    (
        "08_gan",
        "workshop-generator-loss",
        "def generator_loss(d, c, y): return softplus(-d(c, y))",
        "one number for each picture",
    ),
    ("08_gan", "workshop-generator-loss", "def generator_loss(d, c, y): return -d(c, y).mean()", "critic of WGAN"),
    (
        "08_gan",
        "workshop-generator-loss",
        "def generator_loss(d, c, y): return softplus(-d(c, y.detach())).mean()",
        "detach nothing here",
    ),
    ("08_gan", "workshop-generator-loss", "def generator_loss(d, c, y): return d(c, y).sigmoid().mean()", "D itself"),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, early=True)",
        "as it was before its move",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, clear=(False, True))",
        "optimizers[0].zero_grad()",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, clear=(True, False))",
        "zero_grad() of each optimizer",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, steps=(False, True))",
        "the discriminator has not moved",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, steps=(True, False))",
        "the generator has not moved",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z, signs=(1, -1))",
        "the generator moved the wrong way",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z)[::-1]",
        "the discriminator's first",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o, l, c, x, z)[0]",
        "return two numbers",
    ),
    (
        "08_gan",
        "workshop-round",
        "def play_round(g, d, o, l, c, x, z):\n    return moves(g, d, o[::-1], l, c, x, z)",
        "the generator has not moved",
    ),
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
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), torch.cov(f)",
        "7 by 7",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), torch.cov(f.T, correction=0)",
        "n - 1",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), f.T @ f / (len(f) - 1)",
        "subtract the mean first",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(1), torch.cov(f.T)",
        "dimension 0",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), f.var(0)",
        "a variance for each feature",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), torch.corrcoef(f.T)",
        "correlation",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f):\n    f -= f.mean(0)\n    return f.mean(0), f.T @ f / (len(f) - 1)",
        "in place",
    ),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return torch.cov(f.T)",
        "two things",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvalsh(c @ d).clamp(min=0).sqrt()) + way(m, n)",
        "eigvalsh reads half",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, (c @ d).abs().sqrt().diag()) + way(m, n)",
        "each entry",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).real.sqrt()) + way(m, n).sqrt()",
        "should be squared",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.svdvals(c @ d).sqrt()) + way(m, n)",
        "singular values",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).real) + way(m, n)",
        "twice the trace of the product",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).real.sqrt() / 2) + way(m, n)",
        "subtracted twice",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).real.sqrt())",
        "the means are missing",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d):\n"
        "    roots = [v @ w.sqrt().diag() @ v.T for w, v in map(torch.linalg.eigh, (c, d))]\n"
        "    return spread(c, d, (roots[0] @ roots[1]).diag()) + way(m, n)",
        "not the product of the roots",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).real.sqrt()) + way(m, n)",
        "clamp(min=0)",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d):\n"
        "    return (spread(c, d, torch.linalg.eigvals(c @ d).real.clamp(min=0).sqrt()) + way(m, n)).detach()",
        "no gradient",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).sqrt()) + way(m, n)",
        "complex",
    ),
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
        "you keep none",
    ),
    (
        "09_comparison",
        "exercise-pareto",
        "def pareto_front(cost): return (cost == cost.amin(0)).any(1)",
        "first in nothing",
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
        "noise of variance 1",
    ),
    (
        "10_gan_as_plug_in",
        "exercise-step-back",
        "def step_back(x, p, now, before, noise): return ddpm(x, p, before, now)[0]",
        "are exchanged",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (z - led).square().mean()",
        "has not been asked",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, torch.randn(z.shape)) - led).square().mean()",
        "something else than z",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, led) - z).square().mean()",
        "something else than z",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c[::-1], z) - led).square().mean()",
        "captions that the teacher had",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - z).square().mean()",
        "compare with `led`",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).square().sum()",
        "adds up everything",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).square().flatten(1).sum(1).mean()",
        "numbers of each vector",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).square().flatten(1).mean(1)",
        "one number",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).abs().mean()",
        "square it",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).square().mean().sqrt()",
        "root of it",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z) - led).mean().square()",
        "cancel",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, z).detach() - led).square().mean()",
        "no gradient comes back",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return (p.vector(c, p.vector(c, z)) - led).square().mean()",
        "asked 2 times",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng)[1:]",
        "three things",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, give=lambda c, a, r, m: (c, r, m))",
        "(captions, alpha_bar)",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, give=lambda c, a, r, m: ((c, a), m, r))",
        "are exchanged",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, z=lambda x: x)",
        "pure noise",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, one_amount=True)",
        "same amount of noise",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, give=lambda c, a, *k: ((c, a[:, None]), *k))",
        "one number for each pair",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, levels=50)",
        "from all steps",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, give=lambda c, a, *k: ((c, (100 * a).long()), *k))",
        "numbers of the steps",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, hidden=(True, False))",
        "made vectors have no noise",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, hidden=(False, True))",
        "real vectors have no noise",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, noises=lambda z, noise: (noise, noise.flip(0)))",
        "noise of its own",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, noises=lambda z, noise: (z, z))",
        "betrays it",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, mix=lambda s, e, a: a.sqrt() * s + (1 - a) * e)",
        "not the amount",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-noisy-pair",
        "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng, give=lambda c, a, r, m: ((c, a), r, m.detach()))",
        "no gradient comes back",
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
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(q, k, v, e)[0]",
        "two tensors",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return tuple(part.mT for part in EARS(q, k, v, e))",
        "q before k",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(q, k, v, ~e)",
        "True where there is no word",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(q, k, v, e & False)",
        "heard like words",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return hear(q, k, v, e, bar=0)",
        "e^0 is 1",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(2 * q, k, v, e)",
        "not scaled",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(q / 2, k, v, e)",
        "divided by d",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return hear(q, k, v, e, root=5**0.5)",
        "the number of words",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return hear(q, k, v, e, axis=1)",
        "softmax is taken over the points",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): \n    w = EARS(q, k, v, e & False)[1] * ~e[:, None]\n    return w @ v, w",
        "before the softmax, not after",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): return EARS(q, k, k, e)",
        "average the values",
    ),
    (
        "11_latent_diffusion",
        "workshop-attention",
        "def cross_attention(q, k, v, e): \n    heard, w = EARS(q, k, v, e)\n    return q + heard, w",
        "the network does that later",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z): return LATENT(n, enc, 1, x, c, a, z)",
        "scale of the noise",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z): return LATENT(n, enc, 1 / s, x, c, a, z)",
        "divided by `scale`",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(g, z, a), a) - g).square().mean()",
        "alpha_bar.flatten()",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, a * g + (1 - a) * z, a.flatten()) - g).square().mean()",
        "square roots",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(z, g, a), a.flatten()) - g).square().mean()",
        "changed places",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, g + (1 - a).sqrt() * z, a.flatten()) - g).square().mean()",
        "must shrink",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, g, a.flatten()) - g).square().mean()",
        "nothing to find",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(g, z, a), a.flatten()) - z).square().mean()",
        "compare with the noise",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(g, z, a), a.flatten()) - g / s).square().mean()",
        "before it was scaled",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(g, z, a), a.flatten()) - g).square().sum()",
        "grow with the batch",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z):\n"
        "    g = s * enc(x, c)\n"
        "    return (n(c, add_noise(g, z, a), a.flatten()) - g).square()",
        "one number",
    ),
    (
        "11_latent_diffusion",
        "workshop-loss",
        "def latent_loss(n, enc, s, x, c, a, z): return LATENT(n, enc, s, x, c, a, z).detach()",
        "no gradient",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(n, dec, s, c, z, a.flip(0))",
        "most noise",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(n, dec, 1, c, z, a)",
        "the scale is missing",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(n, dec, 1 / s, c, z, a)",
        "multiply by the scale",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(lambda c, x, level: n(c, x, level[0]), dec, s, c, z, a)",
        "now.expand",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(n, lambda g, c: g, s, c, z, a)",
        "grids are no pictures",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return DRAW(n, dec, s, c, z, a[1:])",
        "the levels to be asked",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return led(n, dec, s, c, z, a, lambda x, g, now: z)",
        "always mixes in z",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return led(n, dec, s, c, z, a, lambda x, g, now: 0 * x)",
        "nothing but guesses",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a): return led(n, dec, s, c, z, a, lambda x, g, now: x - now.sqrt() * g)",
        "the division is missing",
    ),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a):\n"
        "    return led(n, dec, s, c, z, a, lambda x, g, now: (x - now.sqrt() * g) / (1 - now).sqrt())",
        "clamp",
    ),
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
        "upside down",
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
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng): return walked(e, x, levels)",
        "goes in as it is",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng): return walked(e, torch.randn(x.shape, generator=rng), levels)",
        "nothing of x is in it",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng): return walked(e, x + torch.randn(x.shape, generator=rng), levels)",
        "also lets x fade",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng):\n"
        "    return walked(e, noised(x, torch.randn(x.shape, generator=rng), levels[1]), levels)",
        "that of levels[1]",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng):\n"
        "    return walked(e, noised(x, torch.randn(x.shape, generator=rng), levels[-1]), levels.flip(0))",
        "at 1 there is no noise",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng):\n"
        "    return e(noised(x, torch.randn(x.shape, generator=rng), levels[-1]), levels[-1])",
        "asked once",
    ),
    (
        "13_in_use",
        "workshop-image-to-image",
        "def image_to_image(e, x, levels, rng):\n"
        "    x = noised(x, torch.randn(x.shape, generator=rng), levels[-1])\n"
        "    for now, before in itertools.pairwise(levels.flip(0)):\n"
        "        x = e(x, now)\n"
        "    return x",
        "go on with the estimate itself",
    ),
    (
        "13_in_use",
        "workshop-masked-step",
        "def masked_step(x, guess, known, mask, now, before, rng): return step(x, guess, now, before)",
        "nothing is put back",
    ),
    (
        "13_in_use",
        "workshop-masked-step",
        "def masked_step(x, guess, known, mask, now, before, rng):\n"
        "    kept = noised(known, torch.randn(known.shape, generator=rng), before)\n"
        "    return (1 - mask) * kept + mask * step(x, guess, now, before)",
        "the wrong way round",
    ),
    (
        "13_in_use",
        "workshop-masked-step",
        "def masked_step(x, guess, known, mask, now, before, rng):\n"
        "    return mask * known + (1 - mask) * step(x, guess, now, before)",
        "put back without noise",
    ),
    (
        "13_in_use",
        "workshop-masked-step",
        "def masked_step(x, guess, known, mask, now, before, rng):\n"
        "    kept = noised(known, torch.randn(known.shape, generator=rng), now)\n"
        "    return mask * kept + (1 - mask) * step(x, guess, now, before)",
        "the level that you come from",
    ),
    (
        "13_in_use",
        "workshop-masked-step",
        "def masked_step(x, guess, known, mask, now, before, rng):\n"
        "    kept = noised(known, torch.randn(known.shape, generator=rng), before)\n"
        "    return mask * kept + (1 - mask) * guess",
        "stands the guess itself",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Thin): pass",
        "both begin with zeros",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Random):\n"
        "    def __init__(self, linear, rank):\n"
        "        super().__init__(linear, rank)\n"
        "        self.up = nn.Parameter(torch.randn(linear.out_features, rank))",
        "B should begin with zeros",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Random):\n    def forward(self, x): return self.linear(x) + x @ self.down.T @ self.up.T",
        "self.scale changes nothing",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Random):\n    def merged(self): return self.scale * self.up @ self.down",
        "the change alone",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Random):\n    def merged(self): return self.linear.weight + self.up @ self.down",
        "gives something else than yours",
    ),
    (
        "13_in_use",
        "workshop-low-rank",
        "class LowRank(Random):\n"
        "    def __init__(self, linear, rank):\n"
        "        super().__init__(linear, rank)\n"
        "        self.linear.requires_grad_(True)",
        "the layer still learns",
    ),
]

# Other right answers than the solution that the notebook gives.
RIGHT_ANSWERS = [
    (
        "03_pixel_independence",
        "workshop-next-round",
        "def next_round(a, k, p, known, rng):\n    return round_of(a[most((a == p)[:, known].sum(1))], p, known, rng)",
    ),
    ("11_latent_diffusion", "workshop-attention", "def cross_attention(q, k, v, e): return hear(q, k, v, e)"),
    (
        "11_latent_diffusion",
        "workshop-drawing",
        "def draw_latents(n, dec, s, c, z, a):\n"
        "    noise_of = lambda x, g, now: (x - now.sqrt() * g) / (1 - now).sqrt()\n"
        "    return led(n, dec, s, c, z, a, noise_of).clamp(0, 1)",
    ),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return torch.tensor(dogs.LANGUAGE.entropy(c))"),
    ("02_pixel_by_pixel", "workshop-attention", "def causal_attention(q, k, v, h): return attend(q, k, v, h)"),
    (
        "02_pixel_by_pixel",
        "workshop-loss",
        "def next_token_loss(m, t, c): return nats(m, t).masked_fill(~c[:, 1:], 0).sum(1)",
    ),
    ("02_pixel_by_pixel", "workshop-cache", "class Cache(Keeps):\n    def append(self, k, v): return self.keep(k, v)"),
    ("01_one_to_many", "exercise-bits", "def bits_left_open(c): return math.log2(len(dogs.LANGUAGE.answers(c)))"),
    (
        "01_one_to_many",
        "exercise-total-variation",
        "def total_variation(s, r):\n"
        "    rows, right = [*map(tuple, s.tolist())], [*map(tuple, r.tolist())]\n"
        "    return 1 - sum(min(rows.count(row) / len(rows), 1 / len(right)) for row in right)",
    ),
    (
        "04_random_vector",
        "workshop-inverse-cdf",
        "def inverse_cdf(z, x, density):\n"
        "    cdf = torch.cat([torch.zeros(1), (density[1:] * x.diff()).cumsum(0)])\n"
        "    cdf = cdf / cdf[-1]\n"
        "    k = (z[:, None] >= cdf).sum(1)\n"
        "    return x[k] - (cdf[k] - z) / (cdf[k] - cdf[k - 1]) * (x[k] - x[k - 1])",  # rectangles, and no search
    ),
    (
        "04_random_vector",
        "workshop-energy-distance",
        "def energy_distance(a, b): return 2 * torch.cdist(a, b).mean() - torch.pdist(a).mean() - "
        "torch.pdist(b).mean()",
    ),
    (
        "04_random_vector",
        "workshop-crowd-loss",
        "def crowd_loss(g, real, d, distance, rng): return distance(real, g(torch.randn(len(real), d, generator=rng)))",
    ),
    (
        "10_gan_as_plug_in",
        "workshop-distillation",
        "def distillation_loss(p, led, c, z): return torch.nn.functional.mse_loss(p.vector(c, z), led)",
    ),
    ("10_gan_as_plug_in", "workshop-noisy-pair", "def noisy_pair(p, x, c, rng): return covered(p, x, c, rng)"),
    (
        "09_comparison",
        "workshop-mean-and-covariance",
        "def mean_and_covariance(f): return f.mean(0), torch.cov(f.T)",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d):\n"
        "    root = (lambda w, v: (v * w.clamp(min=0).sqrt()) @ v.T)(*torch.linalg.eigh(c))\n"
        "    return spread(c, d, torch.linalg.eigvalsh(root @ d @ root).clamp(min=0).sqrt()) + way(m, n)",
    ),
    (
        "09_comparison",
        "workshop-frechet",
        "def frechet(m, c, n, d): return spread(c, d, torch.linalg.eigvals(c @ d).sqrt().real) + way(m, n)",
    ),
]

# Written once, for wrong answers that are nearly right.
NEARLY = """
import itertools

from torch import nn

from helpers.models.diffusion import add_noise as noised, ddim_step as ddim

def step(x_t, guess, now, before):
    return ddim(x_t, guess, now, before, torch.zeros_like(x_t), eta=0)

def walked(estimate, x, levels):
    for now, before in itertools.pairwise(levels.flip(0)):
        x = step(x, estimate(x, now), now, before)
    return x

class Thin(nn.Module):
    def __init__(self, linear, rank):
        super().__init__()
        self.linear = linear.requires_grad_(False)
        self.down = nn.Parameter(torch.zeros(rank, linear.in_features))
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))
        self.scale = 1.0

    def forward(self, x):
        return self.linear(x) + self.scale * x @ self.down.T @ self.up.T

    def merged(self):
        return self.linear.weight + self.scale * self.up @ self.down

class Random(Thin):
    def __init__(self, linear, rank):
        super().__init__(linear, rank)
        self.down = nn.Parameter(torch.randn(rank, linear.in_features))

from helpers.models.independent import total_correlation as right

def angle(a, b):
    return torch.arccos(a @ b / (a.norm() * b.norm()))

def ddim_parts(x_t, picture, now, before, eta):
    sigma = eta * ((1 - before) / (1 - now) * (1 - now / before)).sqrt()
    return (x_t - now.sqrt() * picture) / (1 - now).sqrt(), sigma

def most(of):
    return of == of.max()

def round_of(a, p, known, rng):
    one = [row[torch.randint(len(a), (), generator=rng)] for row in a.T]
    return torch.where(known, p, torch.stack(one))

def slerp_right(a, b, t):
    omega = angle(a, b)
    return (torch.sin((1 - t) * omega) * a + torch.sin(t * omega) * b) / torch.sin(omega)

from torch.nn.functional import softplus
from helpers.models.gan import discriminator_loss as right_d

def moves(g, d, o, l, c, x, z, early=False, clear=(True, True), steps=(True, True), signs=(1, 1)):
    made = g(c, z)
    losses = [l[0](d, c, x, made), l[1](d, c, made)]
    slopes = torch.autograd.grad(losses[1], list(g.parameters()))
    for k in (0, 1):
        if k == 1 and not early:
            losses[1] = l[1](d, c, made)
        if clear[k]:
            o[k].zero_grad()
        if k == 1 and early:
            for weight, slope in zip(g.parameters(), slopes):
                weight.grad = slope
        else:
            (signs[k] * losses[k]).backward()
        if steps[k]:
            o[k].step()
    return tuple(loss.item() for loss in losses)

def penalty_right(d, c, x, slope=lambda s: s.square().flatten(1).sum(1).mean(), graph=True):
    x = x.detach().requires_grad_()
    logits = d(c, x)
    return slope(torch.autograd.grad(logits.sum(), x, create_graph=graph, retain_graph=True)[0]), logits

def ddpm(x_t, picture, now, before):
    beta = 1 - now / before
    mean = (before.sqrt() * beta * picture + (now / before).sqrt() * (1 - before) * x_t) / (1 - now)
    return mean, (1 - before) / (1 - now) * beta

from helpers.models.diffusion import add_noise, loss_weight, target
from helpers.models.vae import log_likelihood as RIGHT
from helpers.models.flow import log_density as DENSITY

def SURPRISE(x, m, s):
    return (x - m) / s.exp()

def forwards(moved, log_det=lambda m, s: -s.sum(1)):
    def coupling_forward(x, stays, moves, guess):
        m, s = guess(x[:, stays])
        y = x.clone()
        y[:, moves] = moved(x[:, moves], m, s)
        return y, log_det(m, s)
    return coupling_forward

def backwards(moved):
    def coupling_inverse(y, stays, moves, guess):
        m, s = guess(y[:, stays])
        x = y.clone()
        x[:, moves] = moved(y[:, moves], m, s)
        return x
    return coupling_inverse

def S(seen, right):
    return (seen[:, None] == right).all(2).float().mean(0)
from helpers.judge import energy_distance as FAR
from helpers.models.bending import inverse_cdf as INVERSE

def cdf_right(at, x, density):
    cdf = torch.cat([torch.zeros(1), torch.cumulative_trapezoid(density, x)])
    k = torch.searchsorted(x, at, right=True)
    return torch.lerp(cdf[k - 1], cdf[k], (at - x[k - 1]) / (x[k] - x[k - 1])) / cdf[-1]

def patches(p, r, stride=1):
    return torch.nn.functional.avg_pool2d((p - r).square().mean(1), 2, stride)

def attend(q, k, v, h, mask=True, scale=None, first=1, bar=-torch.inf, past=False, axis=-1, merge=True, square=True):
    q, k, v = (x.unflatten(-1, (h, -1)).transpose(1, 2) for x in (q, k, v))
    agreement = q @ k.mT / (q.shape[-1] ** 0.5 if scale is None else scale)
    t, s = agreement.shape[-2:]
    ahead = torch.ones(t, s, dtype=torch.bool).triu(first + (s - t) * square)
    mixed = agreement.masked_fill((ahead.mT if past else ahead) & mask, bar).softmax(axis) @ v
    return mixed.transpose(1, 2).flatten(2) if merge else mixed

def nats(m, t, read=None, asked=None):
    read, asked = t[:, :-1] if read is None else read, t[:, 1:] if asked is None else asked
    return torch.nn.functional.cross_entropy(m(read).transpose(1, 2), asked, reduction="none")

from helpers.models.autoregressive import write as going_on

class Keeps:
    def __init__(self, length): self.kept, self.seen = [], 0
    def keep(self, k, v, dim=1, last=True, room=0, step=0):
        both = [torch.cat([old, new] if last else [new, old], dim) for old, new in zip(self.kept, (k, v))] or [k, v]
        self.kept[:], self.seen = both, self.seen + step if step else both[0].shape[1]
        return [torch.cat([x, x.new_zeros(2, room - x.shape[1], 4)], 1) if room else x for x in both]

def covered(p, x, c, rng, z=torch.randn_like, one_amount=False, levels=None, hidden=(True, True), noises=None, mix=None,
            give=lambda c, a, r, m: ((c, a), r, m)):
    z = z(x)
    made, schedule = p.vector(c, z), p.diffusion.alpha_bar[:levels]
    steps = torch.randint(len(schedule), (1 if one_amount else len(x),), generator=rng).expand(len(x))
    a, noise = schedule[steps], torch.randn(x.shape, generator=rng)
    under = noises(z, noise) if noises else (noise, noise)
    r, m = ((mix or add_noise)(side, e, a.view(-1, 1, 1, 1)) if hide else side
            for side, e, hide in zip((x, made), under, hidden))
    return give(c, a, r, m)

def way(m, n):
    return (m - n).square().sum()

def spread(c, d, roots):
    return c.trace() + d.trace() - 2 * roots.sum()

from helpers.models.latent_diffusion import cross_attention as EARS, draw_latents as DRAW, latent_loss as LATENT

def hear(q, k, v, e, root=2, bar=-torch.inf, axis=-1):
    w = (q @ k.mT / root).masked_fill(e[:, None], bar).softmax(axis).nan_to_num()
    return w @ v, w

def led(n, dec, s, c, z, a, noise_of):
    x = z
    for now, before in ((a[3], a[2]), (a[2], a[1]), (a[1], a[0])):
        guess = n(c, x, now.expand(len(x)))
        x = before.sqrt() * guess + (1 - before).sqrt() * noise_of(x, guess, now)
    return dec(x / s, c)

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
    return "\n".join(["from __future__ import annotations", *taught, cells(notebook)[solution].source])


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
    verdict = verdict_on(notebook, f"{NEARLY}\n{answer}\n{cells(notebook)[stub].source.splitlines()[-1]}")
    assert verdict.status == PASSED, verdict


@pytest.mark.parametrize(("notebook", "stub", "solution"), exercises())
def test_every_exercise_has_wrong_answers(notebook, stub, solution):
    assert sum((notebook, stub) == wrong[:2] for wrong in WRONG_ANSWERS) >= 3


def test_an_answer_that_is_not_implemented_counts_as_not_finished():
    source = "def bits_left_open(c): raise NotImplementedError\nchecks.bits_left_open(bits_left_open)"
    assert verdict_on("01_one_to_many", source).status == UNFINISHED
