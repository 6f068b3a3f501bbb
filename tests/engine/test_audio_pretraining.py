"""An audio backbone learns to name a few tones, and a model starts with it."""

import json
import logging

import numpy as np
import pytest
import safetensors.torch
import torch

from transavs.engine.audio_pretraining import (
    SoundNamer,
    build_namer,
    pretrain,
    pretrain_and_write,
    score_naming,
    scores_table,
)
from transavs.modeling.audio import AudioBackbone
from transavs.weights.initializing import initialize_parts
from transavs.weights.published import WeightsError

FREQUENCIES = (300, 900, 2700)
KEY = "MODEL.AUDIO_BACKBONE.WEIGHTS"


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr("transavs.engine.audio_pretraining.CLIPS_PER_BATCH", 4)
    monkeypatch.setattr("transavs.engine.audio_pretraining.WARMUP_ITERATIONS", 5)
    monkeypatch.setattr("transavs.engine.audio_pretraining.SCORED_BATCHES", 5)


@pytest.fixture(scope="module")
def tones():
    return [np.sin(2 * np.pi * hertz * np.arange(32000) / 16000).astype(np.float32) for hertz in FREQUENCIES]


@pytest.fixture
def taught(tmp_path, small_cfg, tones):
    """The folder and the results of a short pretraining."""
    results = pretrain_and_write(small_cfg(), tones, tmp_path, iterations=2, held_out=True, most_sounds=2)
    return tmp_path, results


class LoudestTone(AudioBackbone):
    """Knows the tones: a feature is the band of one, minus what is never reached without it."""

    output_dim = len(FREQUENCIES)
    bands = (7, 20, 45)

    def embed(self, log_mel):
        return log_mel[:, 0, :, self.bands].mean(1)


def test_tones_are_learnt(small_cfg, tones, caplog):
    cfg = small_cfg("INPUT.AUDIO.GAIN", [-6, 6], "INPUT.AUDIO.NOISE", [-80, -60])
    with caplog.at_level(logging.INFO):
        namer, minutes = pretrain(cfg, tones, iterations=60, seed=0, most_sounds=2)
    scores = score_naming(namer, tones)
    assert scores["one"] > 95 and scores["two"] > 90 and scores["exact_set"] > 50 and 0 < minutes < 5
    assert not namer.training
    losses = [record.args[1] for record in caplog.records if record.msg.startswith("iteration")]
    assert len(losses) == 2 and losses[1] < losses[0]


def test_scores_of_who_knows_are_those_of_a_perfect_answer(tones):
    namer = SoundNamer(LoudestTone(), len(FREQUENCIES)).eval()
    torch.nn.init.eye_(namer.classifier.weight)
    scores = score_naming(namer, tones)
    assert list(scores) == ["one", "two", "three", "exact_set", "exact_set_in_noise"]
    assert scores["one"] == 100 and scores["three"] == 100
    assert "three" not in score_naming(namer, [tones[0], None, tones[2]])


def test_a_seed_gives_the_same_weights_and_another_one_others(small_cfg, tones):
    first, again, other = (pretrain(small_cfg(), tones, iterations=2, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])


def test_a_model_starts_with_the_backbone_that_was_written(taught, small_cfg, small_model, caplog):
    folder, _ = taught
    path = str(folder / "audio_backbone.safetensors")
    model = small_model(KEY, path)
    with caplog.at_level(logging.INFO):
        assert initialize_parts(model, small_cfg(KEY, path)) == {"audio_backbone"}
    written = safetensors.torch.load_file(path)
    found = model.audio_backbone.state_dict()
    assert found.keys() == written.keys()
    assert all(torch.equal(value, written[name]) for name, value in found.items())
    assert f"{KEY} {path}: the config's own audio backbone\n" in caplog.text


def test_pretraining_goes_on_from_weights_of_its_own(taught, small_cfg):
    path = taught[0] / "audio_backbone.safetensors"
    started = build_namer(small_cfg(KEY, str(path)), 3).audio_backbone.state_dict()
    assert all(torch.equal(started[name], value) for name, value in safetensors.torch.load_file(path).items())
    with pytest.raises(WeightsError, match="none.safetensors: no such file"):
        build_namer(small_cfg(KEY, "none.safetensors"), 3)


def test_scores_are_written_for_both_pieces_of_the_sounds(taught):
    folder, results = taught
    assert json.loads((folder / "scores.json").read_text()) == results
    assert results["num_sounds"] == results["num_test_sounds"] == 3 and results["iterations"] == 2
    assert results["train"].keys() == results["test"].keys()
    assert all(0 <= value <= 100 for piece in ("train", "test") for value in results[piece].values())
    lines = scores_table(results).splitlines()
    assert lines[0].split("|")[1:4] == [" %     ", " one   ", " two   "]
    assert [line.split()[1] for line in lines[2:]] == ["train", "test"]


def test_a_frozen_backbone_stays_and_its_classifier_learns(small_cfg, tones):
    cfg = small_cfg("MODEL.AUDIO_BACKBONE.FREEZE", True)
    torch.manual_seed(0)
    before = build_namer(cfg, 3).state_dict()
    after = pretrain(cfg, tones, iterations=2, seed=0)[0].state_dict()
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert changed == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    "overrides, options, message",
    [
        (["INPUT.AUDIO.GAIN", [3, -3]], {}, "INPUT.AUDIO.GAIN is"),
        (["INPUT.AUDIO.NOISE", [-30, 3]], {}, "INPUT.AUDIO.NOISE is"),
        ([], {"most_sounds": 4}, "clips of .* sounds were asked for, of 3 recordings"),
    ],
)
def test_settings_that_make_no_sense_are_refused(small_cfg, tones, overrides, options, message):
    with pytest.raises(ValueError, match=message):
        pretrain(small_cfg(*overrides), tones, iterations=1, seed=0, **options)


def test_sounds_too_short_to_be_divided_are_refused(small_cfg, tones, tmp_path):
    with pytest.raises(ValueError, match="no sound is as long as 1.5 s"):
        pretrain_and_write(small_cfg(), [tone[:8000] for tone in tones], tmp_path, 1, held_out=True)
    assert list(tmp_path.iterdir()) == []
