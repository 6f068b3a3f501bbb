"""Features computed ahead: the same as without, and never those of another sound, setting or model."""

import embed_audio
import numpy as np
import pytest
import soundfile
import torch

from transavs.benchmarks import loading
from transavs.data.avsbench import AVSDatasetError
from transavs.data.mapper import AVSDatasetMapper
from transavs.engine.trainer import AVSTrainer

RATE = 16000


@pytest.fixture
def clips(noise_clips):
    return noise_clips[1]


@pytest.fixture
def cfg(small_cfg, small_model, saved, noise_clips, tmp_path):
    """Of a training on them with a frozen audio backbone; what tools/embed_audio.py wrote is in its config."""
    names, audio = (noise_clips[0],), saved(small_model().audio_backbone.state_dict(), "audio.pth")
    cfg = small_cfg(
        *("MODEL.AUDIO_BACKBONE.WEIGHTS", audio, "MODEL.AUDIO_BACKBONE.FREEZE", True, "DATALOADER.NUM_WORKERS", 0),
        *("DATASETS.TRAIN", names, "DATASETS.VAL", (), "DATASETS.TEST", names, "OUTPUT_DIR", str(tmp_path / "run")),
        *("INPUT.MIXING.PROBABILITY", 0.0, "INPUT.AUDIO.FREQUENCY_MASK", 0, "INPUT.AUDIO.TIME_MASK", 0),
    )
    (tmp_path / "config.yaml").write_text(cfg.dump())
    embed_audio.main(["--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "sounds.safetensors")])
    cfg.INPUT.AUDIO.EMBEDDINGS = str(tmp_path / "sounds.safetensors")
    return cfg


def changed(cfg, *overrides):
    cfg = cfg.clone()
    cfg.merge_from_list(list(overrides))
    return cfg


def test_the_features_are_those_that_the_model_computes(cfg, clips):
    trainer = AVSTrainer(cfg)
    trainer.resume_or_load(resume=False)
    ahead, computed = (AVSDatasetMapper(cfg, is_train=False, **given) for given in ({}, {"embeddings": None}))
    for clip in clips:
        given = ahead(clip)
        assert "audio_log_mel" not in given
        expected = trainer.model.audio_backbone(computed(clip)["audio_log_mel"])
        torch.testing.assert_close(given["audio_embedding"], expected)
    with torch.no_grad():
        found, wanted = (trainer.model.eval()([mapper(clips[0])])[0]["sem_seg"] for mapper in (ahead, computed))
    torch.testing.assert_close(found, wanted)


def test_training_and_evaluation_do_without_the_audio_backbone(cfg, monkeypatch):
    cfg = changed(cfg, "SOLVER.MAX_ITER", 1, "SOLVER.IMS_PER_BATCH", 2)
    trainer = AVSTrainer(cfg)
    trainer.resume_or_load(resume=False)
    monkeypatch.setattr(type(trainer.model.audio_backbone), "embed", None)
    trainer.train()
    assert 0 <= trainer.test(cfg, trainer.model)["avs"]["mJ"] <= 1


def test_a_sound_that_has_changed_since_is_computed_anew(cfg, clips, caplog):
    soundfile.write(clips[1]["audio_file_name"], 0.2 * np.random.default_rng(9).standard_normal(5 * RATE), RATE)
    found = [AVSDatasetMapper(cfg, is_train=True)(clip) for clip in clips]
    assert ["audio_embedding" in clip for clip in found] == [True, False, True]
    assert f"{clips[1]['audio_file_name']}: not in INPUT.AUDIO.EMBEDDINGS" in caplog.text


@pytest.mark.parametrize("sound, known", [("silence", 0), ("noise", 0), ("shuffled", 3)])
def test_a_test_sound_has_the_features_of_what_is_heard(cfg, clips, sound, known):
    loader = AVSTrainer.build_test_loader(changed(cfg, "TEST.AUDIO", sound), cfg.DATASETS.TEST[0])
    own = [AVSDatasetMapper(cfg, is_train=False)(clip)["audio_embedding"] for clip in clips]
    found = [clip.get("audio_embedding") for (clip,) in loader]
    assert sum(features is not None for features in found) == known
    assert not any(features is not None and torch.equal(features, mine) for features, mine in zip(found, own))


def test_features_of_other_settings_or_weights_are_refused(cfg, small_model, saved, tmp_path):
    with pytest.raises(AVSDatasetError, match="EMBEDDINGS .*sounds.safetensors: was made with .*, expected .*torchaud"):
        AVSTrainer(changed(cfg, "INPUT.AUDIO.RESAMPLER", "torchaudio"))
    audio = {name: value + 1 for name, value in small_model().audio_backbone.state_dict().items()}
    other = AVSTrainer(changed(cfg, "MODEL.AUDIO_BACKBONE.WEIGHTS", saved(audio, "other.pth")))
    with pytest.raises(AVSDatasetError, match="sounds.safetensors: was made by other weights than those of the model"):
        other.resume_or_load(resume=False)
    with pytest.raises(AVSDatasetError, match="was made by other weights"):
        AVSTrainer.test(cfg, other.model)
    (tmp_path / "text.safetensors").write_text("text")
    for name in ("text.safetensors", "none.safetensors"):
        with pytest.raises(AVSDatasetError, match=f"EMBEDDINGS .*{name}: cannot be read .*, expected what tools/embed"):
            AVSTrainer(changed(cfg, "INPUT.AUDIO.EMBEDDINGS", str(tmp_path / name)))


@pytest.mark.parametrize(
    "key, value", [("INPUT.AUDIO.GAIN", [-6.0, 6.0]), ("INPUT.MIXING.PROBABILITY", 0.5), ("INPUT.AUDIO.TIME_MASK", 9)]
)
def test_sounds_that_training_changes_have_no_features_ahead(cfg, key, value):
    with pytest.raises(ValueError, match=f"INPUT.AUDIO.EMBEDDINGS is set, .* but training changes them: {key}$"):
        AVSTrainer(changed(cfg, key, value))


def test_random_weights_are_not_worth_computing_with(cfg, tmp_path, capsys):
    arguments = ["--config-file", str(tmp_path / "config.yaml"), "--output", str(tmp_path / "new.safetensors")]
    with pytest.raises(embed_audio.WeightsError, match="neither MODEL.WEIGHTS nor MODEL.AUDIO_BACKBONE.WEIGHTS has"):
        embed_audio.main([*arguments, "MODEL.AUDIO_BACKBONE.WEIGHTS", ""])


def test_a_loader_is_measured_with_them(cfg, monkeypatch):
    monkeypatch.setattr(loading, "CLIPS", 2)
    *_, rate, mixed = loading.measure_loading(cfg, "small", 1)
    assert float(rate) > 0 and mixed == "–"
