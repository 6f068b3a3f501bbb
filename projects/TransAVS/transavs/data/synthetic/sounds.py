"""The sound of a synthetic clip: its objects' sounds, looped, faded and added up."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..avsbench import NUM_FRAMES

SAMPLE_RATE = 16000  # Hz, VGGish's
CLIP_SAMPLES = NUM_FRAMES * SAMPLE_RATE
CROSSFADE_SAMPLES = 320  # 20 ms
RMS_LEVEL = 0.08


def loop_sound(sound: NDArray[np.float32], num_samples: int, offset: int) -> NDArray[np.float32]:
    """Repeat a sound from `offset` on, each repetition faded into the next. Returns: float32 [num_samples]."""
    fade = min(CROSSFADE_SAMPLES, len(sound) // 4)
    period = sound[: len(sound) - fade].copy()
    ramp = (np.arange(fade) + 0.5) / max(fade, 1)
    period[:fade] = sound[:fade] * ramp + sound[len(sound) - fade :] * (1 - ramp)
    return np.resize(np.roll(period, -offset), num_samples)


def mix_sounds(
    rng: np.random.Generator, sounds: Sequence[NDArray[np.float32]], active: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Add up the objects' sounds over faint noise, each audible in its active seconds only.

    Args:
        sounds: each object's, float32 [samples] at 16 kHz, of any length.
        active: bool [n,T], whether an object sounds in a second.

    Returns:
        float32 [T * 16000] in [-1,1].
    """
    from scipy.ndimage import uniform_filter1d  # which takes long to import, and every `import transavs` comes here

    num_samples = active.shape[1] * SAMPLE_RATE
    noise_level = 10 ** (rng.uniform(-65, -50) / 20)
    mixed = rng.normal(0, noise_level, num_samples)
    for sound, seconds in zip(sounds, active):
        level = RMS_LEVEL * 10 ** (rng.uniform(-6, 3) / 20) / max(np.sqrt(np.mean(sound**2)), 1e-6)
        gate = uniform_filter1d(np.repeat(seconds.astype(np.float64), SAMPLE_RATE), CROSSFADE_SAMPLES)
        mixed += level * gate * loop_sound(sound, num_samples, int(rng.integers(len(sound))))
    peak = float(np.abs(mixed).max())
    return (mixed / max(1.0, peak / 0.99)).astype(np.float32)
