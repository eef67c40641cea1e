"""The language is finite, so what is claimed of it is tested on all of it."""

import math

import pytest
import torch

from helpers import dogs, faces
from helpers.captions import Language

WORLDS = pytest.mark.parametrize("language", [dogs.LANGUAGE, faces.LANGUAGE], ids=["dogs", "faces"])


@WORLDS
def test_every_caption_is_understood_as_it_was_meant(language):
    n = math.prod(len(values) + 1 for values in language.nameable.values())
    assert len(language.captions) == len(set(language.captions)) == n
    for caption in language.captions:
        assert language.write(language.parse(caption)) == caption


@WORLDS
def test_entropy_is_the_logarithm_of_the_number_of_answers(language):
    assert language.entropy() == language.entropy(language.captions[0])
    for caption in language.captions:
        assert language.entropy(caption) == pytest.approx(math.log2(len(language.answers(caption))))


@WORLDS
def test_answers_are_exactly_the_scenes_that_fit(language):
    everything = language.answers(language.captions[0])
    assert len(torch.unique(everything, dim=0)) == math.prod(map(len, language.attributes.values()))
    for caption in language.captions[:: max(1, len(language.captions) // 40)]:
        fits = language.fits(everything, [caption] * len(everything))
        assert torch.equal(everything[fits], language.answers(caption))


def test_the_captions_of_the_design():
    language = dogs.LANGUAGE
    assert language.captions[0] == "a running dog"
    named = {"size": "small", "coat": "white", "direction": "left", "background": "sand"}
    assert language.parse("a small white dog running left on the sand") == named
    assert language.entropy() == pytest.approx(math.log2(2 * 4 * 2 * 3 * 4))
    assert language.entropy("a small white dog running left on the sand") == 2


def test_case_stops_and_spaces_do_not_matter():
    assert dogs.LANGUAGE.parse("  A small  WHITE running dog. ") == {"size": "small", "coat": "white"}


def test_encoding_is_zero_where_open_and_one_more_than_the_value_elsewhere():
    encoded = dogs.LANGUAGE.encode(["a running dog", "a golden dog running right in the city"])
    assert encoded.tolist() == [[0, 0, 0, 0], [2, 4, 0, 3]]
    assert dogs.LANGUAGE.encode([]).shape == (0, 4)


def test_describe_names_what_it_is_told_to():
    attributes = torch.tensor([[1, 2, 0, 1, 3]])
    assert dogs.LANGUAGE.describe(attributes) == ["a small brown dog running right on the sand"]
    assert dogs.LANGUAGE.describe(attributes, ["coat"]) == ["a brown running dog"]


def test_sampled_captions_name_each_attribute_as_often_as_asked():
    captions = dogs.LANGUAGE.sample(4000, torch.Generator().manual_seed(0), p_named=0.25)
    named = (dogs.LANGUAGE.encode(captions) > 0).float().mean(0)
    assert torch.allclose(named, torch.full((4,), 0.25), atol=0.03)
    assert dogs.LANGUAGE.sample(5, torch.Generator().manual_seed(0), p_named=0) == ["a running dog"] * 5


@pytest.mark.parametrize(
    ("caption", "hint"),
    [
        ("a purple running dog", "know the word 'purple'.*black.*white"),
        ("a black white running dog", "two values of coat: black and white"),
        ("a white small running dog", "Did you mean 'a small white running dog'"),
        ("running", "Did you mean 'a running dog'"),
        ("", "Did you mean"),
    ],
)
def test_a_caption_of_another_language_is_explained(caption, hint):
    with pytest.raises(ValueError, match=hint):
        dogs.LANGUAGE.parse(caption)


def test_one_text_in_place_of_a_list_is_explained():
    with pytest.raises(TypeError, match=r"try \['a running dog'\]"):
        dogs.LANGUAGE.encode("a running dog")


def test_write_rejects_what_the_world_does_not_have():
    with pytest.raises(ValueError, match="no caption can name 'skyline'"):
        dogs.LANGUAGE.write({"skyline": "left"})
    with pytest.raises(ValueError, match="coat cannot be 'green'"):
        dogs.LANGUAGE.write({"coat": "green"})


def test_a_language_that_says_two_things_in_the_same_words_is_refused():
    with pytest.raises(ValueError, match="same words"):
        Language({"mood": ("glad", "sad")}, {}, lambda named: "a dog")
