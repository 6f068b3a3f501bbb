import numpy as np
import pytest
import torch

from transavs.data.sound import AudioAugment
from transavs.data.synthetic.sound_naming import SoundMixtures, hold_out


def tone(frequency, seconds=2.0):
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * 16000)) / 16000).astype(np.float32)


def level(waveform, frequency):
    """Of a frequency in one second: about 1 where it is heard, about 0 where not."""
    spectrum = np.abs(np.fft.rfft(waveform[2000:14000]))
    hertz = np.fft.rfftfreq(12000, 1 / 16000)
    return spectrum[np.abs(hertz - frequency) < 20].max() / spectrum.max()


def test_the_end_of_a_long_recording_is_held_out_and_a_short_one_is_kept_whole():
    long, short = tone(400, 2.0), tone(900, 1.4)
    train, test = hold_out([long, short])
    assert np.array_equal(train[0], long[:22400]) and np.array_equal(test[0], long[22400:])
    assert np.array_equal(train[1], short) and test[1] is None


def test_labels_are_what_is_heard_in_each_second():
    frequencies = (400, 1200, 3000)
    mixtures = SoundMixtures([tone(frequency) for frequency in frequencies], counts=(1, 2, 3))
    rng = np.random.default_rng(0)
    seen = set()
    for _ in range(20):
        waveform, labels = mixtures.draw(rng)
        assert waveform.shape == (80000,) and waveform.dtype == np.float32 and labels.shape == (5, 3)
        seen.add(int(labels.any(0).sum()))
        for second, heard in zip(waveform.reshape(5, -1), labels):
            if heard.any():
                assert [level(second, frequency) > 0.1 for frequency in frequencies] == list(heard)
            else:
                assert np.abs(second[2000:14000]).max() < 0.05
    assert seen >= {1, 2, 3}


def test_a_recording_that_is_left_out_is_never_heard():
    mixtures = SoundMixtures([tone(400), None, tone(1200)], counts=(2,), throughout=1)
    _, labels = mixtures.draw(np.random.default_rng(0))
    assert labels.tolist() == [[True, False, True]] * 5


def test_a_batch_is_of_seconds_and_the_same_for_the_same_seed():
    mixtures = SoundMixtures([tone(400), tone(900)], (1, 2), augment=AudioAugment((-12, 6), (-80, -30)))
    first, second, other = (mixtures.batch(np.random.default_rng(seed), 3) for seed in (0, 0, 1))
    assert first[0].shape == (15, 1, 96, 64) and first[1].shape == (15, 2)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_augmentation_changes_the_level():
    sounds = [tone(400)]
    plain, _ = SoundMixtures(sounds, (1,)).draw(np.random.default_rng(0))
    quiet, _ = SoundMixtures(sounds, (1,), augment=AudioAugment((-20, -20))).draw(np.random.default_rng(0))
    assert np.allclose(quiet, plain / 10, atol=1e-6)


@pytest.mark.parametrize("counts", [(0,), (1, 3)])
def test_more_sounds_than_there_are_is_an_error(counts):
    with pytest.raises(ValueError, match="sounds were asked for, of 2 recordings"):
        SoundMixtures([tone(400), None, tone(900)], counts)
