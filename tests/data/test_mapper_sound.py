"""The sound that the mapper gives a model: read, replaced or refused."""

import pickle

import pytest
import soundfile
import torch

from transavs.data import audio
from transavs.data.avsbench import AVSDatasetError


def save_log_mel(path, log_mel):
    with open(path, "wb") as file:
        pickle.dump(log_mel, file)
    return str(path)


def test_log_mel_is_read_from_the_pickle_where_there_is_no_wav(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    log_mel = torch.rand(5, 1, 96, 64, requires_grad=True)
    clip["audio_file_name"] = save_log_mel(tmp_path / "clip.pkl", log_mel)
    assert torch.equal(make_mapper(is_train=False)(clip)["audio_log_mel"], log_mel.detach())


@pytest.mark.parametrize("length", [3, 7])
def test_pickled_log_mel_of_another_length_is_repeated_or_cut(make_mapper, make_clip, tmp_path, length):
    clip = make_clip(tmp_path)
    log_mel = torch.rand(length, 1, 96, 64)
    clip["audio_file_name"] = save_log_mel(tmp_path / "clip.pkl", log_mel)
    found = make_mapper(is_train=False)(clip)["audio_log_mel"]
    assert torch.equal(found, log_mel[[0, 1, 2, 2, 2]] if length < 5 else log_mel[:5])


def test_a_clip_whose_sound_ends_early_goes_on_sounding(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    waveform, rate = audio.read_waveform(clip["audio_file_name"])
    soundfile.write(clip["audio_file_name"], waveform[: 3 * rate], rate, subtype="FLOAT")
    found = make_mapper(is_train=False)(clip)["audio_log_mel"]
    assert torch.equal(found, audio.log_mel_examples(waveform[: 3 * rate], rate)[[0, 1, 2, 2, 2]])


@pytest.mark.parametrize(
    "log_mel, reason",
    [
        (torch.zeros(5, 96, 64), r"shape \[5, 96, 64\], expected \[5, 1, 96, 64\]"),
        (torch.zeros(0, 1, 96, 64), r"shape \[0, 1, 96, 64\], expected \[5, 1, 96, 64\]"),
        (torch.zeros(5, 1, 96, 64, dtype=torch.float64), "dtype torch.float64, expected torch.float32"),
        (torch.full((5, 1, 96, 64), torch.nan), "NaN"),
    ],
)
def test_unusable_log_mel_is_named(make_mapper, make_clip, tmp_path, log_mel, reason):
    clip = make_clip(tmp_path)
    clip["audio_file_name"] = save_log_mel(tmp_path / "bad.pkl", log_mel)
    with pytest.raises(AVSDatasetError, match=rf"bad\.pkl: .*{reason}"):
        make_mapper(is_train=False)(clip)


def test_silence_replaces_the_sound_in_testing_only(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    silence = make_mapper(is_train=False, TEST__AUDIO="silence")(clip)["audio_log_mel"]
    assert torch.equal(silence, audio.silent_examples(5))
    training = make_mapper(is_train=True, TEST__AUDIO="silence")(clip)["audio_log_mel"]
    assert torch.equal(training, make_mapper(is_train=False)(clip)["audio_log_mel"])


def test_noise_is_as_loud_as_the_sound_and_fixed_for_each_clip(make_mapper, make_clip, tmp_path):
    mapper = make_mapper(is_train=False, TEST__AUDIO="noise")
    clip, other = make_clip(tmp_path), make_clip(tmp_path, video_id="other")
    noise = mapper(clip)["audio_log_mel"]
    original = make_mapper(is_train=False)(clip)["audio_log_mel"]
    assert torch.equal(noise, mapper(clip)["audio_log_mel"])
    assert not torch.equal(noise, mapper(other)["audio_log_mel"])
    # The clip's own sound is white noise too: alike on average where the level is right, though not in any value.
    assert abs(noise.mean() - original.mean()) < 0.02 and (noise - original).abs().mean() > 0.1


def test_noise_for_a_clip_without_wav_needs_no_file(make_mapper, make_clip, tmp_path):
    clip = make_clip(tmp_path)
    clip["audio_file_name"] = str(tmp_path / "clip.pkl")
    assert make_mapper(is_train=False, TEST__AUDIO="noise")(clip)["audio_log_mel"].shape == (5, 1, 96, 64)


def test_unknown_audio_mode_is_reported_with_key(make_mapper):
    with pytest.raises(ValueError, match="TEST.AUDIO is 'loud', expected one of: original, silence, noise, shuf"):
        make_mapper(is_train=False, TEST__AUDIO="loud")


def test_unknown_resampler_is_reported_with_key(make_mapper):
    with pytest.raises(ValueError, match="INPUT.AUDIO.RESAMPLER is 'sinc', expected one of: resampy, torchaudio"):
        make_mapper(is_train=True, INPUT__AUDIO__RESAMPLER="sinc")
