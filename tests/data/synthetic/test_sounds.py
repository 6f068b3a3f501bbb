import numpy as np

from transavs.data.synthetic.sounds import loop_sound, mix_sounds


def test_looped_sound_repeats_without_a_jump():
    sound = np.sin(np.arange(4000) * 0.05).astype(np.float32)
    looped = loop_sound(sound, 20000, offset=1234)
    assert np.abs(np.diff(looped)).max() < 0.06
    assert np.array_equal(looped[:3680], looped[3680 : 2 * 3680])


def test_mix_is_loud_only_in_active_seconds_and_never_clips(square_sprite):
    active = np.array([[1, 0, 1, 1, 0], [1, 0, 0, 1, 0]], dtype=bool)
    sounds = [square_sprite().sound] * 2
    mixed = mix_sounds(np.random.default_rng(0), sounds, active)
    # The fades reach 10 ms over a second's border.
    inside = mixed.reshape(5, 16000)[:, 400:-400]
    assert (np.sqrt((inside**2).mean(1)) > 0.02).tolist() == active.any(0).tolist()
    assert np.abs(mixed).max() <= 0.99
