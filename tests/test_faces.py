"""The cartoon faces: scenes do what captions say, pictures show scenes, and the cache survives anything."""

import dataclasses
import itertools
import os
import shutil

import numpy as np
import pytest
import torch

from helpers import faces

LANGUAGE = faces.LANGUAGE


@pytest.fixture
def rng():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache with small files."""
    monkeypatch.setattr(faces, "CACHE", tmp_path / "data" / "cache")
    monkeypatch.setattr(faces, "SHARD", 8)
    return faces.CACHE


@pytest.fixture
def drawn(monkeypatch):
    """The number of scenes of every call of ``faces.draw``."""
    calls, draw = [], faces.draw
    monkeypatch.setattr(faces, "draw", lambda scenes, size: calls.append(len(scenes)) or draw(scenes, size))
    return calls


def changed(scenes, field, value):
    return dataclasses.replace(scenes, **{field: torch.full((len(scenes),), value)})


def same(one, other):
    return all(torch.equal(getattr(one, field), getattr(other, field)) for field in faces.CHOICES)


def chi_square_z(counts):
    """How many standard deviations the chi-square of counts lies from what even counts give."""
    expected = counts.sum() / counts.numel()
    freedom = counts.numel() - 1
    return (((counts - expected).square() / expected).sum() - freedom) / (2 * freedom) ** 0.5


def test_how_much_captions_leave_open():
    assert len(LANGUAGE.captions) == 3 * 3 * 9 * 3 * 5
    assert LANGUAGE.entropy() == LANGUAGE.entropy("a face") == 1 + 1 + 3 + 1 + 2 + 2
    assert LANGUAGE.entropy("a smiling face with long blue hair and glasses") == 2 + 2
    assert LANGUAGE.entropy("a serious face with short red hair and no glasses on a teal background") == 2


@pytest.mark.parametrize(
    ("named", "caption"),
    [
        ({}, "a face"),
        ({"glasses": "no"}, "a face with no glasses"),
        ({"length": "long", "colour": "blue", "glasses": "yes"}, "a face with long blue hair and glasses"),
        ({"mood": "smiling", "length": "short"}, "a smiling face with short hair"),
        ({"mood": "serious", "background": "teal"}, "a serious face on a teal background"),
    ],
)
def test_captions_read_as_english(named, caption):
    assert LANGUAGE.write(named) == caption
    assert LANGUAGE.parse(caption) == named


def test_a_caption_outside_the_language_gets_the_words(rng):
    with pytest.raises(ValueError, match=r"does not know the word 'blonde'.*black, blond, blue"):
        faces.sample_scenes(["a face with blonde hair"], rng)


def test_scenes_fit_their_captions(rng):
    captions = LANGUAGE.sample(2000, rng)
    scenes = faces.sample_scenes(captions, rng)
    assert LANGUAGE.fits(scenes.attributes, captions).all()
    assert LANGUAGE.describe(scenes.attributes[:1])[0] in LANGUAGE.captions


def test_every_field_is_uniform_and_every_two_are_independent(rng):
    scenes = faces.sample_scenes(50_000, rng)
    for one, other in itertools.combinations(faces.CHOICES, 2):
        cells = getattr(scenes, one) * faces.CHOICES[other] + getattr(scenes, other)
        counts = torch.bincount(cells, minlength=faces.CHOICES[one] * faces.CHOICES[other])
        assert chi_square_z(counts) < 4.5, (one, other)


def test_what_a_caption_leaves_open_is_uniform(rng):
    caption = "a smiling face with long hair and glasses"
    attributes = faces.sample_scenes([caption] * 25_600, rng).attributes
    answers, counts = attributes.unique(dim=0, return_counts=True)
    assert torch.equal(answers, LANGUAGE.answers(caption))
    assert chi_square_z(counts) < 4


def test_scenes_can_be_picked(rng):
    scenes = faces.sample_scenes(10, rng)
    assert [field.name for field in dataclasses.fields(scenes)] == list(faces.CHOICES)
    assert scenes.attributes.shape == (10, 6)
    mask = torch.arange(10) % 4 == 1
    for rows, index in ((3, [3]), (slice(2, 5), [2, 3, 4]), ([7, 0], [7, 0]), (mask, [1, 5, 9])):
        assert len(scenes[rows]) == len(index)
        assert torch.equal(scenes[rows].attributes, scenes.attributes[index])
        assert torch.equal(scenes[rows].eyes, scenes.eyes[index])


def test_every_look_is_in_the_style_and_none_comes_twice():
    # dicebear draws nothing, and says nothing, where the style does not have a look.
    for part, looks in faces._LOOKS.items():
        layers = torch.stack([faces._layer(part, look, 64) for look in range(len(looks))])
        empty = layers[:, 3].flatten(1).amax(1) == 0
        assert empty.tolist() == [part in ("details", "glasses"), *[False] * (len(looks) - 1)]
        assert len(layers.unique(dim=0)) == len(looks)


def test_the_layers_give_what_dicebear_draws_in_one_go(rng):
    scenes = faces.sample_scenes(40, rng)
    cuts = faces.HAIRCUTS["short"] + faces.HAIRCUTS["long"]
    mouths = faces.MOUTHS["smiling"] + faces.MOUTHS["serious"]
    for i, picture in enumerate(faces.draw(scenes, 64)):
        scene = {field: int(getattr(scenes, field)[i]) for field in faces.CHOICES}
        options = {
            "skinColor": faces.SKIN[scene["skin"]],
            "eyesVariant": faces.EYES[scene["eyes"]],
            "eyebrowsVariant": faces.EYEBROWS[scene["eyebrows"]],
            "mouthVariant": mouths[8 * scene["mood"] + scene["mouth"]],
            "hairVariant": cuts[14 * scene["length"] + scene["haircut"]],
            "hairColor": list(faces.HAIR.values())[scene["colour"]],
            "glassesVariant": faces.FRAMES[scene["frames"]],
            "glassesProbability": 100 * scene["glasses"],
            "detailsVariant": faces.DETAILS[scene["detail"] - 1],
            "detailsProbability": 100 * (scene["detail"] > 0),
            "earringsProbability": 0,
            "backgroundColor": list(faces.BACKGROUND.values())[scene["background"]],
        }
        whole = faces._render(options, 64)[:3] / 255
        # Both round to 256 levels, but after different steps.
        assert (picture - whole).abs().max() <= 3 / 255


def test_a_scene_has_one_picture(rng):
    scenes = faces.sample_scenes(100, rng)
    pictures = faces.draw(scenes, 64)
    assert pictures.shape == (100, 3, 64, 64)
    assert pictures.dtype == torch.float32
    assert 0 <= pictures.min() < 0.1
    assert 0.95 < pictures.max() <= 1
    assert torch.equal(faces.draw(scenes[[42, 3]], 64), pictures[[42, 3]])
    assert faces.draw(scenes[:0], 64).shape == (0, 3, 64, 64)


def test_the_dice_of_the_style_decide_nothing(rng, monkeypatch):
    scenes = faces.sample_scenes(40, rng)
    pictures = faces.draw(scenes, 32)
    avatar, style = faces._dicebear()
    seeds = map(str, itertools.count())

    def with_another_seed(style, options):
        return avatar(style, {**options, "seed": next(seeds)})

    monkeypatch.setattr(faces, "_dicebear", lambda: (with_another_seed, style))
    monkeypatch.setattr(faces, "_layer", faces._layer.__wrapped__)  # renders every look anew
    assert torch.equal(faces.draw(scenes, 32), pictures)


@pytest.mark.parametrize(
    # Half of the smallest share of white to black that was measured, over 400 scenes and every two values.
    ("attribute", "least"),
    [
        ("mood", 0.0006),
        ("length", 0.016),
        ("colour", 0.0029),
        ("glasses", 0.0010),
        ("background", 0.029),
        ("skin", 0.0040),
    ],
)
def test_every_attribute_can_be_seen_in_every_picture(attribute, least, rng):
    scenes = faces.sample_scenes(40, rng)
    values = range(faces.CHOICES[attribute])
    pictures = [faces.draw(changed(scenes, attribute, value), 64) for value in values]
    for one, other in itertools.combinations(pictures, 2):
        assert (one - other).abs().mean((1, 2, 3)).min() > least


@pytest.mark.parametrize("field", list(faces.CHOICES))
def test_no_value_of_a_field_looks_like_another(field, rng):
    wearing = changed(faces.sample_scenes(8, rng), "glasses", 1)
    # What hair or sunglasses hide in some pictures must be seen in others.
    scenes = wearing if field in ("frames", "glasses") else changed(wearing, "glasses", 0)
    pictures = torch.stack([faces.draw(changed(scenes, field, v), 64) for v in range(faces.CHOICES[field])])
    assert len(pictures.unique(dim=0)) == faces.CHOICES[field]


@pytest.mark.parametrize("size", [7, 0, 64.0, "64", None])
def test_a_wrong_size_is_refused(size, rng, cache):
    with pytest.raises(ValueError, match="whole number of at least 8"):
        faces.draw(faces.sample_scenes(1, rng), size)
    with pytest.raises(ValueError, match="whole number of at least 8"):
        faces.dataset(1, size)


@pytest.mark.parametrize("size", [8, 33])
def test_other_sizes_show_the_same_faces(size, rng):
    scenes = faces.sample_scenes(20, rng)
    shrunk = torch.nn.functional.interpolate(faces.draw(scenes, 64), size=(size, size), mode="area")
    distances = torch.cdist(faces.draw(scenes, size).flatten(1), shrunk.flatten(1), p=1)
    assert torch.equal(distances.argmin(1), torch.arange(20))


@pytest.mark.parametrize(("field", "value"), [("eyes", 26), ("colour", 8), ("skin", -1)])
def test_a_scene_outside_its_range_is_named(field, value, rng):
    with pytest.raises(ValueError, match=rf"{field} runs from 0 to \d+; a scene has {value}"):
        faces.draw(changed(faces.sample_scenes(3, rng), field, value), 16)


def test_the_artist_is_named():
    assert faces.ATTRIBUTION == (
        "Faces: remix of “Adventurer” (https://www.figma.com/community/file/1184595184137881796) "
        "by Lisa Wischofsky, CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/)"
    )


def test_a_dataset_shows_its_scenes(cache):
    pictures, scenes = faces.dataset(20, 16, seed=3, progress=False)
    assert pictures.shape == (20, 3, 16, 16)
    assert pictures.dtype == torch.uint8
    assert len(scenes) == 20
    assert torch.equal(pictures, faces.to_uint8(faces.draw(scenes, 16)))
    assert not same(scenes, faces.dataset(20, 16, seed=4, progress=False)[1])


def test_a_larger_dataset_begins_with_the_smaller_one(cache, drawn):
    few, few_scenes = faces.dataset(13, 16, progress=False)
    assert drawn == [8, 8]
    many, many_scenes = faces.dataset(30, 16, progress=False)
    assert drawn == [8, 8, 8, 8]
    assert torch.equal(many[:13], few)
    assert same(many_scenes[:13], few_scenes)
    again, again_scenes = faces.dataset(30, 16, progress=False)
    assert drawn == [8, 8, 8, 8]
    assert torch.equal(again, many)
    assert same(again_scenes, many_scenes)


@pytest.mark.parametrize(("module", "name"), [(faces, "draw"), (np, "savez"), (os, "replace")])
def test_an_interrupted_dataset_goes_on_where_it_stopped(module, name, cache, drawn, monkeypatch):
    whole = faces.dataset(32, 16, progress=False)[0]
    shutil.rmtree(cache)
    drawn.clear()
    step, calls = getattr(module, name), []

    def interrupted(*args, **kwargs):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return step(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            faces.dataset(32, 16, progress=False)
    assert sorted(path.name[-8:] for path in cache.iterdir()) == ["0000.npz", "0001.npz"]
    drawn.clear()
    assert torch.equal(faces.dataset(32, 16, progress=False)[0], whole)
    assert drawn == [8, 8]


def truncate(path, whole):
    path.write_bytes(whole[: len(whole) // 2])


def empty(path, whole):
    path.write_bytes(b"")


def turn_a_bit(path, whole):
    path.write_bytes(whole[:2000] + bytes([whole[2000] ^ 1]) + whole[2001:])


def turn_a_bit_of_the_directory(path, whole):
    encrypted = whole.index(b"PK\x01\x02") + 8
    path.write_bytes(whole[:encrypted] + bytes([whole[encrypted] ^ 1]) + whole[encrypted + 1 :])


def write_something_else(path, whole):
    path.write_text("not a file of faces")


def swap_with_the_next(path, whole):
    shutil.copy(path.with_name(path.name.replace("0001", "0002")), path)


@pytest.mark.parametrize(
    "damage",
    [truncate, empty, turn_a_bit, turn_a_bit_of_the_directory, write_something_else, swap_with_the_next],
)
def test_a_damaged_file_is_drawn_again(damage, cache, drawn):
    whole, scenes = faces.dataset(24, 16, progress=False)
    (path,) = cache.glob("*0001.npz")
    damage(path, path.read_bytes())
    drawn.clear()
    for calls in ([8], [8]):  # once, and then it is whole
        pictures, shown = faces.dataset(24, 16, progress=False)
        assert torch.equal(pictures, whole)
        assert same(shown, scenes)
        assert drawn == calls


def test_another_style_is_another_cache(monkeypatch):
    before = faces._version()
    monkeypatch.setattr(faces, "_STYLE", faces._STYLE + " ")
    faces._version.cache_clear()
    after = faces._version()
    faces._version.cache_clear()
    assert after != before


@pytest.mark.parametrize("n", [0, -1, 2.5, None])
def test_a_wrong_number_of_faces_is_refused(n, cache):
    with pytest.raises(ValueError, match="how many faces"):
        faces.dataset(n, 16)
