"""Sounds from disk. What a file says of itself is checked before memory is taken for it."""

import math
import os
import re

import numpy as np
import soundfile

from .errors import reason_of
from .layout import FilePath

MAX_SAMPLES = 1 << 27  # of a sound in memory, of all channels: half an hour in stereo at 32 kHz
MIN_RATE, MAX_RATE = 1000, 768000  # hertz
MIN_SHARE_FOUND = 0.9  # of what a file's head says there is; with less of it there, the file was cut off
UNKNOWN_BYTES = 2**31 - 2**16  # from here on a WAV's head means: written as it was made, of unknown length


class AudioError(ValueError):
    """A sound that cannot be used; the message names the file, what was found and what was expected."""


def read_waveform(path: FilePath, seconds: float | None = None) -> tuple[np.ndarray, int]:
    """Reads a sound file (WAV, FLAC, OGG: what libsndfile reads).

    Args:
        path (str or PathLike)
        seconds (float or None): so many from its begin, where it is longer; None: all.

    Returns:
        (float32 array [samples] in [-1, 1], rate in hertz); several channels are averaged, as VGGish's reference does.

    Raises:
        AudioError: the file is missing, empty, not a sound, cut off, too long, or holds no or non-finite samples.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise AudioError(f"{path}: no such file, expected a sound file")
    if os.path.getsize(path) == 0:
        raise AudioError(f"{path}: the file is empty (0 bytes), expected a sound file")
    try:
        with soundfile.SoundFile(path) as file:
            rate, samples = file.samplerate, _read_samples(file, seconds)
    except AudioError as error:
        raise AudioError(f"{path}: {error}") from None
    # RuntimeError is libsndfile's; TypeError is of a file called .raw, whose form would have to be told.
    except (RuntimeError, OSError, TypeError) as error:
        expected = "expected WAV, FLAC or OGG"
        raise AudioError(f"{path}: not a readable sound file ({reason_of(error)}), {expected}") from error
    if len(samples) == 0:
        raise AudioError(f"{path}: holds 0 samples, expected at least 1")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples, expected finite ones in [-1, 1]")
    return samples.mean(axis=1), rate


def _read_samples(file: soundfile.SoundFile, seconds: float | None) -> np.ndarray:
    """Returns: float32 [samples, channels]. Raises: AudioError: without the file's name."""
    if not MIN_RATE <= file.samplerate <= MAX_RATE:
        raise AudioError(f"has {file.samplerate} samples a second, expected {MIN_RATE} to {MAX_RATE}")
    wanted = file.frames if seconds is None else min(file.frames, math.ceil(seconds * file.samplerate))
    if wanted * file.channels > MAX_SAMPLES:
        raise AudioError(f"has {wanted} samples of {file.channels} channel(s), expected at most {MAX_SAMPLES} in all")
    # libsndfile reads what there is of a shorter file; its log has what the head says, and what would be right.
    declared = re.search(r"^ *data : (\d+) \(should be (\d+)\)$", file.extra_info, re.MULTILINE)
    if declared and int(declared[2]) < MIN_SHARE_FOUND * int(declared[1]) < MIN_SHARE_FOUND * UNKNOWN_BYTES:
        raise AudioError(f"is cut off: {declared[2]} bytes of sound, expected {declared[1]} as its head says")
    samples = file.read(wanted, dtype="float32", always_2d=True)
    if len(samples) < MIN_SHARE_FOUND * wanted:
        raise AudioError(f"is cut off: {len(samples)} samples, expected {wanted} as its head says")
    return np.asarray(samples)
