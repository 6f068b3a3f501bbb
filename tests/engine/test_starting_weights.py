"""Where a training run gets its weights from: the parts' own, a whole checkpoint, or the run that it resumes."""

import logging
import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from detectron2.engine import DefaultPredictor, hooks
from detectron2.modeling import build_model

from transavs import AVSPredictor
from transavs.config import read_config
from transavs.engine.trainer import AVSTrainer
from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.published import WeightsError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def make_trainer(small_cfg, monkeypatch, tmp_path):
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    return lambda *overrides: AVSTrainer(small_cfg("OUTPUT_DIR", str(tmp_path / "run"), *overrides))


@pytest.fixture
def parts(small_model, saved):
    """KEY, VALUE, ... that give each backbone weights of its own, and those weights."""
    resnet, audio = timm.create_model("resnet18").state_dict(), small_model().audio_backbone.state_dict()
    keys = ["MODEL.BACKBONE.WEIGHTS", saved(resnet, "resnet.pth")]
    keys += ["MODEL.AUDIO_BACKBONE.WEIGHTS", saved(audio, "audio.pth")]
    return keys, resnet["conv1.weight"], next(iter(audio.values()))


def stems(model):
    return model.backbone.stem.conv1.weight, next(iter(model.audio_backbone.state_dict().values()))


def test_without_a_checkpoint_the_parts_start_from_their_own_weights(make_trainer, parts, caplog):
    keys, visual, audio = parts
    trainer = make_trainer(*keys, "MODEL.AUDIO_BACKBONE.FREEZE", True)
    with caplog.at_level(logging.INFO):
        trainer.resume_or_load(resume=True)  # there is nothing to resume
    assert all(map(torch.equal, stems(trainer.model), (visual, audio)))
    assert "MODEL.BACKBONE.WEIGHTS" in caplog.text and "RANDOM WEIGHTS" not in caplog.text


def test_a_whole_checkpoint_leaves_nothing_to_load(make_trainer, small_model, saved):
    model = small_model()
    trainer = make_trainer(
        "MODEL.WEIGHTS", saved(model.state_dict()), "MODEL.BACKBONE.WEIGHTS", "no", "MODEL.AUDIO_BACKBONE.WEIGHTS", "no"
    )
    trainer.resume_or_load(resume=False)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in trainer.model.state_dict().items())


def test_a_checkpoint_without_an_audio_backbone_leaves_that_to_its_key(make_trainer, small_model, saved, parts):
    """As a Mask2Former has none."""
    keys, _, audio = parts
    weights = {name: v for name, v in small_model().state_dict().items() if not name.startswith("audio_backbone.")}
    trainer = make_trainer(*keys, "MODEL.WEIGHTS", saved(weights))
    trainer.resume_or_load(resume=False)
    assert all(map(torch.equal, stems(trainer.model), (weights["backbone.stem.conv1.weight"], audio)))


def test_training_on_classes_starts_from_a_model_that_knows_none(make_trainer, small_model, saved, caplog):
    """As configs/avss_*.yaml do, from a model that was trained on MS3."""
    weights = small_model().state_dict()
    keys = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", "MODEL.TRANSAVS.NUM_FRAMES", "10"]
    trainer = make_trainer("MODEL.WEIGHTS", saved(weights), *keys)
    caplog.clear()
    trainer.resume_or_load(resume=True)
    (warning,) = (record for record in caplog.records if record.levelno >= logging.WARNING)
    assert "weights of another shape than the model's" in warning.getMessage()
    assert torch.equal(trainer.model.backbone.stem.conv1.weight, weights["backbone.stem.conv1.weight"])
    assert trainer.model.mask_head.classifier.weight.shape == (4, 32)


def test_weights_that_cannot_be_had_stop_training_and_name_the_key(make_trainer):
    with pytest.raises(WeightsError, match="MODEL.BACKBONE.WEIGHTS none.pth: no such file"):
        make_trainer("MODEL.BACKBONE.WEIGHTS", "none.pth").resume_or_load()


def test_a_run_resumes_from_what_its_hooks_wrote_and_reads_nothing_else(make_trainer):
    trainer = make_trainer()
    sum(parameter.square().sum() for parameter in trainer.model.parameters()).backward()
    trainer._trainer.optimizer.step()
    trainer.iter = 4
    writer = next(hook for hook in trainer._hooks if isinstance(hook, hooks.PeriodicCheckpointer))
    writer.checkpointer.save("model_0000004", iteration=4)

    nothing = [word for key in ("", "BACKBONE.", "AUDIO_BACKBONE.") for word in (f"MODEL.{key}WEIGHTS", "none.pth")]
    resumed = make_trainer(*nothing)
    resumed.resume_or_load(resume=True)
    assert resumed.start_iter == 5
    expected = trainer.model.state_dict()
    assert all(torch.equal(value, expected[name]) for name, value in resumed.model.state_dict().items())
    found, wanted = (one._trainer.optimizer.state_dict()["state"] for one in (resumed, trainer))
    assert found.keys() == wanted.keys() and len(found) > 0
    assert all(torch.equal(found[i]["exp_avg"], wanted[i]["exp_avg"]) for i in found)


def test_a_trained_r101_predicts_without_a_network(monkeypatch, tmp_path):
    """With both predictors; VGGish has 8 hidden units for 4096."""

    def refuse(*args, **kwargs):
        raise AssertionError("no network")

    monkeypatch.setattr("transavs.modeling.audio.vggish.HIDDEN_DIM", 8)
    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setenv("FVCORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    cfg = read_config(ROOT / "configs/avs_s4_R101.yaml", ["MODEL.DEVICE", "cpu"])
    model = build_model(cfg)
    model.mask_head.classifier.bias.data = torch.tensor([3.0, 0.0])  # untrained, it would find nothing
    AVSCheckpointer(model, str(tmp_path)).save("model")
    del model
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    found = DefaultPredictor(cfg)(image)["sem_seg"]
    assert found.shape == (1, 60, 80)
    own = AVSPredictor(cfg)([image[:, :, ::-1]])["sem_seg"]
    torch.testing.assert_close(own[0], found, rtol=1e-4, atol=1e-4)
    (tmp_path / "model.pth").unlink()
