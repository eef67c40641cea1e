"""The toy voice says what it is told to, as high, as fast and in such a mood."""

import pytest
import torch

from helpers import voice


def rng():
    return torch.Generator().manual_seed(0)


def part(sound, begin, end):
    """The sound from one share of it to another."""
    return sound[int(begin * len(sound)) : int(end * len(sound))]


def energy(sound, low, high):
    """What of a sound lies between two frequencies, as a share of all."""
    power = torch.fft.rfft(sound).abs().square()
    hertz = torch.fft.rfftfreq(len(sound), 1 / voice.RATE)
    return (power[(hertz > low) & (hertz < high)].sum() / power.sum()).item()


def height(sound):
    """The lowest overtone that is loud, in Hz: the pitch."""
    power = torch.fft.rfft(sound * torch.hann_window(len(sound)), 2**15).abs()
    hertz = torch.fft.rfftfreq(2**15, 1 / voice.RATE)
    near = (hertz > 80) & (hertz < 380)
    return hertz[near][power[near].argmax()].item()


@pytest.mark.parametrize("pitch", [220, 300])
def test_the_voice_is_as_high_as_it_is_told(pitch):
    assert height(part(voice.say(pitch, 1.0, "calm", rng()), 0.8, 0.95)) == pytest.approx(0.99 * pitch, rel=0.03)


def test_a_tempo_of_two_takes_half_the_time():
    slow, quick = (voice.say(150, tempo, "calm", rng()) for tempo in (1.0, 2.0))
    assert len(slow) == 2 * len(quick) == int(voice.RATE * voice.SECONDS)


def test_moods_differ_in_melody_and_anger_is_loud():
    calm, merry, angry = (voice.say(250, 1.0, mood, rng()) for mood in voice.MOODS)
    last = [height(part(sound, 0.85, 0.95)) for sound in (angry, calm, merry)]
    assert last == sorted(last)
    assert last[0] < 0.9 * last[1] < last[1] < 0.9 * last[2]
    assert angry.abs().max() == 1.0
    assert calm.abs().max() <= 0.6


@pytest.mark.parametrize("pitch", [110, 300])
def test_one_can_tell_the_vowels_by_their_resonances(pitch):
    sound = voice.say(pitch, 1.0, "calm", rng())
    i, a, o = part(sound, 0.16, 0.26), part(sound, 0.44, 0.54), part(sound, 0.61, 0.64)
    assert energy(i, 1900, 3400) > 2 * energy(o, 1900, 3400)
    assert energy(i, 500, 1400) < 0.3 < energy(a, 500, 1400)
    assert energy(a, 1000, 1500) > energy(o, 1000, 1500)


def test_it_is_quiet_at_both_ends_and_breathes_before_the_a():
    sound = voice.say(150, 1.0, "calm", rng())
    assert max(sound[0].abs(), sound[-1].abs()) < 0.01
    assert energy(part(sound, 0.335, 0.36), 3000, 4000) > 5 * energy(part(sound, 0.46, 0.52), 3000, 4000)
    assert not torch.equal(sound, voice.say(150, 1.0, "calm", torch.Generator().manual_seed(1)))
    assert torch.equal(sound, voice.say(150, 1.0, "calm", rng()))
