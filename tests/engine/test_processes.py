"""Training and scoring in two processes on the CPU, by Gloo, beside the same in one."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest
import torch
import two_processes

from transavs.engine.launch import launch

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
STEPS = 20


def run(work, cfg, processes):
    args = Namespace(num_gpus=None, num_processes=processes, num_machines=1, machine_rank=0, dist_url="auto")
    launch(work, cfg, args)


@pytest.fixture(scope="module")
def trainings(small_cfg, tmp_path_factory):
    """The folders of a training of 20 steps in one process, and in two, of the same clips in the same order."""
    folder, found = tmp_path_factory.mktemp("processes"), {}
    for processes in (1, 2):
        cfg = small_cfg(
            *("OUTPUT_DIR", str(folder / f"by{processes}"), "SEED", 1),
            *("SOLVER.MAX_ITER", STEPS, "TEST.EVAL_PERIOD", 0, "SOLVER.CHECKPOINT_PERIOD", 10),
            *("INPUT.IMAGE_SIZE", 32, "MODEL.TRANSAVS.AQDL_CONFIDENCE", [0.01, 0.01]),
            # A batch norm would see other batches: the backbone's are frozen, and so is the audio backbone.
            *("MODEL.RESNETS.NORM", "FrozenBN", "MODEL.AUDIO_BACKBONE.FREEZE", True),
        )
        with torch.random.fork_rng():
            run(two_processes.train, cfg, processes)
        found[processes] = Path(cfg.OUTPUT_DIR)
    return found


def test_two_processes_have_the_losses_of_one(trainings):
    one, two = (json.loads((trainings[processes] / "losses.json").read_text()) for processes in (1, 2))
    assert len(one) == STEPS and one[-1] != one[0]
    assert two == pytest.approx(one, rel=1e-5)


def test_two_processes_end_with_the_weights_of_one(trainings):
    one, two = (torch.load(trainings[processes] / "model_final.pth")["model"] for processes in (1, 2))
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-4)


def test_the_main_process_alone_writes_files_and_log(trainings):
    one, two = (sorted(path.name for path in trainings[processes].iterdir()) for processes in (1, 2))
    assert [name for name in two if "events" not in name] == [name for name in one if "events" not in name]
    assert len(two) == len(one)
    log = (trainings[2] / "log.txt").read_text()
    assert log.count("Starting training from iteration 0") == 1 and "World size: 2" in log


def test_batch_statistics_are_the_same_in_every_process(small_cfg, tmp_path):
    cfg = small_cfg(
        *("OUTPUT_DIR", str(tmp_path / "out"), "SOLVER.MAX_ITER", 2, "TEST.EVAL_PERIOD", 0),
        *("INPUT.IMAGE_SIZE", 32, "SEED", 1),
    )
    run(two_processes.train, cfg, 2)
    first, second = (torch.load(f"{cfg.OUTPUT_DIR}-buffers-{rank}.pth") for rank in range(2))
    moved = [name for name, tensor in first.items() if name.endswith("running_mean") and tensor.abs().max() > 0]
    assert len(moved) > 20
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


def test_every_process_scores_the_best_model_that_the_main_one_kept(trainings):
    best = torch.load(trainings[2] / "model_best.pth")["model"]
    for rank in range(2):
        scored = torch.load(f"{trainings[2]}-scored-{rank}.pth")
        assert {name.removeprefix("module.") for name in scored} == set(best)
        for name, tensor in scored.items():
            torch.testing.assert_close(tensor, best[name.removeprefix("module.")], rtol=0, atol=0)


def test_processes_of_either_launcher_score_as_one_to_the_last_digit(run_script, trained, tmp_path):
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--clips", 1, 1, 3, "--output", tmp_path / "toy")
    assert made.returncode == 0, made.stdout
    (tmp_path / "config.yaml").write_text(trained.dump())
    torchrun = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    found = {}
    for name, launcher, option in (("one", [], []), ("two", [], ["--num-processes", "2"]), ("torchrun", torchrun, [])):
        command = [sys.executable, *launcher, ROOT / "tools/train_net.py", "--eval-only", *option]
        arguments = ["--config-file", tmp_path / "config.yaml", "OUTPUT_DIR", tmp_path / name]
        done = subprocess.run(
            [*command, *arguments, "DATALOADER.NUM_WORKERS", "0"],  # three clips, which two cannot share evenly
            env={**os.environ, "DETECTRON2_DATASETS": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        assert f"World size: {1 if name == 'one' else 2}" in (tmp_path / name / "log.txt").read_text()
        files = (tmp_path / name / "inference/toy_s4_test" / kind for kind in ("results.json", "predictions.json"))
        found[name] = [path.read_text() for path in files]
    assert json.loads(found["one"][0])["num_clips"] == 3
    assert found["two"] == found["one"] and found["torchrun"] == found["one"]
