"""The instrument itself is measured: what it reads, what it accepts, what it must reject, and what it refuses."""

import math

import pytest
import torch
from safetensors import safe_open

from helpers import dogs, judge
from tests import fakes

SIZES = pytest.mark.parametrize("size", judge.SIZES)


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(2)


def real_pictures(n, size, rng):
    return dogs.draw(dogs.sample_scenes(n, rng), size)


@SIZES
def test_attributes_are_read_rightly(size, rng):
    scenes = dogs.sample_scenes(2000, rng)
    read = judge.read(dogs.draw(scenes, size)).scenes
    assert ((read.attributes == scenes.attributes).float().mean(0) >= 0.995).all()


@SIZES
def test_the_redrawing_of_a_real_picture_is_that_picture(size, rng):
    pictures = real_pictures(300, size, rng)
    reading = judge.read(pictures)
    assert (reading.redrawn - pictures).square().mean((1, 2, 3)).sqrt().median() < 0.04
    assert torch.allclose(dogs.draw(reading.scenes, size), reading.redrawn, atol=1e-5)


@SIZES
def test_ninety_nine_of_a_hundred_grainy_real_pictures_are_valid_for_small_and_for_large_dogs(size, rng):
    scenes = dogs.sample_scenes(2000, rng)
    accepted = judge.read(judge.grainy(dogs.draw(scenes, size), rng)).valid.float()
    for dog_size in (0, 1):
        share = accepted[scenes.size == dog_size].mean().item()
        assert abs(share - judge.PASS_RATE) < 4 * math.sqrt(0.01 * 0.99 / 1000)  # four standard errors
    assert judge.valid(dogs.draw(scenes, size)) > 0.985


# How many of a thousand may get through, at 16 and at 32 pixels. What is not listed here gets through more often;
# the README says why, and `make anchors` prints the shares of all.
MOST_ACCEPTED = {
    "uniform noise": (0, 0),
    "independent pixels": (0, 0),
    "the mean picture": (0, 0),
    "four quarters": (5, 0),
    "four quarters, same place and coat": (20, 5),
    "two halves": (10, 5),
    "two dogs": (10, 5),
    "no dog": (20, 5),
    "a front of another colour": (5, 5),
    "two heads, no tail": (50, 10),
    "blurred": (100, 40),
    "a head of another colour": (100, 20),
    "no head": (100, 40),
    "no legs": (140, 50),
    "upside down": (0, 0),
    "a dog that floats": (5, 5),
    "a giant": (20, 20),
    "colours exchanged": (5, 5),
    "half of two dogs": (5, 5),
}


@SIZES
def test_what_is_no_picture_of_this_world_is_rejected(size, rng):
    n = 400 if size == 16 else 100
    found = fakes.make(n, size, rng)
    column = judge.SIZES.index(size)
    for name, bounds in MOST_ACCEPTED.items():
        accepted = int(judge.read(found[name]).valid.sum())
        allowed = bounds[column] / 1000 * n
        assert accepted <= allowed + 3 * math.sqrt(allowed), name


@SIZES
def test_a_broken_small_dog_is_not_forgiven_for_being_small(size):
    """Without its head a small dog differs from a whole one in a handful of pixels."""
    rng = torch.Generator().manual_seed(4)
    captions = ["a small running dog"] * 300
    scenes = dogs.sample_scenes(captions, rng)
    fooled = judge.valid(fakes.without_head(scenes, size))
    whole = judge.valid(dogs.draw(scenes, size))
    assert whole > 0.98
    assert fooled < 0.15


def test_a_wrong_caption_is_noticed(rng):
    captions = ["a white dog running left"] * 500
    pictures = dogs.draw(dogs.sample_scenes(captions, rng), 16)
    assert judge.faithful(pictures, captions) >= 0.98
    assert judge.faithful(pictures, ["a black dog running left"] * 500) <= 0.02
    assert judge.faithful(pictures, ["a white dog running right"] * 500) <= 0.02


def test_coverage_is_one_minus_total_variation():
    caption = "a small white dog running left on the sand"
    rng = torch.Generator().manual_seed(0)
    scenes = dogs.sample_scenes([caption] * 400, rng)
    scenes = scenes.replace(
        skyline=torch.tensor([0, 0, 0, 1]).repeat(100)
    )  # shares 3/4, 1/4, 0, 0 where 1/4 each is true
    found = judge.coverage(dogs.draw(scenes, 32), [caption] * 400)
    assert found == pytest.approx(0.5, abs=0.02)


def test_coverage_of_nothing_valid_is_zero(rng):
    assert judge.coverage(torch.rand(50, 3, 16, 16, generator=rng), ["a running dog"] * 50) == 0


def test_real_pictures_reach_the_coverage_that_real_pictures_reach(rng):
    captions = dogs.LANGUAGE.sample(1500, rng)
    found = judge.coverage(dogs.draw(dogs.sample_scenes(captions, rng), 16), captions)
    assert found == pytest.approx(judge.coverage_of_real(captions), abs=0.03)


def test_coverage_of_real_grows_to_one():
    captions = ["a running dog"]
    few, many, very_many = (judge.coverage_of_real(captions, n) for n in (100, 10_000, 100_000))
    assert few < many < very_many
    assert very_many > 0.98
    assert judge.coverage_of_real(captions, 0) == 0


def test_one_dog_forever_is_valid_and_covers_next_to_nothing(rng):
    pictures = real_pictures(1, 16, rng).expand(300, -1, -1, -1)
    result = judge.score(pictures, ["a running dog"] * 300, rng)
    assert result.valid == 1
    assert result.coverage < 0.02 < result.coverage_of_real


def test_remembered_pictures_pass_every_figure_but_copies(rng):
    """What gets through: a model that remembers a large training set. Only the training set itself gives it away."""
    captions = dogs.LANGUAGE.sample(800, rng)
    training_set = dogs.draw(dogs.sample_scenes(captions, rng), 16)
    result = judge.score(training_set, captions, rng)
    assert result.valid > 0.97
    assert result.coverage == pytest.approx(result.coverage_of_real, abs=0.05)
    assert judge.copies(training_set * 0.99, training_set) == 1
    assert judge.copies(dogs.draw(dogs.sample_scenes(captions, rng), 16), training_set) < 0.02


def test_fd_dogs_is_the_closed_form_on_gaussians():
    """With the identity as features it must be |m - m'|^2 + tr(C + C' - 2 (C C')^1/2), here of diagonal covariances."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    class Identity(torch.nn.Module):
        num_features = 4

        def forward(self, x):
            return x.flatten(1)

    rng = torch.Generator().manual_seed(0)
    metric = FrechetInceptionDistance(feature=Identity(), normalize=True)
    scale, shift = torch.tensor([0.5, 1.0, 2.0, 1.0]), torch.tensor([0.0, 1.0, 0.0, -1.0])
    metric.update(torch.randn(40_000, 4, generator=rng).view(-1, 1, 2, 2), real=True)
    metric.update((torch.randn(40_000, 4, generator=rng) * scale + shift).view(-1, 1, 2, 2), real=False)
    expected = shift.square().sum() + (1 - scale).square().sum()
    assert metric.compute().item() == pytest.approx(expected.item(), rel=0.05)


def test_fd_dogs_orders_what_an_eye_would_order(rng):
    real, again = (real_pictures(1000, 16, rng) for _ in range(2))
    slightly_grainy = (again + 0.1 * torch.randn(again.shape, generator=rng)).clamp(0, 1)
    only_black = dogs.draw(dogs.sample_scenes(["a black running dog"] * 1000, rng), 16)
    noise = torch.rand(again.shape, generator=rng)
    distances = [judge.frechet_distance(x, real) for x in (again, slightly_grainy, only_black, noise)]
    assert distances == sorted(distances)
    assert distances[1] > 1.5 * distances[0]


def test_the_same_pictures_get_the_same_score(rng):
    captions = ["a running dog"] * 50
    pictures = real_pictures(50, 16, rng)
    first, second = (judge.score(pictures, captions, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first == second
    assert str(first).startswith("valid")


def test_a_picture_is_judged_alone_as_in_company(rng):
    pictures = fakes.make(20, 16, rng)["two halves"]
    together = judge.read(pictures).strangeness
    alone = torch.cat([judge.read(picture[None]).strangeness for picture in pictures])
    assert torch.allclose(together, alone, rtol=1e-2)


@pytest.mark.parametrize(
    ("pictures", "error", "hint"),
    [
        ([1, 2], TypeError, "a tensor of pictures, not list"),
        (torch.zeros(3, 16, 16), ValueError, r"shape \(n, 3, size, size\), not \(3, 16, 16\)"),
        (torch.zeros(2, 16, 16, 3), ValueError, "shape"),
        (torch.zeros(0, 3, 16, 16), ValueError, "n is 0"),
        (torch.zeros(2, 3, 24, 24), ValueError, "16 or 32 pixels, not 24"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), TypeError, "divide bytes by 255"),
        (torch.full((2, 3, 16, 16), float("nan")), ValueError, "2 of 2 pictures hold NaN"),
        (torch.full((2, 3, 16, 16), -0.5), ValueError, r"\(x \+ 1\) / 2"),
        (torch.full((2, 3, 16, 16), 255.0), ValueError, "255"),
    ],
)
def test_what_is_no_set_of_pictures_is_explained(pictures, error, hint):
    with pytest.raises(error, match=hint):
        judge.read(pictures)


def test_captions_must_match_the_pictures(rng):
    pictures = real_pictures(3, 16, rng)
    with pytest.raises(ValueError, match="each of the 3 pictures is needed, not 2 captions"):
        judge.score(pictures, ["a running dog"] * 2, rng)
    with pytest.raises(ValueError, match="not one text"):
        judge.faithful(pictures, "abc")


def test_missing_weights_say_how_they_are_made(monkeypatch, tmp_path, rng):
    monkeypatch.setattr(judge, "WEIGHTS", tmp_path / "none.safetensors")
    judge._load.cache_clear()
    with pytest.raises(FileNotFoundError, match=r"python -m helpers\.judge train"):
        judge.read(real_pictures(1, 16, rng))
    judge._load.cache_clear()


def test_the_weights_are_small_and_say_how_they_were_made():
    assert judge.WEIGHTS.stat().st_size < 2_000_000
    with safe_open(judge.WEIGHTS, framework="pt") as file:
        assert file.metadata()["made_by"] == "python -m helpers.judge train"


def test_a_picture_is_read_once_and_again_when_it_was_changed(monkeypatch):
    read = []
    real = judge._readings_of
    monkeypatch.setattr(judge, "_readings_of", lambda pictures: read.append(1) or real(pictures))
    pictures = dogs.draw(dogs.sample_scenes(4, torch.Generator().manual_seed(0)), 16)
    captions = ["a running dog"] * 4
    assert judge.valid(pictures) == judge.valid(pictures) == 1
    assert judge.faithful(pictures, captions) == 1
    assert len(read) == 1
    pictures[0] = 0.5
    assert judge.valid(pictures) == 0.75
    assert len(read) == 2
    judge.valid(pictures.clone())
    assert len(read) == 3
    with torch.inference_mode():
        unversioned = pictures.clone()
        assert judge.valid(unversioned) == 0.75
        unversioned[1] = 0.5
        assert judge.valid(unversioned) == 0.5


def test_the_energy_distance_of_two_points_on_a_line_is_what_the_formula_gives():
    a, b = torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [5.0]])
    # 2 E|a - b| = 2 (2 + 5 + 1 + 4) / 4, less E|a - a'| = 1 and E|b - b'| = 3
    assert judge.energy_distance(a, b).item() == pytest.approx(6 - 1 - 3)


def test_the_energy_distance_sees_a_shape_that_mean_and_covariance_do_not():
    rng = torch.Generator().manual_seed(0)
    normal, other = torch.randn(2, 3000, 2, generator=rng)
    ring = torch.nn.functional.normalize(other) * 2**0.5  # mean 0 and covariance I, as the normal has
    assert abs(judge.energy_distance(normal, other).item()) < 0.005
    assert judge.energy_distance(normal, ring).item() > 0.02


@SIZES
def test_features_are_those_that_the_distance_is_measured_in(size, rng):
    pictures = real_pictures(judge.BATCH + 3, size, rng)
    found = judge.features(pictures)
    assert found.shape == (judge.BATCH + 3, judge.N_FEATURES)
    assert (found.dtype, found.device.type) == (torch.float64, "cpu")
    assert torch.allclose(judge.features(pictures[:3]), found[:3], atol=1e-4)
    with pytest.raises(ValueError, match="shape"):
        judge.features(pictures[0])
