"""All commands read alike: the same words for the same option, and for the same mistake."""

import importlib
from collections import defaultdict
from pathlib import Path

import pytest

from transavs.weights import pretrained

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/toy/toy_s4_R18.yaml")
# What a command needs beside its config.
NEEDED = {
    "benchmark": [],
    "compare_sounds": [],
    "convert_weights": ["--output", "new.pth", "weights.pth"],
    "demo": ["--input", "a.mp4", "--output", "out"],
    "embed_audio": ["--output", "new.safetensors"],
    "export_model": ["--format", "torchscript", "--output", "new.pt"],
    "package_model": ["--output", "new"],
    "predict_lake": ["--input", "lake", "--output", "out"],
    "pretrain_audio": ["--output", "out"],
    "profile_model": ["--output", "new.svg"],
    "train_net": [],
    "visualize_data": ["--output", "out"],
    "web_demo": [],
}
NAMES = sorted(path.stem for path in ROOT.glob("tools/*.py"))
PARSED = [name for name in NAMES if name != "install_detectron2"]  # which runs before the package can be imported


def options():
    """{option: {how it is explained: the commands}}"""
    found = defaultdict(lambda: defaultdict(list))
    for name in PARSED:
        for action in importlib.import_module(name).make_parser()._actions:
            for option in action.option_strings or [action.dest]:
                found[option][action.help, action.metavar].append(name)
    return found


@pytest.mark.parametrize("command", NEEDED)
@pytest.mark.parametrize(
    "config, opts, told",
    [
        ("none.yaml", [], "--config-file: no such file: 'none.yaml'"),
        ("broken.yaml", [], "--config-file broken.yaml: the config cannot be read: "),
        (
            CONFIG,
            ["MODEL.NOTHING", "1"],
            f"--config-file {CONFIG}: the config cannot be read: Non-existent key: MODEL.NOTHING",
        ),
        (CONFIG, ["MODEL.WEIGHTS"], "the config's keys and values do not pair up: MODEL.WEIGHTS"),
    ],
)
def test_what_is_wrong_with_a_config_is_told_in_the_same_words(
    command, config, opts, told, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("MODEL: [")
    separator = ["--"] if command == "benchmark" and opts else []
    with pytest.raises(SystemExit) as error:
        importlib.import_module(command).main([*NEEDED[command], "--config-file", config, *separator, *opts])
    assert error.value.code == 2
    assert f": error: {told}" in capsys.readouterr().err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["broken.yaml"]


@pytest.mark.parametrize("command", ["compare_sounds", "demo", "package_model", "predict_lake", "web_demo"])
def test_a_model_that_is_missing_is_told_in_the_same_words(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        importlib.import_module(command).main([*NEEDED[command], "--config-file", CONFIG, "MODEL.WEIGHTS", "no.pth"])
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.endswith(": error: MODEL.WEIGHTS is 'no.pth': expected a trained model's file, as KEY VALUE")


@pytest.mark.parametrize("command", NEEDED)
def test_a_trained_model_that_does_not_come_along_is_told_in_the_same_words(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as error:
        importlib.import_module(command).main([*NEEDED[command], "--config-file", "stamps_s4_lite9"])
    assert error.value.code == 2
    told = (
        ": error: --config-file: no trained model is called 'stamps_s4_lite9', nor is there such a folder; there are: "
    )
    assert told in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "command, needed",
    [
        ("demo", ["--input", "street.mp4"]),
        ("predict_lake", ["--input", "lake", "--output", "output/videos"]),
        ("web_demo", []),
    ],
)
def test_the_commands_that_take_videos_take_a_model_that_comes_along(command, needed, packaged, monkeypatch):
    parser = importlib.import_module(command).make_parser()
    args = parser.parse_args(needed)
    assert args.config_file == "stamps_ms3_lite0" and args.opts == []
    assert getattr(args, "output", "output/videos") == "output/videos"
    monkeypatch.setattr(pretrained, "_shipped", lambda: {"stamps_ms3_lite0": packaged})
    cfg = parser.read_config(args.config_file, ["TEST.MASK_THRESHOLD", "0.4"])
    parser.check_weights(cfg)
    assert cfg.MODEL.WEIGHTS == str(packaged / "model.safetensors") and cfg.TEST.MASK_THRESHOLD == 0.4


def test_every_command_that_builds_a_model_is_among_them():
    assert set(NEEDED) == {
        name for explained in [options()["--config-file"]] for names in explained.values() for name in names
    }


@pytest.mark.parametrize("option, ways", [("--config-file", 3), ("--output", 3), ("opts", 1), ("--help", 1)])
def test_the_same_option_is_explained_in_the_same_words(option, ways):
    """--config-file may take several files, --output may be a folder or a file, and both may have a default."""
    assert len(options()[option]) == ways


def test_every_option_is_explained():
    assert [
        (option, commands) for option, ways in options().items() for (help, _), commands in ways.items() if not help
    ] == []


def test_the_readme_names_every_command_and_shows_it():
    rows = [line for line in (ROOT / "tools/README.md").read_text().splitlines() if line.startswith("| `")]
    assert sorted(row.split("`")[1].removesuffix(".py") for row in rows) == NAMES
    for row in rows:
        command, _, example = (cell.strip() for cell in row.strip("|").split(" | "))
        assert example.startswith(f"`tools/{command.strip('`')}")


@pytest.mark.parametrize("name", NAMES)
def test_a_command_is_thin(name):
    text = (ROOT / "tools" / f"{name}.py").read_text()
    assert len(text.splitlines()) <= 100
    assert not [other for other in NAMES if f"import {other}" in text or f"from {other}" in text]
