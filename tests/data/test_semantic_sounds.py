"""TEST.AUDIO on clips with classes, of 5 and of 10 s: the mapper and the exchange of sounds take them as the others."""

import math

import pytest
import torch

from transavs.data import audio
from transavs.data.audio_modes import AudioModeError, replace_audio
from transavs.data.semantic import load_avss


@pytest.fixture
def heard(semantic, make_mapper):
    """Gives what a model hears in the seconds of each training clip's frames, by the clip's id, in a mode."""

    def read(mode):
        mapper = make_mapper(False, MODEL__TRANSAVS__NUM_FRAMES=10, TEST__AUDIO=mode)
        inputs = map(mapper, replace_audio(load_avss(semantic.root, "train"), mode))
        return {clip["video_id"]: clip["audio_log_mel"][clip["frame_indices"]] for clip in inputs}

    return read


def test_a_clips_own_sound_has_an_example_for_each_of_its_frames(heard, semantic):
    sounds = heard("original")
    assert {name: len(sound) for name, sound in sounds.items()} == {"a_0_5000": 5, "b": 5, "c_1": 10}
    waveform, rate = audio.read_waveform(semantic.path("c_1", "audio.wav"))
    assert torch.equal(sounds["c_1"], audio.log_mel_examples(waveform, rate, 10))


def test_silence_is_silent_in_every_second(heard):
    for sound in heard("silence").values():
        torch.testing.assert_close(sound, torch.full_like(sound, math.log(audio.LOG_OFFSET)))


def test_noise_is_the_same_in_every_run_and_another_for_each_clip(heard):
    own, first, second = heard("original"), heard("noise"), heard("noise")
    for name, sound in first.items():
        assert torch.equal(sound, second[name]) and not torch.allclose(sound, own[name])
        assert (sound.exp().mean((1, 2, 3)) > 2 * audio.LOG_OFFSET).all()  # it goes on to the end
    assert not torch.allclose(first["a_0_5000"], first["b"])


def test_shuffled_gives_each_clip_another_ones_sound(heard):
    own, shuffled = heard("original"), heard("shuffled")
    donors = {}
    for name, sound in shuffled.items():
        (donors[name],) = (other for other, theirs in own.items() if torch.allclose(sound[:4], theirs[:4]))
    assert sorted(donors.values()) == sorted(own) and all(name != donor for name, donor in donors.items())


def test_offscreen_gives_a_sound_of_none_of_the_clips_objects(semantic):
    clips = load_avss(semantic.root, "train")
    found = replace_audio(clips, "offscreen")
    objects = {clip["audio_file_name"]: set(clip["objects"]) for clip in clips}
    assert all(objects[clip["audio_file_name"]].isdisjoint(clip["objects"]) for clip in found)
    # A man and a dog are in every one of these clips, or a sound of theirs.
    with pytest.raises(AudioModeError, match=r"in every clip one of clip e's objects may sound \(dog, man\)"):
        replace_audio(load_avss(semantic.root, "test"), "offscreen")
