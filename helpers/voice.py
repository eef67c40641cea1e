"""A toy voice that asks "ni hao ma?" (你好嗎, how are you?), as high, as fast and in such a mood as one likes.

A buzz, as the vocal cords make it, passes three resonances, as those of a mouth are; where the resonances lie is what
makes one vowel or another (Fant, "Acoustic Theory of Speech Production", 1960; Klatt, "Software for a
Cascade/Parallel Formant Synthesizer", JASA 67, 1980).
"""

import math

import torch
from torch import Tensor

RATE = 8000  # numbers in a second, as on a telephone
SECONDS = 0.95  # at tempo 1
HIGHEST = 3800  # Hz; above half of the rate a tone would be heard as another
MOODS = {"calm": 0.0, "merry": 0.4, "angry": -0.4}  # how far the melody rises, as a share of the pitch
WIDTHS = ((60, 1.0), (90, 0.6), (130, 0.35))  # of the resonances, in Hz, and how loud each is
SOUNDS = torch.tensor(
    [  # when, as a share of the whole; three resonances in Hz; how loud are buzz and breath; how high is the tone
        (0.00, 250, 1700, 2600, 0.0, 0.0, 0.90),
        (0.04, 250, 1700, 2600, 0.3, 0.0, 0.92),
        (0.10, 260, 1800, 2600, 0.3, 0.0, 0.95),  # n
        (0.13, 300, 2300, 3000, 1.0, 0.0, 1.00),
        (0.27, 300, 2300, 3000, 0.8, 0.0, 1.15),  # i
        (0.32, 500, 1700, 2600, 0.0, 0.0, 1.15),
        (0.34, 650, 1300, 2500, 0.0, 0.3, 0.90),
        (0.39, 700, 1250, 2500, 0.1, 0.3, 0.90),  # h
        (0.43, 800, 1250, 2500, 1.0, 0.0, 0.88),
        (0.54, 780, 1150, 2500, 1.0, 0.0, 0.80),  # a
        (0.63, 480, 850, 2400, 0.8, 0.0, 0.85),  # o
        (0.66, 280, 1000, 2200, 0.3, 0.0, 0.95),
        (0.73, 280, 1000, 2200, 0.3, 0.0, 1.00),  # m
        (0.76, 700, 1200, 2500, 1.0, 0.0, 1.00),
        (0.90, 800, 1250, 2500, 0.8, 0.0, 0.98),  # a
        (1.00, 800, 1250, 2500, 0.0, 0.0, 0.95),
    ]
)


def say(pitch: float, tempo: float, mood: str, rng: torch.Generator) -> Tensor:
    """A waveform ``(n,)`` in [-1, 1], ``RATE`` numbers a second.

    Args:
        pitch: in Hz, on average about.
        tempo: 1 takes ``SECONDS``, 2 half as long.
        mood: one of ``MOODS``.
        rng: of the breath.
    """
    share = torch.linspace(0, 1, int(RATE * SECONDS / tempo))
    after = torch.searchsorted(SOUNDS[:, 0].contiguous(), share).clamp(min=1)
    passed = (share - SOUNDS[after - 1, 0]) / (SOUNDS[after, 0] - SOUNDS[after - 1, 0])
    _, *resonances, buzz, breath, tone = SOUNDS[after - 1].lerp(SOUNDS[after], passed[:, None]).T
    hertz = pitch * tone * (1 + MOODS[mood] * (share - 0.5))
    overtone = torch.arange(1, math.ceil(HIGHEST / hertz.min()))[:, None]
    heights = overtone * hertz  # of every overtone, (k, n)
    loud = sum(gain / (1 + ((heights - at) / width) ** 2) for at, (width, gain) in zip(resonances, WIDTHS, strict=True))
    loud = loud / overtone.sqrt() * (heights < HIGHEST)
    turns = 2 * math.pi * hertz.cumsum(0) / RATE
    sound = buzz * (loud * torch.sin(overtone * turns)).sum(0)
    sound = sound / sound.abs().max() + breath * 0.3 * torch.randn(len(share), generator=rng).clamp(-2, 2)
    return (1.0 if mood == "angry" else 0.6) * sound.clamp(-1, 1)
