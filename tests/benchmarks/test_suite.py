"""The tables of tools/benchmark.py beside those of clips and videos, each on a small model."""

import json
import subprocess
import sys
from types import SimpleNamespace

import benchmark
import pytest

from transavs.benchmarks import engines, loading
from transavs.benchmarks.suite import TABLES


@pytest.fixture
def measure(small_cfg, noise_clips, tmp_path, monkeypatch):
    """Runs the command for one of the tables, on three clips of noise; gives a dict for each row."""
    names = (noise_clips[0],)
    cfg = small_cfg("DATASETS.TRAIN", names, "DATASETS.TEST", names, "DATALOADER.NUM_WORKERS", 0)
    (tmp_path / "small.yaml").write_text(cfg.dump())
    page = tmp_path / "page.md"

    def run(table, *arguments):
        page.write_text("before\n{}\nold\n{}\nafter\n".format(*TABLES[table].marks))
        command = ["--config-file", str(tmp_path / "small.yaml"), "--measure", table, "--runs", "1"]
        benchmark.main([*command, "--write", str(page), *arguments])
        before, *lines, after = page.read_text().splitlines()
        assert (before, after) == ("before", "after") and "old" not in lines
        header, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if "|" in line]
        assert all(row[0] == "small.yaml" for row in rows)
        return [dict(zip(header, row, strict=True)) for row in rows]

    return run


def test_waits_are_counted(measure):
    (row,) = measure("waits")
    assert 0 < int(row["waits of a step"]) <= int(row["of one that is logged"]) <= 8


def test_clips_a_second_are_those_of_one_worker(measure, monkeypatch):
    monkeypatch.setattr(loading, "CLIPS", 3)
    (row,) = measure("loading")
    assert (row["clips of"], row["frames"]) == ("noise_clips", "5")
    assert float(row["clips/s of a core"]) > float(row["all of them mixed"]) > 0


def test_an_evaluation_is_compared_with_its_model(measure):
    (row,) = measure("evaluation")
    assert (row["dataset"], row["clips"]) == ("noise_clips", "3")
    alone, whole, more = (float(row[name]) for name in list(row)[3:])
    assert 0 < alone < whole and more == pytest.approx(100 * (whole / alone - 1), abs=15)


def test_engines_are_started_with_empty_caches_once_and_then_with_full_ones(measure, monkeypatch):
    caches = []

    def start(command, env, **_):
        assert command[:3] == [sys.executable, "-m", "transavs.benchmarks.starting"]
        engine = command[4]
        caches.append((engine, env["XDG_CACHE_HOME"]))
        first = sum(known == caches[-1] for known in caches) == 1
        seconds = [2, 9 if first else 3, 0.5 if engine == "eager" else 0.25]
        return SimpleNamespace(returncode=0, stdout="a word\n" + json.dumps(seconds) + "\n")

    monkeypatch.setattr(subprocess, "run", start)
    monkeypatch.setattr(engines, "available_engines", lambda cfg: ["eager", "onnxruntime"])
    rows = measure("engines", "MODEL.DEVICE", "cpu")
    assert [list(row.values())[1:] for row in rows] == [
        ["eager", "2.00", "3.00", "9.00", "0.500", "1.00"],
        ["onnxruntime", "2.00", "3.00", "9.00", "0.250", "0.50"],
    ]
    assert len(set(caches)) == 2 and len(caches) == 4


@pytest.mark.slow
def test_an_engine_is_started_in_a_process_of_its_own(measure, monkeypatch):
    monkeypatch.setattr(engines, "available_engines", lambda cfg: ["eager"])
    (row,) = measure("engines")
    ready, first_clip, very_first, clip, ratio = (float(value) for value in list(row.values())[2:])
    assert 0.5 < ready < first_clip < 120 and very_first > 0.5 and 0 < clip < first_clip and ratio == 1


def test_engines_that_want_for_a_compiler_or_a_package_are_left_out(small_cfg, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "onnxscript" else name)
    assert engines.available_engines(small_cfg("MODEL.DEVICE", "cpu")) == ["eager"]
    assert engines.available_engines(small_cfg("MODEL.DEVICE", "cuda")) == ["eager", "compile"]


def test_what_does_not_go_together_is_told(measure, capsys):
    with pytest.raises(SystemExit):
        measure("video", "--pixel-decoder", "FPNPixelDecoder")
    assert "--measure video takes each config as it is, without --pixel-decoder" in capsys.readouterr().err
