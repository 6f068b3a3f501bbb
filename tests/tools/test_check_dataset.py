"""The command line of tools/check_dataset.py."""

import json
import sys

import check_dataset
import prepare_toy
import pytest


@pytest.fixture
def datasets(tmp_path, monkeypatch):
    """The folder of all datasets, with a small Toy in it."""
    command = ["prepare_toy.py", "--output", str(tmp_path / "toy"), "--clips", "2", "1", "1", "--workers", "1"]
    monkeypatch.setattr(sys, "argv", command)
    prepare_toy.main()
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    return tmp_path


def test_a_good_dataset_ends_with_status_0(datasets, capsys):
    assert check_dataset.main(["--data", "toy"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"{datasets / 'toy'}\n") and printed.endswith("Nothing is wrong.\n")
    assert check_dataset.main(["--root", str(datasets / "toy"), "--subset", "ms3"]) == 0
    assert "s4" not in capsys.readouterr().out


def test_a_broken_one_ends_with_status_1_and_a_report(datasets, capsys):
    mask = next((datasets / "toy/Single-source/s4_data/gt_masks/test").rglob("*_4.png"))
    mask.write_bytes(b"broken")
    assert check_dataset.main(["--data", "toy", "--json", str(datasets / "report.json")]) == 1
    report = json.loads((datasets / "report.json").read_text())
    assert len(report["problems"]) == 1 and f"{mask}: not a readable mask" in report["problems"][0]
    assert report["splits"]["s4 test"] == {
        "clips": 1,
        "annotated_frames": 4,
        "empty_masks": 0,
        "sizes": {"64x64": 1},
    }
    assert f"1 problem(s)\n  {report['problems'][0]}\n" in capsys.readouterr().out


def test_avsbench_must_have_as_many_clips_as_were_published(datasets, capsys):
    (datasets / "toy").rename(datasets / "AVSBench")
    assert check_dataset.main(["--subset", "ms3"]) == 1
    assert "ms3 test: 1 clips, expected 64 as AVSBench has" in capsys.readouterr().out


def test_a_dataset_that_is_not_there_is_told(datasets, capsys):
    assert check_dataset.main([]) == 1
    assert f"dataset folder {datasets / 'AVSBench'} does not exist." in capsys.readouterr().out
