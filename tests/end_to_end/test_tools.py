"""The other scripts, run as a user runs them."""

import os
import re
import shutil
from pathlib import Path

import pytest
import torch
from detectron2.modeling import build_model
from torch.utils.flop_counter import FlopCounterMode

from transavs.benchmarks import cost
from transavs.config import read_config
from transavs.video import VideoReader

ROOT = Path(__file__).resolve().parents[2]


SCRIPTS = [path for path in [*ROOT.glob("tools/*.py"), *ROOT.glob("datasets/*.py")] if "__main__" in path.read_text()]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_scripts_can_be_called_by_their_name(path):
    assert path.read_text().startswith("#!/usr/bin/env python3\n") and os.access(path, os.X_OK)


@pytest.mark.slow(minutes=2)
def test_the_demo_falls_back_to_toy_where_debians_packages_cannot_be_had(run_script, tmp_path):
    tools = tmp_path / "bin"  # a PATH without apt-get
    tools.mkdir()
    for name in ("python3", "env"):
        os.symlink(shutil.which(name), tools / name)
    done = run_script(
        "tools/make_demo.py",
        "--output",
        tmp_path / "demo",
        "SOLVER.MAX_ITER",
        2,
        "SOLVER.IMS_PER_BATCH",
        2,
        PATH=str(tools),
        XDG_CACHE_HOME=str(tmp_path / "cache"),
        DETECTRON2_DATASETS=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Stamps cannot be made here; the demo goes on with Toy." in done.stdout
    table = (tmp_path / "demo/results.md").read_text()
    assert re.search(r"toy_s4_test.*mJ.*mF", table)
    rows = [line.split("|")[1].strip() for line in table.splitlines()[2:] if line.startswith("|")]
    assert rows == ["original", "silence", "noise", "shuffled", "offscreen"]
    assert re.search(r"nothing heard \(no model\): mJ \d+\.\d", table)
    *_, results, pictures, model, video, page = done.stdout.strip().splitlines()
    assert results.startswith("Results:") and model.startswith("Model:") and video.startswith("Video:")
    assert (
        page.startswith("Web page: tools/web_demo.py --config-file ") and str(tmp_path / "demo/model_best.pth") in page
    )
    assert Path(pictures.split()[1].rstrip(",")).stat().st_size > 10_000
    for reader in (VideoReader(video.split()[1].rstrip(",")), VideoReader(tmp_path / "demo/video/demo.mp4")):
        assert reader.has_audio and (reader.height, reader.width) == (360, 360)
        assert reader.duration == pytest.approx(20, abs=0.1)


@pytest.mark.slow
def test_the_benchmark_writes_what_configs_cost(run_script, tmp_path):
    page = tmp_path / "README.md"
    page.write_text("before\n<!-- measured: start -->\nold\n<!-- measured: end -->\nafter\n")
    done = run_script(
        "tools/benchmark.py",
        "--config-file",
        "configs/toy/toy_s4_R18.yaml",
        "configs/toy/toy_ms3_R18.yaml",
        "--pixel-decoder",
        "FPNPixelDecoder",
        "MSDeformAttnPixelDecoder",
        "--runs",
        1,
        "--write",
        page,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    text = page.read_text()
    assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if "toy_" in line]
    assert [(row[0], row[1], row[4], row[9]) for row in rows] == [
        (f"toy_{subset}_R18.yaml", f"{name}PixelDecoder", "5", frames)
        for subset, frames in (("s4", "1"), ("ms3", "5"))
        for name in ("FPN", "MSDeformAttn")
    ]
    for row in rows:
        numbers = [float(cell) for cell in row[2:]]
        assert all(number > 0 for number in numbers)
        assert numbers[5] == pytest.approx(1 / numbers[3], rel=0.02)  # clips a second


def test_fvcores_count_of_flops_is_that_of_pytorchs_own_counter():
    cfg = cost.prepare(read_config(str(ROOT / "configs/toy/toy_ms3_R18.yaml")))
    model = build_model(cfg).eval()
    clip = cost.random_clip(cfg, 5)
    # PyTorch's counter does not know oneDNN's operators.
    with torch.no_grad(), torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
        model([clip])
    assert cost.count_flops(model, clip) == pytest.approx(counter.get_total_flops() / 2e9, rel=0.05)
