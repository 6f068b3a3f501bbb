"""The command line of tools/pretrain_audio.py."""

import json
from pathlib import Path

import pretrain_audio
import pytest

CONFIG = str(Path(__file__).resolve().parents[2] / "configs/toy/toy_s4_R18.yaml")


def teach(output, *arguments):
    """The script's `main`, run in this process."""
    return pretrain_audio.main(["--config-file", CONFIG, "--output", str(output), *map(str, arguments)])


def test_own_stamps_are_named_and_weights_and_scores_are_written(tmp_path, tone, write_stamp, monkeypatch, capsys):
    monkeypatch.setattr("transavs.engine.audio_pretraining.CLIPS_PER_BATCH", 2)
    for name, frequency in (("bell", 300), ("horn", 900), ("whistle", 2700)):
        write_stamp(tmp_path / "stamps/household", name, tone(frequency, 2))
    output = tmp_path / "ears"
    teach(output, "--iterations", 2, "--hold-out", "--stamps-root", tmp_path / "stamps", "MODEL.DEVICE", "cpu")
    results = json.loads((output / "scores.json").read_text())
    assert results["num_sounds"] == results["num_test_sounds"] == 3 and results["seed"] == 0
    assert (output / "audio_backbone.safetensors").stat().st_size > 1e6
    assert f"Weights: {output}/audio_backbone.safetensors" in capsys.readouterr().out
    config = (output / "config.yaml").read_text()
    for line in ("    GAIN:\n    - -12\n    - 6\n", "    NOISE:\n    - -80\n    - -30\n", "    FREEZE: false\n"):
        assert line in config


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--iterations", 0], "--iterations 0: must be at least 1"),
        (["--seed", -1], "--seed -1: must be at least 0"),
        (["--most-sounds", 0], "--most-sounds 0: must be at least 1"),
        (["--learning-rate", 0], "--learning-rate 0.0: must be above 0"),
        (["INPUT.AUDIO.GAIN"], "keys and values do not pair up: INPUT.AUDIO.GAIN"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_written(tmp_path, capsys, arguments, told):
    with pytest.raises(SystemExit) as error:
        teach(tmp_path / "ears", *arguments)
    assert error.value.code == 2 and told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
