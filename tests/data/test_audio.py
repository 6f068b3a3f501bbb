import math

import numpy as np
import pytest
import soundfile
import torch
from torchvggish import vggish_input

from transavs.data import audio

RATES = (8000, 11025, 22050, 44100, 48000)


def make_sound(rate, channels=1, seconds=5.0, seed=0):
    """Chirp, loud chord with overtones, clicks, fading noise, a stretch of silence: float64 [samples, channels]."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(rate * seconds)) / rate
    sound = []
    for _ in range(channels):
        base = generator.uniform(100, 400)
        chord = sum(np.sin(2 * np.pi * base * k * time + generator.uniform(0, 6)) / k for k in range(1, 9))
        chirp = np.sin(2 * np.pi * (200 + 600 * time) * time)
        clicks = (generator.random(len(time)) < 1e-3) * generator.uniform(-1, 1, len(time))
        noise = generator.standard_normal(len(time)) * np.exp(-time)
        sound.append(0.3 * chord + 0.2 * chirp + 0.5 * clicks + 0.05 * noise)
    sound = np.stack(sound, axis=1)
    sound[int(2.0 * rate) : int(2.5 * rate)] = 0.0
    return sound / np.abs(sound).max()


def write_wav(path, rate=16000, channels=1, seconds=5.0):
    soundfile.write(path, make_sound(rate, channels, seconds), rate, subtype="PCM_16")
    return path


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", RATES)
def test_log_mel_of_a_file_equals_torchvggish(tmp_path, rate, channels):
    path = write_wav(tmp_path / "clip.wav", rate, channels)
    expected = vggish_input.wavfile_to_examples(str(path)).detach()
    found = audio.log_mel_examples(*audio.read_waveform(path))
    assert found.dtype == torch.float32 and found.shape == expected.shape == (5, 1, 96, 64)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("hertz", [130.0, 1000.0, 7000.0])
def test_log_mel_beside_a_full_scale_tone_equals_torchvggish(hertz):
    tone = 0.999 * np.sin(2 * np.pi * hertz * np.arange(80000) / 16000)
    expected = vggish_input.waveform_to_examples(tone, 16000).detach()
    torch.testing.assert_close(audio.log_mel_examples(tone, 16000), expected, rtol=0, atol=2e-6)


def test_log_mel_cut_to_its_examples_equals_that_of_the_whole_sound():
    sound = make_sound(44100, seconds=7.0)[:, 0]
    whole = audio.log_mel_examples(sound, 44100)
    assert len(whole) == 7
    torch.testing.assert_close(audio.log_mel_examples(sound, 44100, 3), whole[:3], rtol=0, atol=1e-6)


def test_batch_equals_its_sounds_one_by_one():
    sounds = np.stack([make_sound(22050, seed=seed)[:, 0] for seed in range(3)]).astype(np.float32)
    batch = audio.log_mel_examples(sounds, 22050, 5)
    assert batch.shape == (len(sounds), 5, 1, 96, 64)
    for sound, examples in zip(sounds, batch):
        torch.testing.assert_close(examples, audio.log_mel_examples(sound, 22050, 5), rtol=0, atol=1e-6)


def test_long_sound_equals_torchvggish_across_chunks():
    sound = make_sound(16000, seconds=11.0)[:, 0]
    found = audio.log_mel_examples(sound, 16000)
    assert len(found) * audio.EXAMPLE_FRAMES > 2 * audio.CHUNK_FRAMES
    expected = vggish_input.waveform_to_examples(sound, 16000).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_shorter_sound_is_padded_with_silence():
    sound = make_sound(16000)[:, 0]
    short = audio.log_mel_examples(sound[:24000], 16000, 5)  # 1.5 s
    torch.testing.assert_close(short[0], audio.log_mel_examples(sound, 16000, 5)[0])
    # The second example starts at 0.96 s; its window number 54 starts at 1.5 s, where the samples end.
    assert not (short[1, 0, :54] == math.log(0.01)).all(dim=1).any()
    torch.testing.assert_close(short[1, 0, 54:], torch.full((42, 64), math.log(0.01)))
    torch.testing.assert_close(short[2:], torch.full((3, 1, 96, 64), math.log(0.01)))


def test_sound_shorter_than_one_window_gives_one_example():
    assert audio.log_mel_examples(np.ones(3, dtype=np.float32), 16000).shape == (1, 1, 96, 64)


def test_silent_examples_are_the_log_mel_of_zero_samples():
    torch.testing.assert_close(audio.log_mel_examples(np.zeros(80000), 16000, 5), audio.silent_examples(5))


def test_torchaudio_resampler_is_close_to_resampy_below_its_cutoff():
    tone = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(44100) / 44100)
    expected = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    for resampler in audio.RESAMPLERS:
        found = audio.resample(tone, 44100, resampler=resampler).numpy()
        assert len(found) == 16000
        np.testing.assert_allclose(found[200:-200], expected[200:-200], atol=2e-3)


def test_unknown_resampler_is_named():
    with pytest.raises(ValueError, match="'sinc', expected one of resampy, torchaudio"):
        audio.resample(np.zeros(10), 8000, resampler="sinc")


@pytest.mark.parametrize(
    "waveform, rate, num_examples, message",
    [
        (np.array([0.0, np.inf]), 16000, None, "NaN or infinite"),
        (np.zeros(0), 16000, None, "at least one sample"),
        (np.zeros((2, 3, 4)), 16000, None, "expected mono"),
        (np.zeros(4, dtype=np.int16), 16000, None, "floating point"),
        (np.zeros(4), 0, None, "sample rates"),
        (np.zeros(2), 48000, None, "too short"),
        (np.zeros(4), 16000, 0, "at least 1"),
    ],
)
def test_unusable_waveforms_are_refused(waveform, rate, num_examples, message):
    with pytest.raises(audio.AudioError, match=message):
        audio.log_mel_examples(waveform, rate, num_examples)


def test_fit_examples_repeats_the_last_and_cuts():
    examples = torch.rand(3, 1, 96, 64)
    assert torch.equal(audio.fit_examples(examples, 2), examples[:2])
    assert torch.equal(audio.fit_examples(examples, 5), examples[[0, 1, 2, 2, 2]])


@pytest.mark.parametrize("rate, seconds", [(16000, 4.8), (16000, 2.5), (16000, 0.5), (44100, 3.3), (16000, 7)])
def test_a_clips_sound_is_fitted_as_avsbench_fits_it(tmp_path, rate, seconds):
    """By the steps of its preprocessing: torchvggish's whole examples, the last one repeated until there are five."""
    sound = make_sound(rate)[:, 0]
    sound = np.tile(sound, 1 + int(seconds * rate) // len(sound))[: int(seconds * rate)]
    found = audio.clip_examples(sound, rate, 5, "resampy")
    expected = vggish_input.waveform_to_examples(sound, rate).detach()
    if len(expected) == 0:  # where AVSBench's own code fails
        expected = audio.log_mel_examples(sound, rate, 1)
    expected = torch.cat([expected, expected[-1:].repeat(5, 1, 1, 1)])[:5]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_spec_augment_silences_one_stretch_of_bands_and_one_of_frames():
    torch.manual_seed(0)
    log_mel = torch.ones(50, 1, 96, 64)
    masked = audio.SpecAugment(frequency_mask=10, time_mask=20)(log_mel)
    assert (log_mel == 1).all()
    silent = masked == audio.silent_examples(1)
    assert torch.equal(silent | (masked == 1), torch.ones_like(silent))
    bands, frames = silent.all(dim=2).sum(-1), silent.all(dim=3).sum(-1)
    assert 0 < bands.max() < 10 and 10 <= frames.max() < 20
    assert len(bands.unique()) > 1  # each example has its own
    expected = bands * 96 + frames * 64 - bands * frames
    assert torch.equal(silent.sum(dim=(2, 3)), expected)


def test_spec_augment_follows_torch_seed():
    augment = audio.SpecAugment(frequency_mask=10, time_mask=20)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(augment(torch.ones(5, 1, 96, 64)))
    assert torch.equal(*results)
