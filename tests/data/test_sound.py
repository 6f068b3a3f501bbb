import numpy as np
import pytest
import torch

from transavs.data import audio
from transavs.data.sound import AudioAugment, Sound, add_sounds, amplify, coloured_noise, factor_of


def tone(frequency, rate=16000, level=0.3, seconds=5):
    return (level * np.sin(2 * np.pi * frequency * np.arange(seconds * rate) / rate)).astype(np.float32)


def decibels(waveform):
    return 20 * np.log10(np.sqrt(np.mean(np.square(waveform, dtype=np.float64))))


def test_sum_of_waveforms_is_exact_and_as_long_as_the_longer_one():
    total = add_sounds(Sound(tone(400)), Sound(tone(900, seconds=2)))
    expected = tone(400)
    expected[:32000] += tone(900, seconds=2)
    assert np.array_equal(total.waveform, expected) and total.waveform.dtype == np.float32
    assert torch.equal(total.examples(5), audio.log_mel_examples(expected, 16000, 5))


@pytest.mark.parametrize("resampler", audio.RESAMPLERS)
def test_sounds_of_other_sample_rates_keep_their_pitch(resampler):
    total = add_sounds(Sound(tone(400)), Sound(tone(900, rate=44100), 44100), resampler)
    inside = slice(1600, -1600)  # the resampler's filter reaches over the ends
    assert total.sample_rate == 16000 and len(total.waveform) == 80000
    assert np.abs(total.waveform - tone(400) - tone(900))[inside].max() < 1e-3


def test_log_mels_of_two_tones_add_up_to_the_log_mel_of_their_sum():
    first, second = Sound(tone(400)), Sound(tone(3000))
    expected = add_sounds(first, second).examples(5)
    for sounds in (
        (Sound(log_mel=first.examples(5)), Sound(log_mel=second.examples(5))),
        (first, Sound(log_mel=second.examples(5))),
        (Sound(log_mel=first.examples(5)), second),
    ):
        total = add_sounds(*sounds)
        assert total.waveform is None
        torch.testing.assert_close(
            total.examples(5), expected, atol=0.08, rtol=0
        )  # of 8; a tone reaches into other bands


def test_amplifying_a_log_mel_is_amplifying_its_waveform():
    sound = Sound(tone(400))
    found = amplify(Sound(log_mel=sound.examples(5)), 0.5).examples(5)
    torch.testing.assert_close(found, amplify(sound, 0.5).examples(5), atol=1e-4, rtol=0)
    assert factor_of(-20) == pytest.approx(0.1)


def test_silence_added_changes_nothing():
    log_mel = Sound(tone(400)).examples(5)
    total = add_sounds(Sound(log_mel=log_mel), Sound(log_mel=audio.silent_examples(5)))
    torch.testing.assert_close(total.log_mel, log_mel, atol=1e-5, rtol=0)


def test_noise_has_the_level_asked_for_and_falls_from_white_to_brown():
    slopes = []
    for seed in range(40):
        noise = coloured_noise(65536, np.random.default_rng(seed))
        assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, abs=1e-3)
        power = np.abs(np.fft.rfft(noise)) ** 2
        octaves = [np.log2(power[2**k : 2 ** (k + 1)].mean()) for k in range(5, 15)]
        slopes.append(np.polyfit(range(10), octaves, 1)[0])
    assert -2.1 < min(slopes) < -1.6 and -0.4 < max(slopes) < 0.1


def test_gain_and_noise_stay_within_their_ranges():
    rng, sound = np.random.default_rng(0), Sound(tone(400))
    gains = [decibels(AudioAugment([-10, 6])(sound, rng).waveform) - decibels(sound.waveform) for _ in range(100)]
    assert -10 <= min(gains) < -8 and 4 < max(gains) <= 6.01
    levels = [
        decibels(AudioAugment(noise=[-60, -35])(sound, rng).waveform - sound.waveform.astype(np.float64))
        for _ in range(50)
    ]
    assert -60.1 < min(levels) < -56 and -39 < max(levels) < -34.9


def test_noise_reaches_a_log_mel_too():
    silence = Sound(log_mel=audio.silent_examples(5))
    found = AudioAugment(noise=[-40, -40])(silence, np.random.default_rng(0)).examples(5)
    waveform = 0.01 * coloured_noise(silence.num_samples(), np.random.default_rng(0))
    assert found.mean() > audio.SILENCE + 0.5
    assert abs(found.mean() - audio.log_mel_examples(waveform, 16000, 5).mean()) < 0.7


def test_what_is_off_is_not_done():
    for off in (AudioAugment(), AudioAugment([0.0, 0.0], []), AudioAugment([0, 0], [0, 0])):
        assert not off
    assert AudioAugment([-3, 3]) and AudioAugment(noise=[-60, -40])


@pytest.mark.parametrize("gain", [[3], [6, -10], [1, 2, 3]])
def test_no_range_is_named_with_its_key(gain):
    with pytest.raises(
        ValueError, match="INPUT.AUDIO.GAIN is .*expected two numbers of decibels, the lower one first$"
    ):
        AudioAugment(gain)
    with pytest.raises(ValueError, match=r"INPUT.AUDIO.NOISE is \[-3, 3\], .*at most 0"):
        AudioAugment(noise=[-3, 3])


def test_a_sound_is_a_waveform_or_a_log_mel():
    for both_or_none in ({}, {"waveform": tone(400), "log_mel": audio.silent_examples(5)}):
        with pytest.raises(ValueError, match="either a waveform, a log-mel or an embedding"):
            Sound(**both_or_none)
