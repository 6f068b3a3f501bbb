"""A trained model's folder: what is written, and that it does what the model did."""

import hashlib

import pytest
import safetensors.torch
import torch
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from transavs.config import add_transavs_config, read_config
from transavs.weights.card import model_card, sounds_scores
from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.packaging import to_half, trained_weights, whole_config, write_trained_model
from transavs.weights.published import WeightsError


def test_the_folder_holds_weights_config_card_and_digests(trained, packaged):
    assert sorted(path.name for path in packaged.iterdir()) == [
        "README.md",
        "SHA256SUMS",
        "config.yaml",
        "model.safetensors",
    ]
    lines = (packaged / "SHA256SUMS").read_text().splitlines()
    assert lines == [
        f"{hashlib.sha256((packaged / name).read_bytes()).hexdigest()}  {name}"
        for name in ("model.safetensors", "config.yaml")
    ]
    original = torch.load(trained.MODEL.WEIGHTS, weights_only=True)["model"]
    written = safetensors.torch.load_file(packaged / "model.safetensors")
    assert written.keys() == original.keys()
    for name, value in original.items():
        assert written[name].dtype == (torch.float16 if value.is_floating_point() else value.dtype), name
        assert torch.equal(written[name], value.to(written[name].dtype)), name


def test_the_same_model_gives_the_same_digests(trained, packaged, tmp_path):
    digests = write_trained_model(trained, tmp_path / "again", "card")
    assert (packaged / "SHA256SUMS").read_text() == "".join(f"{digest}  {name}\n" for name, digest in digests.items())


def test_the_config_needs_no_other_file_and_names_none_of_this_machine(trained, packaged):
    text = (packaged / "config.yaml").read_text()
    assert "_BASE_" not in text and str(packaged.parent.parent) not in text
    cfg = read_config(packaged / "config.yaml")
    assert (cfg.MODEL.WEIGHTS, cfg.MODEL.BACKBONE.WEIGHTS, cfg.MODEL.DEVICE) == ("", "", "cuda")
    expected = trained.clone()
    expected.merge_from_list(["MODEL.WEIGHTS", "", "MODEL.DEVICE", "cuda", "OUTPUT_DIR", "./output"])
    assert cfg == expected


def test_the_config_keeps_every_key_of_transavs_whose_defaults_may_change():
    cfg = get_cfg()
    add_transavs_config(cfg)
    text = whole_config(cfg)
    assert "AUDIO_CONTEXT: clip" in text and "MASK_THRESHOLD: 0.5" in text and "ANCHOR_GENERATOR" not in text


def test_weights_of_another_model_are_refused_and_nothing_is_written(trained, tmp_path):
    cfg = trained.clone()
    cfg.MODEL.TRANSAVS.NUM_QUERIES = 7
    with pytest.raises(WeightsError, match="does not fit the config's model: .* of another shape: .*for"):
        write_trained_model(cfg, tmp_path / "new", "card")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_there_is_left_alone(trained, packaged):
    before = {path: path.stat().st_mtime_ns for path in packaged.iterdir()}
    with pytest.raises(FileExistsError, match="is already there"):
        write_trained_model(trained, packaged, "another card")
    assert {path: path.stat().st_mtime_ns for path in packaged.iterdir()} == before


def test_only_the_models_own_weights_are_taken(trained, saved):
    content = torch.load(trained.MODEL.WEIGHTS, weights_only=True)
    cfg = trained.clone()
    cfg.MODEL.WEIGHTS = saved({**content, "optimizer": {"state": torch.ones(3)}, "iteration": 7}, "whole.pth")
    assert trained_weights(cfg).keys() == content["model"].keys()


@pytest.mark.parametrize(
    "value, dtype",
    [
        (torch.tensor([0.1, 65504.0]), torch.float16),
        (torch.tensor([0.1, 1e5]), torch.float32),  # float16 would make it infinite
        (torch.tensor([3, 1 << 40]), torch.int64),
    ],
)
def test_numbers_that_half_precision_cannot_hold_stay_as_they_are(value, dtype):
    assert to_half(value).dtype == dtype and to_half(value).isfinite().all()
    assert to_half(value).data_ptr() != value.data_ptr()


def test_training_goes_on_from_such_weights(packaged):
    model = build_model(read_config(packaged / "config.yaml", ["MODEL.DEVICE", "cpu"])).train()
    checkpointer = AVSCheckpointer(model)
    checkpointer.resume_or_load(str(packaged / "model.safetensors"), resume=False)
    written, loaded = safetensors.torch.load_file(packaged / "model.safetensors"), model.state_dict()
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    assert all(torch.equal(loaded[name], value.to(loaded[name].dtype)) for name, value in written.items())
    assert {"backbone", "audio_backbone"} <= checkpointer.filled  # whose own starting weights are then not asked for


def test_the_card_tells_scores_commands_and_limits(trained, tmp_path):
    (tmp_path / "sounds.md").write_text("| sound | mJ |\n|---|---|\n| original | 75.0 |\n")
    card = model_card("bell", trained, ["tools/first.py", "tools/train_net.py"], sounds_scores(tmp_path))
    for told in (
        "# bell\n",
        'from_pretrained("bell")',
        "| original | 75.0 |",
        "```\ntools/first.py\ntools/train_net.py\n```",
        "Trained on `toy_s4_train`",
        "seed 1.",
        "drawn shapes",
    ):
        assert told in card, told
    assert "$" not in card and "It was not scored." in model_card("bell", trained, [], None)


@pytest.mark.parametrize("train, told", [("stamps_s4_train", False), ("stamps_s4_composed", True)])
def test_the_card_names_the_licences_of_what_was_shown(trained, train, told):
    cfg = trained.clone()
    cfg.DATASETS.TRAIN = (train,)
    card = model_card("bell", cfg, [], None)
    assert "`tuxpaint-stamps-default`, GPL-2" in card and ("lomiri-wallpapers" in card) == told
