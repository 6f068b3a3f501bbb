"""The command line of tools/predict_lake.py; tests/lake/ has the rest."""

import importlib.util
import os

import predict_lake
import pytest


def told(capsys, *arguments):
    with pytest.raises(SystemExit) as error:
        predict_lake.main(["--input", "lake", "--output", "out", *arguments])
    assert error.value.code == 2
    return capsys.readouterr().err.splitlines()[-1].partition(": error: ")[2]


def test_a_missing_package_is_told_with_the_extra_that_brings_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    assert told(capsys) == "a lake of videos needs ray: pip install 'transavs[lake]'"
    assert os.listdir() == []


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--actors", "0"], "--actors 0: must be at least 1"),
        (["--cpus-per-actor", "0"], "--cpus-per-actor 0.0: must be at least 0.01"),
        (["--gpus-per-actor", "-1"], "--gpus-per-actor -1.0: must be at least 0"),
        (["--retry-errors"], "--retry-errors goes with --resume"),
    ],
)
def test_options_out_of_range_are_told_of(arguments, message, capsys):
    assert told(capsys, *arguments) == message


@pytest.mark.parametrize(
    "lake, output, message",
    [
        ("none", "out", "{folder}/none: no such folder, expected one of videos"),
        ("ftp://here/lake", "out", "ftp://here/lake: cannot be opened ("),
        (".", "/proc/out", "/proc/out/settings.json: cannot be written ("),
    ],
)
def test_a_lake_or_an_output_that_is_not_there_is_told_of(run_script, packaged, tmp_path, lake, output, message):
    arguments = ["--config-file", packaged, "--input", lake, "--output", output]
    done = run_script("tools/predict_lake.py", *arguments, folder=tmp_path)
    assert done.returncode == 1
    (line,) = [line for line in done.stdout.splitlines() if "error" in line]
    assert line.startswith(f"predict_lake.py: error: {message.format(folder=tmp_path)}")
    assert "Traceback" not in done.stdout and list(tmp_path.iterdir()) == []
