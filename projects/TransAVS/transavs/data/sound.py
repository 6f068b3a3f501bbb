"""A clip's sound before it becomes the model's input: added to another one, amplified, or under noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import audio


@dataclass(frozen=True)
class Sound:
    """A waveform; or, where that is not known, a log-mel; or features computed ahead, of a sound that stays as it is.

    Args:
        waveform: float32 [samples], mono; full scale is 1.
        sample_rate: hertz, of `waveform`.
        log_mel: float32 [T, 1, 96, 64], where there is no `waveform`.
        embedding: float32 [T, C], where there is neither.
    """

    waveform: NDArray[np.float32] | None = None
    sample_rate: int = audio.SAMPLE_RATE
    log_mel: Tensor | None = None
    embedding: Tensor | None = None

    def __post_init__(self) -> None:
        if sum(form is not None for form in (self.waveform, self.log_mel, self.embedding)) != 1:
            raise ValueError("a sound has either a waveform, a log-mel or an embedding")

    def examples(self, num_examples: int, resampler: str = "resampy") -> Tensor:
        """The model's input: of a shorter sound with the last example repeated, as AVSBench has it.

        Returns:
            float32 [num_examples, 1, 96, 64]

        Raises:
            AudioError: the waveform cannot be used.
        """
        if self.log_mel is not None:
            return audio.fit_examples(self.log_mel, num_examples)
        assert self.waveform is not None
        return audio.clip_examples(self.waveform, self.sample_rate, num_examples, resampler)

    def num_samples(self) -> int:
        """How long the waveform is or, for a log-mel, a waveform at 16 kHz that fills it."""
        if self.waveform is not None:
            return len(self.waveform)
        assert self.log_mel is not None
        return len(self.log_mel) * audio.EXAMPLE_FRAMES * audio.HOP_SAMPLES + audio.WINDOW_SAMPLES


def factor_of(decibels: float) -> float:
    """What an amplitude is multiplied by."""
    return float(10 ** (decibels / 20))


def amplify(sound: Sound, factor: float) -> Sound:
    if sound.waveform is not None:
        return replace(sound, waveform=sound.waveform * np.float32(factor))
    assert sound.log_mel is not None
    return Sound(log_mel=_log_mel_of(factor * _magnitudes(sound.log_mel)))


def add_sounds(first: Sound, second: Sound, resampler: str = "torchaudio") -> Sound:
    """The sum of two sounds, as long as the longer one, at the first one's sample rate.

    Where one of them has no waveform, the mel bands' magnitudes are added: exact where no band holds both sounds, and
    an upper bound elsewhere, since a log-mel knows no phases.
    """
    if first.waveform is None or second.waveform is None:
        num_examples = max(len(sound.log_mel) for sound in (first, second) if sound.log_mel is not None)
        magnitudes = [_magnitudes(sound.examples(num_examples, resampler)) for sound in (first, second)]
        return Sound(log_mel=_log_mel_of(magnitudes[0] + magnitudes[1]))
    added = second.waveform
    if second.sample_rate != first.sample_rate:
        added = audio.resample(added, second.sample_rate, first.sample_rate, resampler).numpy().astype(np.float32)
    total = np.zeros(max(len(first.waveform), len(added)), np.float32)
    total[: len(first.waveform)] += first.waveform
    total[: len(added)] += added
    return Sound(total, first.sample_rate)


def _magnitudes(log_mel: Tensor) -> Tensor:
    return (log_mel.exp() - audio.LOG_OFFSET).clamp(min=0)


def _log_mel_of(magnitudes: Tensor) -> Tensor:
    return torch.log(magnitudes + audio.LOG_OFFSET)


def coloured_noise(num_samples: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise whose spectrum falls by a random slope, from white to brown. Returns: float32 [num_samples], RMS 1"""
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    spectrum[1:] *= np.arange(1, len(spectrum)) ** -rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, num_samples)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


class AudioAugment:
    """Plays a training clip's sound at another level, and over noise.

    Args:
        gain: decibels, the least and the most; (0, 0) is off.
        noise: decibels of coloured noise, full scale being 0, the least and the most; () or (0, 0) is off.

    Raises:
        ValueError: no such range; it names the config's key.
    """

    def __init__(self, gain: Sequence[float] = (0, 0), noise: Sequence[float] = ()):
        for key, decibels, most in (("GAIN", gain, np.inf), ("NOISE", noise, 0)):
            if decibels and not (len(decibels) == 2 and decibels[0] <= decibels[1] <= most):
                expected = "two numbers of decibels, the lower one first" + (", at most 0" if most == 0 else "")
                raise ValueError(f"INPUT.AUDIO.{key} is {list(decibels)}, expected {expected}")
        self.gain = (gain[0], gain[1]) if any(gain) else None
        self.noise = (noise[0], noise[1]) if any(noise) else None

    def __bool__(self) -> bool:
        return self.gain is not None or self.noise is not None

    def __call__(self, sound: Sound, rng: np.random.Generator) -> Sound:
        if self.gain is not None:
            sound = amplify(sound, factor_of(rng.uniform(*self.gain)))
        if self.noise is not None:
            level = np.float32(factor_of(rng.uniform(*self.noise)))
            rate = sound.sample_rate if sound.waveform is not None else audio.SAMPLE_RATE
            sound = add_sounds(sound, Sound(level * coloured_noise(sound.num_samples(), rng), rate))
        return sound
