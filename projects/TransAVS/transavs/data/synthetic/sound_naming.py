"""Sounds to name: mixtures of recordings, and which of them can be heard in each second."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..audio import log_mel_examples
from ..avsbench import NUM_FRAMES
from ..sound import AudioAugment, Sound
from .clips import SOUNDING_PROBABILITY
from .sounds import SAMPLE_RATE, mix_sounds

Waveform = NDArray[np.float32]

HELD_OUT_SHARE = 0.3  # the end of a recording, kept for testing
HELD_OUT_MIN_SECONDS = 1.5  # of a recording; half a second or more of it is then left to test with
THROUGHOUT_PROBABILITY = 0.4  # that a clip's sounds are heard in all of its seconds, as in S4; else as in MS3


def hold_out(sounds: Sequence[Waveform]) -> tuple[list[Waveform], list[Waveform | None]]:
    """Divides each recording into a piece to train on and, at its end, one to test on.

    Args:
        sounds: float32 [samples] at 16 kHz.

    Returns:
        the pieces to train on, and those to test on: None for a recording too short to be divided, all of which is
        trained on.
    """
    train: list[Waveform] = []
    test: list[Waveform | None] = []
    for sound in sounds:
        cut = len(sound)
        if cut >= HELD_OUT_MIN_SECONDS * SAMPLE_RATE:
            cut = round((1 - HELD_OUT_SHARE) * cut)
        train.append(sound[:cut])
        test.append(sound[cut:] if cut < len(sound) else None)
    return train, test


@dataclass(frozen=True)
class SoundMixtures:
    """Draws clips of 5 seconds in which some of the recordings are heard together.

    Args:
        sounds: float32 [samples] at 16 kHz; None for one that is not drawn, whose label stays 0.
        counts: how many recordings a clip has, each as often as the others.
        throughout: the probability that all of them are heard in every second. Else each is heard in a second by
            chance, as in the MS3 clips of Stamps.
        augment: changes the clip's level, and adds noise.

    Raises:
        ValueError: a clip has more recordings than there are.
    """

    sounds: Sequence[Waveform | None]
    counts: Sequence[int] = (1, 2, 3)
    throughout: float = THROUGHOUT_PROBABILITY
    augment: AudioAugment = field(default_factory=AudioAugment)

    def __post_init__(self) -> None:
        if not 1 <= min(self.counts) <= max(self.counts) <= self.num_usable():
            raise ValueError(f"clips of {list(self.counts)} sounds were asked for, of {self.num_usable()} recordings")

    def num_usable(self) -> int:
        return sum(sound is not None for sound in self.sounds)

    def draw(self, rng: np.random.Generator) -> tuple[Waveform, NDArray[np.bool_]]:
        """Returns: a clip's waveform, float32 [80000]; which recordings are heard in each second, bool [5, sounds]"""
        usable = [(number, sound) for number, sound in enumerate(self.sounds) if sound is not None]
        chosen = [usable[i] for i in rng.choice(len(usable), int(rng.choice(self.counts)), replace=False)]
        heard = rng.random((len(chosen), NUM_FRAMES)) < SOUNDING_PROBABILITY
        if rng.random() < self.throughout:
            heard[:] = True
        mixed = Sound(mix_sounds(rng, [sound for _, sound in chosen], heard), SAMPLE_RATE)
        waveform = self.augment(mixed, rng).waveform
        assert waveform is not None
        labels = np.zeros((NUM_FRAMES, len(self.sounds)), dtype=bool)
        labels[:, [number for number, _ in chosen]] = heard.T
        return waveform, labels

    def batch(self, rng: np.random.Generator, num_clips: int) -> tuple[Tensor, Tensor]:
        """Clips as examples of a second. Returns: float32 [5 num_clips, 1, 96, 64], float32 [5 num_clips, sounds]"""
        waveforms, labels = zip(*(self.draw(rng) for _ in range(num_clips)))
        log_mel = log_mel_examples(torch.from_numpy(np.stack(waveforms)), SAMPLE_RATE, NUM_FRAMES)
        return log_mel.flatten(0, 1), torch.from_numpy(np.concatenate(labels)).float()
