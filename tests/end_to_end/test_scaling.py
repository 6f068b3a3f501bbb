"""What docs/SCALING.md shows of training, run where there is neither Slurm nor a GPU."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from transavs.config import read_config
from transavs.engine.trainer import AVSTrainer

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/SCALING.md").read_text(encoding="utf-8")
# As Slurm has them: a task on each of two nodes, both of them this machine; it fails with the first that does.
COMMANDS = {
    "scontrol": '[ "$*" = "show hostnames node[1-2]" ] && printf "localhost\\nnode2\\n"',
    "srun": 'while [[ $1 == --* ]]; do [[ $1 == *=* ]] || shift; shift; done; "$@" & "$@" & wait -n && wait -n',
}
SLURM = {"SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "1"}


def block(language):
    """The page's only block of a language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    return text


@pytest.fixture(scope="module")
def toy(run_script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--clips", 4, 1, 2, "--output", folder / "toy")
    assert made.returncode == 0, made.stdout
    return folder


@pytest.mark.long
def test_the_slurm_script_trains_on_two_nodes(toy, small_overrides, tmp_path):
    for name, text in COMMANDS.items():
        command = tmp_path / name
        command.write_text(f"#!/bin/bash\n{text}\n")
        command.chmod(0o755)
    path = os.pathsep.join([str(tmp_path), os.path.dirname(sys.executable), os.environ["PATH"]])
    (tmp_path / "train.sbatch").write_text(block("bash"))
    done = subprocess.run(
        ["bash", tmp_path / "train.sbatch", "--config-file", "configs/toy/toy_s4_R18.yaml", *small_overrides]
        + ["OUTPUT_DIR", tmp_path / "output", "SOLVER.IMS_PER_BATCH", "4", "SOLVER.MAX_ITER", "2"]
        + ["DATALOADER.NUM_WORKERS", "0", "INPUT.IMAGE_SIZE", "32"],
        cwd=ROOT,
        env={**os.environ, **SLURM, "PATH": path, "PROCESSES": "1", "DETECTRON2_DATASETS": str(toy)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "World size: 2" in (tmp_path / "output/log.txt").read_text()
    assert (tmp_path / "output/model_final.pth").exists()
    assert (tmp_path / "output/inference/toy_s4_test/results.json").exists()


def test_the_loaders_speed_is_told(run_script, toy, tmp_path):
    (tmp_path / "loader_speed.py").write_text(block("python"))
    overrides = ("SOLVER.IMS_PER_BATCH", 1, "INPUT.IMAGE_SIZE", 32)
    config = ROOT / "configs/toy/toy_s4_R18.yaml"
    told = run_script(tmp_path / "loader_speed.py", config, *overrides, DETECTRON2_DATASETS=str(toy))
    assert told.returncode == 0, told.stdout
    assert int(re.search(r"^(\d+) clips a second", told.stdout, re.MULTILINE)[1]) > 0


@pytest.mark.parametrize("processes", [8, 16, 32])
def test_a_larger_batch_changes_the_config_as_the_table_says(processes):
    overrides = ["SOLVER.REFERENCE_WORLD_SIZE", 8, "SOLVER.WARMUP_ITERS", 1000]
    cfg = read_config(ROOT / "configs/avs_s4_R101.yaml", overrides)
    cfg.freeze()
    scaled = AVSTrainer.auto_scale_workers(cfg, processes)
    solver, step = scaled.SOLVER, scaled.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS
    (row,) = re.findall(rf"^\| {processes} \| (.+) \|$", PAGE, re.MULTILINE)
    told = [float(cell.replace(",", "")) for cell in row.split(" | ")]
    iterations = [solver.MAX_ITER, solver.CHECKPOINT_PERIOD, solver.WARMUP_ITERS, step]
    assert [solver.IMS_PER_BATCH, solver.BASE_LR, *iterations] == told
    assert scaled.is_frozen() and cfg.SOLVER.MAX_ITER == 90000


@pytest.mark.parametrize("reference", [3, -2])
def test_a_number_of_processes_that_does_not_divide_the_batch_is_told(reference):
    cfg = read_config(ROOT / "configs/avs_s4_R101.yaml", ["SOLVER.REFERENCE_WORLD_SIZE", reference])
    told = (
        rf"SOLVER.REFERENCE_WORLD_SIZE is {reference}, expected 0 or a number that divides SOLVER.IMS_PER_BATCH \(8\)"
    )
    with pytest.raises(ValueError, match=told):
        AVSTrainer.auto_scale_workers(cfg, 4)
