"""The world: what is drawn is what the scene says, smoothly, at any size."""

import dataclasses

import pytest
import torch

from helpers import dogs


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


def details(scenes):
    return {
        f.name: getattr(scenes, f.name)
        for f in dataclasses.fields(scenes)
        if getattr(scenes, f.name).is_floating_point()
    }


def test_samples_fit_their_captions(rng):
    captions = dogs.LANGUAGE.sample(2000, rng)
    scenes = dogs.sample_scenes(captions, rng)
    assert dogs.LANGUAGE.fits(scenes.attributes, captions).all()


def test_what_the_caption_leaves_open_is_uniform(rng):
    n = 19_200
    attributes = dogs.sample_scenes(["a white running dog"] * n, rng).attributes
    answers, counts = torch.unique(attributes, dim=0, return_counts=True)
    assert torch.equal(answers, dogs.LANGUAGE.answers("a white running dog"))
    chi_square = ((counts - n / 48).square() / (n / 48)).sum()
    assert chi_square < 82.7  # the 0.1 % point of chi-square with 47 degrees of freedom


def test_every_dog_is_inside_its_picture_and_on_the_ground(rng):
    scenes = dogs.sample_scenes(3000, rng)
    mask = dogs.dog_mask(scenes, 32)
    edge = torch.cat([mask[..., 0], mask[..., -1], mask[..., 0, :], mask[..., -1, :]], dim=-1)
    assert edge.max() < 1  # a pixel of the edge that was covered whole would mean a dog cut off
    assert (scenes.y > scenes.horizon).all()
    assert ((scenes.scale > dogs.SCALE[scenes.size, 0]) & (scenes.scale < dogs.SCALE[scenes.size, 1])).all()


def test_pictures_are_in_range_and_of_the_size_asked_for(rng):
    scenes = dogs.sample_scenes(300, rng)
    for size in (8, 16, 24, 64):
        pictures = dogs.draw(scenes, size)
        assert pictures.shape == (300, 3, size, size)
        assert pictures.dtype == torch.float32
        assert pictures.min() >= 0
        assert pictures.max() <= 1


def test_drawing_is_deterministic_and_the_same_alone_as_in_company(rng):
    scenes = dogs.sample_scenes(700, rng)  # more than one chunk
    pictures = dogs.draw(scenes, 16)
    assert torch.equal(pictures, dogs.draw(scenes, 16))
    assert torch.allclose(pictures[650:651], dogs.draw(scenes[650], 16), atol=1e-6)
    assert dogs.draw(scenes[:0], 16).shape == (0, 3, 16, 16)


def test_one_scene_at_many_sizes_is_one_scene(rng):
    scenes = dogs.sample_scenes(100, rng)
    large = torch.nn.functional.avg_pool2d(dogs.draw(scenes, 64), 4)
    assert (large - dogs.draw(scenes, 16)).abs().mean() < 0.02


def test_every_factor_shows_in_the_picture(rng):
    scenes = dogs.sample_scenes(200, rng)
    before = dogs.draw(scenes, 16)
    changes = {name: (getattr(scenes, name) + 1) % len(v) for name, v in dogs.LANGUAGE.attributes.items()}
    del changes["size"]  # is drawn through the scale
    changes["scale"] = scenes.scale * 1.15
    changes["gait"] = scenes.gait + 0.25
    changes |= {name: getattr(scenes, name) + 0.08 for name in ("x", "y", "horizon", "shade")}
    for name, value in changes.items():
        after = dogs.draw(scenes.replace(**{name: value}), 16)
        largest = (after - before).abs().amax((1, 2, 3))
        assert largest.quantile(0.05) > 0.05, name


def test_left_is_the_mirror_image_of_right(rng):
    scenes = dogs.sample_scenes(50, rng)
    scenes = scenes.replace(skyline=torch.full((50,), 3))  # the one skyline that is its own mirror image
    mirrored = scenes.replace(direction=1 - scenes.direction, x=-scenes.x)
    assert torch.allclose(dogs.draw(scenes, 32), dogs.draw(mirrored, 32).flip(-1), atol=1e-5)


def test_the_stride_is_a_circle(rng):
    scenes = dogs.sample_scenes(50, rng)
    assert torch.allclose(dogs.draw(scenes, 32), dogs.draw(scenes.replace(gait=scenes.gait + 1), 32), atol=1e-4)


@pytest.mark.parametrize("name", ["scale", "x", "y", "gait", "horizon", "shade"])
def test_drawing_can_be_differentiated(name, rng):
    """Autograd's slope of a smooth function of the picture against a central difference."""
    scenes = dogs.sample_scenes(20, rng)
    scenes = scenes.replace(**{key: value.double() for key, value in details(scenes).items()})
    weights = torch.linspace(-1, 1, 32, dtype=torch.float64)

    def summary(value):
        return (dogs.draw(scenes.replace(**{name: value}), 32) * weights * weights[:, None]).sum((1, 2, 3))

    value = getattr(scenes, name).clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(summary(value).sum(), value)
    step = 1e-6
    with torch.no_grad():
        difference = (summary(value + step) - summary(value - step)) / (2 * step)
    assert torch.isfinite(slope).all()
    # A kink of the antialiasing may lie inside the step for a picture or two.
    assert ((slope - difference).abs() <= 1e-3 * difference.abs().clamp(min=1)).float().mean() >= 0.9


def test_scenes_can_be_cut_and_moved(rng):
    scenes = dogs.sample_scenes(10, rng)
    assert len(scenes) == 10
    assert len(scenes[3]) == 1
    assert torch.equal(scenes[3].x, scenes.x[3:4])
    assert len(scenes[scenes.coat == 1]) == int((scenes.coat == 1).sum())
    assert torch.equal(scenes.to("cpu").attributes, scenes.attributes)


def test_answers_hold_every_combination_once(rng):
    scenes = dogs.answers("a small running dog", rng)
    assert torch.equal(scenes.attributes, dogs.LANGUAGE.answers("a small running dog"))


def test_too_small_a_picture_is_refused(rng):
    with pytest.raises(ValueError, match="8 or more"):
        dogs.draw(dogs.sample_scenes(1, rng), 4)


def test_the_same_seed_gives_the_same_dogs():
    first, second = (dogs.sample_scenes(5, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(dogs.draw(first, 16), dogs.draw(second, 16))
