"""The other scripts, run as a user runs them."""
import os
import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("path", [*ROOT.glob("tools/*.py"), *ROOT.glob("datasets/*.py")], ids=lambda path: path.name)
def test_scripts_can_be_called_by_their_name(path):
    assert path.read_text().startswith("#!/usr/bin/env python3\n") and os.access(path, os.X_OK)


def test_the_demo_falls_back_to_toy_where_debians_packages_cannot_be_had(run_script, tmp_path):
    tools = tmp_path / "bin"  # a PATH without apt-get
    tools.mkdir()
    for name in ("python3", "env"):
        os.symlink(shutil.which(name), tools / name)
    done = run_script("tools/make_demo.py", "--output", tmp_path / "demo", "SOLVER.MAX_ITER", 2, "SOLVER.IMS_PER_BATCH", 2,
                      PATH=str(tools), XDG_CACHE_HOME=str(tmp_path / "cache"), DETECTRON2_DATASETS=str(tmp_path))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Stamps cannot be made here; the demo goes on with Toy." in done.stdout
    table = (tmp_path / "demo/results.md").read_text()
    assert re.search(r"toy_s4_test.*mJ.*mF", table)
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")]
    assert rows == ["original", "silence", "noise", "shuffled", "offscreen"]
    assert re.search(r"nothing heard \(no model\): mJ \d+\.\d", table)
    *_, results, pictures, model = done.stdout.strip().splitlines()
    assert results.startswith("Results:") and model.startswith("Model:")
    assert Path(pictures.split()[1].rstrip(",")).stat().st_size > 10_000


def test_the_benchmark_compares_the_model_with_its_backbone(run_script):
    done = run_script("tools/benchmark.py", "--config-file", "configs/toy/toy_s4_R18.yaml", "configs/toy/toy_ms3_R18.yaml",
                      "--runs", 1)
    assert done.returncode == 0, done.stdout[-3000:]
    rows = re.findall(r"(toy_\w+)\.yaml +(inference|training step) +(\d) +([\d.]+) +([\d.]+) +([\d.]+)", done.stdout)
    assert [(config, what, frames) for config, what, frames, *_ in rows] == [
        ("toy_s4_R18", "inference", "5"), ("toy_s4_R18", "training step", "1"),
        ("toy_ms3_R18", "inference", "5"), ("toy_ms3_R18", "training step", "5"),
    ]
    for *_, model, backbone, ratio in rows:
        assert 0 < float(backbone) and abs(float(ratio) - float(model) / float(backbone)) < 0.5
