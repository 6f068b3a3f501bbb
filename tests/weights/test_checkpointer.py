"""Whole models from files: a trainer's, a Mask2Former's, and those that are refused."""

import os
import pickle

import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer

from transavs.weights.checkpointer import AVSCheckpointer
from transavs.weights.published import WeightsError


def perturbed(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return model


def assert_equal(model, expected):
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("writer", [AVSCheckpointer, DetectionCheckpointer])
def test_a_model_is_read_back_by_both_checkpointers_with_what_stands_beside_it(small_model, tmp_path, writer):
    model = perturbed(small_model())
    writer(model, str(tmp_path)).save("model", iteration=7)
    for reader in (AVSCheckpointer, DetectionCheckpointer):
        other = small_model()
        assert reader(other).load(str(tmp_path / "model.pth")) == {"iteration": 7}
        assert_equal(other, model.state_dict())


def test_parts_that_have_weights_are_told(small_model, tmp_path):
    model = small_model()
    weights = {name: value for name, value in model.state_dict().items() if name.startswith(("backbone.", "decoder."))}
    torch.save({"model": weights}, tmp_path / "part.pth")
    checkpointer = AVSCheckpointer(model)
    checkpointer.load(tmp_path / "part.pth")
    assert checkpointer.filled == {"backbone", "decoder"}
    checkpointer.load("")
    assert checkpointer.filled == set()


def test_a_mask2former_is_converted(small_model, resnet_checkpoint, fitting):
    path, theirs = resnet_checkpoint
    model = small_model(*fitting)
    checkpointer = AVSCheckpointer(model)
    checkpointer.load(path)
    name = "sem_seg_head.predictor.transformer_self_attention_layers.0.self_attn.out_proj.bias"
    assert torch.equal(model.decoder.layers[0].self_attention.attention.out_proj.bias, theirs[name])
    assert torch.equal(model.backbone.stem.conv1.weight, theirs["backbone.stem.conv1.weight"])
    assert checkpointer.filled == {"backbone", "pixel_decoder", "decoder", "mask_head"}


def test_a_mask2former_of_another_size_is_refused(small_model, resnet_checkpoint, fitting):
    with pytest.raises(WeightsError, match=r"model_final.pkl: Mask2Former\n[\s\S]*see MODEL.TRANSAVS.DEC_LAYERS"):
        AVSCheckpointer(small_model(*fitting, "MODEL.TRANSAVS.DEC_LAYERS", 2)).load(resnet_checkpoint[0])


def test_a_parts_weights_are_refused_and_their_key_is_told(small_model, saved):
    path = saved(torchvision.models.resnet18().state_dict(), "resnet18.pth")
    message = (
        "resnet18.pth: holds no weights of a whole TransAVS, .*: ResNet of torchvision or timm, for MODEL.BACKBONE.WEI"
    )
    with pytest.raises(WeightsError, match=message):
        AVSCheckpointer(small_model()).load(path)
    with pytest.raises(WeightsError, match=r"other.pth: .*but: encoder\.0, encoder\.1$"):
        AVSCheckpointer(small_model()).load(saved({f"encoder.{i}": torch.zeros(1) for i in range(2)}, "other.pth"))


class Call:
    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("name", ["evil.pkl", "evil.pth"])
def test_code_in_a_checkpoint_is_refused_and_not_run(small_model, tmp_path, name):
    victim = tmp_path / "ran"
    content = {"model": {}, "__author__": Call(f"touch {victim}")}
    if name.endswith("pkl"):
        (tmp_path / name).write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(WeightsError, match=rf"{name}: not a readable file of weights .*(posix|nt)\.system"):
        AVSCheckpointer(small_model()).load(str(tmp_path / name))
    assert not victim.exists()


def test_a_missing_checkpoint_is_named(small_model):
    with pytest.raises(WeightsError, match=r"^none\.pth: no such file"):
        AVSCheckpointer(small_model()).load("none.pth")


@pytest.fixture
def checkpoints(small_model, tmp_path):
    """Writes model_0000001.pth and so on, each of which holds its number, and gives their folder."""
    checkpointer = AVSCheckpointer(small_model(), str(tmp_path))
    for number in (1, 2, 3):
        checkpointer.save(f"model_{number:07d}", number=number)
        os.utime(tmp_path / f"model_{number:07d}.pth", (number, number))
    return tmp_path


@pytest.mark.parametrize(
    "name, content, expected",
    [
        ("last_checkpoint", b"model_0000002.pth", 2),  # as a user may set it
        ("last_checkpoint", b"model_00000", 3),  # half of it
        ("last_checkpoint", bytes(17), 3),  # what a loss of power may leave
        ("last_checkpoint", b"\xff\xfe", 3),
        ("last_checkpoint", None, 3),
        ("model_0000003.pth", b"", 2),
        ("model_0000003.pth", None, 2),
    ],
)
def test_the_newest_whole_checkpoint_is_resumed_from(checkpoints, small_model, caplog, name, content, expected):
    (checkpoints / name).unlink()
    if content is not None:
        (checkpoints / name).write_bytes(content)
    checkpointer = AVSCheckpointer(small_model(), str(checkpoints))
    assert checkpointer.has_checkpoint()
    assert checkpointer.resume_or_load("none.pth")["number"] == expected
    assert checkpointer.resumed
    assert ("Not resumed from: " in caplog.text) == (content == b"")


def test_half_a_checkpoint_is_not_resumed_from(checkpoints, small_model, caplog):
    path = checkpoints / "model_0000003.pth"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert AVSCheckpointer(small_model(), str(checkpoints)).resume_or_load("")["number"] == 2
    assert f"Not resumed from: {path}: not a readable file of weights" in caplog.text


def test_without_a_whole_checkpoint_training_starts_anew(small_model, saved, tmp_path):
    model = perturbed(small_model())
    weights = saved(model.state_dict())
    checkpointer = AVSCheckpointer(small_model(), str(tmp_path))
    assert not checkpointer.has_checkpoint()
    (tmp_path / "model_0000003.pth").write_bytes(b"half")
    checkpointer.resume_or_load(weights)
    assert not checkpointer.resumed
    assert_equal(checkpointer.model, model.state_dict())
