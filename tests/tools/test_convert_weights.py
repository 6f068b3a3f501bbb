"""The command line of tools/convert_weights.py."""

import os
from pathlib import Path

import convert_weights
import pytest
import torch
import torchvision
from detectron2.checkpoint import DetectionCheckpointer

SCRIPT = "tools/convert_weights.py"
CONFIG = "configs/toy/toy_s4_R18.yaml"
ROOT = Path(__file__).resolve().parents[2]


def convert(*arguments):
    """The script's `main`, run in this process with the arguments that follow the config's."""
    return convert_weights.main(["--config-file", str(ROOT / CONFIG), *map(str, arguments)])


@pytest.fixture(scope="module")
def resnet():
    return torchvision.models.resnet18().state_dict()


def test_a_file_becomes_a_checkpoint_for_detectron2(small_model, saved, tmp_path, resnet, capsys):
    path, output = saved(resnet, "resnet18.pth"), tmp_path / "init.pth"
    convert("--output", output, path, "MODEL.TRANSAVS.NUM_QUERIES", 6)
    printed = capsys.readouterr().out
    for line in (
        f"{path}: ResNet of torchvision or timm\n",
        "    fills backbone 120 of 120\n",
        "    2 left out, the classifier of the images it was trained on: fc.weight, fc.bias\n",
        f"Wrote {output}: 120 of the model's ",
    ):
        assert line in printed
    model = small_model()
    assert DetectionCheckpointer(model).load(str(output)) == {}
    assert torch.equal(model.backbone.stem.conv1.weight, resnet["conv1.weight"])


def test_a_file_that_fits_in_part_is_an_error_and_writes_nothing(run_script, saved, tmp_path, resnet):
    path = saved({name: value for name, value in resnet.items() if not name.startswith("layer4")})
    result = run_script(SCRIPT, "--config-file", CONFIG, "--output", tmp_path / "init.pth", path)
    assert result.returncode == 1 and not (tmp_path / "init.pth").exists()
    assert "fills backbone 90 of 120" in result.stdout and "25 missing: backbone.res5.0." in result.stdout
    assert (
        f"convert_weights.py: error: {path}: fits only in part; nothing was written" in result.stdout.splitlines()[-1]
    )


@pytest.mark.parametrize(
    "order",
    [
        ["--allow-partial", "FILE"],
        ["FILE", "--allow-partial", "MODEL.TRANSAVS.ENC_LAYERS", 2],
        ["FILE", "MODEL.TRANSAVS.ENC_LAYERS", 2, "--allow-partial"],
    ],
)
def test_allow_partial_writes_what_fits(saved, tmp_path, resnet, capsys, order):
    path = saved({name: value for name, value in resnet.items() if not name.startswith("layer4")})
    convert("--output", tmp_path / "init.pth", *[path if word == "FILE" else word for word in order])
    written = torch.load(tmp_path / "init.pth")
    assert list(written) == ["model"] and len(written["model"]) == 90
    assert torch.equal(written["model"]["backbone.res4.1.conv2.weight"], resnet["layer3.1.conv2.weight"])
    assert "Without any: pixel_decoder, " in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--output", "init.pkl", "a.pth"], "--output init.pkl: must end with .pth"),
        (["--output", "there.pth", "a.pth"], "--output there.pth: is already there"),
        (["--output", "init.pth", "MODEL.DEVICE", "cpu"], "no file of weights was given"),
        (["--output", "init.pth", "a.pth", "MODEL.DEVICE"], "keys and values do not pair up: MODEL.DEVICE"),
        (["--output", "init.pth", "a.pth", "--config-file", "none.yaml"], "--config-file: no such file: 'none.yaml'"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_built(tmp_path, monkeypatch, capsys, arguments, told):
    monkeypatch.chdir(tmp_path)
    Path("there.pth").touch()
    with pytest.raises(SystemExit) as error:
        convert(*arguments)
    assert error.value.code == 2 and told in capsys.readouterr().err
    assert os.listdir() == ["there.pth"]
