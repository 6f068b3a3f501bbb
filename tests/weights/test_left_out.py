"""Checkpoints that do without the frozen audio backbone: smaller, and whole again when they are read, or refused."""

import pytest
import torch

from transavs import AVSPredictor
from transavs.engine.trainer import AVSTrainer
from transavs.modeling.prediction import prepare_for_prediction
from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.left_out import DIGEST, LeftOutError
from transavs.weights.packaging import trained_weights
from transavs.weights.reading import read_checkpoint


@pytest.fixture
def make_cfg(small_cfg, small_model, saved, tmp_path):
    """The config of a training whose checkpoints do without; takes other overrides, too."""
    audio = saved(small_model().audio_backbone.state_dict(), "audio.pth")
    keys = ["IN_CHECKPOINTS", False, "FREEZE", True, "WEIGHTS", audio]
    keys = [key if place % 2 else f"MODEL.AUDIO_BACKBONE.{key}" for place, key in enumerate(keys)]
    return lambda *overrides: small_cfg("OUTPUT_DIR", str(tmp_path / "run"), *keys, *overrides)


@pytest.fixture
def make_trainer(monkeypatch, make_cfg):
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    return lambda *overrides: AVSTrainer(make_cfg(*overrides))


@pytest.fixture
def trained_run(make_trainer, tmp_path):
    """What training wrote: the model, and its checkpoint."""
    trainer = make_trainer()
    trainer.resume_or_load()
    trainer.checkpointer.save("model_0000004", iteration=4)
    return trainer.model, str(tmp_path / "run/model_0000004.pth")


def assert_equal(found, model):
    expected = model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_the_checkpoint_has_all_but_the_audio_backbone(trained_run):
    model, path = trained_run
    weights = read_checkpoint(path)["model"]
    assert {name.split(".")[0] for name in model.state_dict().keys() - weights.keys()} == {"audio_backbone"}
    assert {name.split(".")[0] for name in weights} >= {"backbone", "audio_query_encoder", "decoder"}


def test_it_is_whole_again_for_resuming_predicting_and_packaging(trained_run, make_trainer, make_cfg, caplog):
    model, path = trained_run
    resumed = make_trainer()
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 5
    assert_equal(resumed.model.state_dict(), model)
    cfg = make_cfg("MODEL.WEIGHTS", path)
    assert_equal(trained_weights(cfg), model)
    prepare_for_prediction(model)
    assert_equal(AVSPredictor(cfg).model.state_dict(), model)
    assert "not found" not in caplog.text


def test_without_its_file_it_is_refused_and_the_key_told(trained_run, make_trainer, make_cfg, small_model):
    _, path = trained_run
    other = ["MODEL.AUDIO_BACKBONE.WEIGHTS", ""]
    with pytest.raises(LeftOutError, match=rf"{path}: was written without .*MODEL.AUDIO_BACKBONE.WEIGHTS, which is ''"):
        AVSPredictor(make_cfg("MODEL.WEIGHTS", path, *other))
    with pytest.raises(LeftOutError, match=r"model_0000004.pth: .* is 'none.pth': .*no such file"):
        make_trainer("MODEL.AUDIO_BACKBONE.WEIGHTS", "none.pth").resume_or_load(resume=True)  # it does not start anew
    with pytest.raises(LeftOutError, match="was written without the audio backbone"):
        AVSCheckpointer(small_model()).load(path)


def test_another_file_than_the_trainings_is_refused(trained_run, make_cfg, small_model, saved):
    model = small_model().audio_backbone.state_dict()
    other = saved({name: value + 1 for name, value in model.items()}, "other.pth")
    with pytest.raises(LeftOutError, match="other.pth': it has other weights than those of the training"):
        AVSPredictor(make_cfg("MODEL.WEIGHTS", trained_run[1], "MODEL.AUDIO_BACKBONE.WEIGHTS", other))


def test_what_could_not_be_had_again_is_not_left_out(make_trainer, small_model, saved):
    with pytest.raises(LeftOutError, match="IN_CHECKPOINTS is False, but FREEZE is False and WEIGHTS '.*audio.pth'"):
        make_trainer("MODEL.AUDIO_BACKBONE.FREEZE", False).resume_or_load()
    with pytest.raises(LeftOutError, match="but FREEZE is True and WEIGHTS ''"):
        make_trainer("MODEL.AUDIO_BACKBONE.WEIGHTS", "").resume_or_load()
    with pytest.raises(LeftOutError, match="but MODEL.WEIGHTS has another audio backbone than WEIGHTS, .*audio.pth"):
        make_trainer("MODEL.WEIGHTS", saved(small_model().state_dict())).resume_or_load()


def test_a_checkpoint_is_whole_by_default(small_model, tmp_path, small_cfg):
    AVSCheckpointer(small_model(), str(tmp_path), small_cfg()).save("model")
    found = read_checkpoint(tmp_path / "model.pth")
    assert DIGEST not in found and any(name.startswith("audio_backbone.") for name in found["model"])
