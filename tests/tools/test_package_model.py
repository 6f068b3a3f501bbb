"""tools/package_model.py, as a user runs it."""

import package_model
import pytest

from transavs import AVSPredictor
from transavs.config import read_config


@pytest.fixture
def arguments(trained, tmp_path):
    (tmp_path / "whole.yaml").write_text(trained.dump())
    return ["--config-file", str(tmp_path / "whole.yaml"), "--output", str(tmp_path / "models/bell")]


def test_a_trainings_output_becomes_a_folder_that_predicts_alike(arguments, tmp_path, capsys):
    (tmp_path / "sounds").mkdir()
    (tmp_path / "sounds/sounds.md").write_text("| original | 75.0 |\n")
    package_model.main([*arguments, "--results", str(tmp_path / "sounds"), "SEED", "7"])
    written, compared = capsys.readouterr().out.strip().splitlines()[-2:]
    folder = tmp_path / "models/bell"
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["bell"]
    assert written.startswith(f"Wrote {folder}: ") and written.endswith((folder / "SHA256SUMS").read_text().split()[0])
    difference = float(compared.partition("by ")[2].split()[0])
    assert compared.startswith("On noise, for want of a clip") and 0 < difference < 0.01
    card = (folder / "README.md").read_text()
    assert f"tools/train_net.py --config-file {tmp_path}/whole.yaml SEED 7\n" in card and "| original | 75.0 |" in card
    assert read_config(folder / "config.yaml").SEED == 7
    assert AVSPredictor.from_pretrained(folder, device="cpu").cfg.MODEL.TRANSAVS.NUM_QUERIES == 6


def test_the_card_can_be_told_what_made_the_model(arguments, tmp_path):
    package_model.main([*arguments, "--made-by", "tools/pretrain_audio.py", "--made-by", "tools/train_net.py --resume"])
    card = (tmp_path / "models/bell/README.md").read_text()
    assert "```\ntools/pretrain_audio.py\ntools/train_net.py --resume\n```" in card


def test_a_folder_that_is_there_is_refused(arguments, tmp_path, capsys):
    (tmp_path / "models/bell").mkdir(parents=True)
    with pytest.raises(SystemExit) as error:
        package_model.main(arguments)
    assert error.value.code == 2
    assert "models/bell: is already there; remove it or name another" in capsys.readouterr().err.splitlines()[-1]
    assert list((tmp_path / "models/bell").iterdir()) == []
