"""Sounds from disk, whole and broken."""

import struct

import numpy as np
import pytest
import soundfile

from transavs.data.sound_files import AudioError, read_waveform

UNKNOWN = 0xFFFFFFFF  # a length that FFmpeg writes when it cannot go back to correct it


@pytest.fixture
def noise():
    return np.random.default_rng(0).uniform(-0.5, 0.5, 16000).astype(np.float32)


def wav(data, declared=None, channels=1, rate=16000):
    """A WAV of 16 bits whose head says that it has `declared` bytes of samples."""
    declared = len(data) if declared is None else declared
    form = struct.pack("<HHIIHH", 1, channels, rate, 2 * rate * channels % (1 << 32), 2 * channels, 16)
    riff = struct.pack("<4sI4s4sI", b"RIFF", min(36 + declared, UNKNOWN), b"WAVE", b"fmt ", 16)
    return riff + form + struct.pack("<4sI", b"data", declared) + data


def flac_of(noise, path, num_samples):
    """A FLAC whose head says that it has `num_samples`."""
    soundfile.write(path, noise, 16000)
    data = bytearray(path.read_bytes())
    assert data[:4] == b"fLaC"
    high = int.from_bytes(data[18:26], "big") >> 36 << 36  # rate, channels and bits, then 36 bits of length
    data[18:26] = (high | num_samples).to_bytes(8, "big")
    path.write_bytes(data)
    return path


def test_stereo_is_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.array([[0.5, -0.25], [0.0, 0.5]]), 8000, subtype="FLOAT")
    waveform, rate = read_waveform(path)
    assert rate == 8000 and waveform.dtype == np.float32
    np.testing.assert_array_equal(waveform, np.array([0.125, 0.25], dtype=np.float32))


def test_the_begin_of_a_sound_is_read_alone(tmp_path, noise):
    soundfile.write(tmp_path / "long.wav", noise, 1000, subtype="FLOAT")  # 16 s
    for seconds, expected in ((2.5, noise[:2500]), (16, noise), (20, noise)):
        np.testing.assert_array_equal(read_waveform(tmp_path / "long.wav", seconds)[0], expected)


def test_unusable_files_are_named(tmp_path, noise):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("no sound at all" * 20)
    soundfile.write(tmp_path / "whole.wav", noise, 16000)
    (tmp_path / "head.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:20])
    soundfile.write(tmp_path / "nothing.wav", np.zeros((0, 1)), 16000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    (tmp_path / "slow.wav").write_bytes(wav(b"\0" * 8, rate=1))
    (tmp_path / "bare.raw").write_bytes(b"\0" * 8)
    for name, reason in {
        "missing.wav": "no such file",
        "empty.wav": "0 bytes",
        "text.wav": "not a readable sound file",
        "head.wav": "not a readable sound file",
        "nothing.wav": "0 samples",
        "nan.wav": "NaN",
        "slow.wav": "has 1 samples a second, expected 1000 to 768000",
        "bare.raw": "not a readable sound file",
    }.items():
        with pytest.raises(AudioError, match=rf"{name}[^\n]*{reason}[^\n]*$"):
            read_waveform(tmp_path / name)


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.ogg"])
def test_a_sound_that_is_cut_off_is_refused(tmp_path, noise, name):
    path = tmp_path / name
    soundfile.write(path, noise, 16000)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match=rf"^{path}: (is cut off|not a readable sound|holds 0 samples)[^\n]*$"):
        read_waveform(path)


def test_a_sound_of_unknown_length_is_what_there_is(tmp_path, noise):
    samples = (noise * 32768).astype("<i2")
    (tmp_path / "piped.wav").write_bytes(wav(samples.tobytes(), UNKNOWN))
    np.testing.assert_array_equal(read_waveform(tmp_path / "piped.wav")[0], samples.astype(np.float32) / 32768)


def test_a_head_that_claims_gigabytes_takes_no_memory(tmp_path, noise, no_more_memory):
    (tmp_path / "huge.wav").write_bytes(wav(b"\0" * 1000, 1 << 30))
    flac_of(noise, tmp_path / "huge.flac", (1 << 36) - 1)
    with no_more_memory():
        with pytest.raises(AudioError, match="cut off: 1000 bytes of sound, expected 1073741824 as its head says"):
            read_waveform(tmp_path / "huge.wav")
        with pytest.raises(AudioError, match="has 68719476735 samples of 1 channel.* expected at most 134217728"):
            read_waveform(tmp_path / "huge.flac")
        waveform, rate = read_waveform(tmp_path / "huge.flac", seconds=0.5)
    assert rate == 16000 and np.abs(waveform - noise[:8000]).max() < 1e-4
