"""Trainings that are killed or told to stop, and go on: they end where they would have ended."""

import functools
import json
import random
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from transavs.weights.writing import PARTIAL

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "configs/toy/toy_s4_R18.yaml"
# All that is random: order, augmentation, mixing, dropout. The smallest model; no warm-up, so that it moves.
SETTINGS = {
    "MODEL.BACKBONE.NAME": "build_timm_backbone",
    "MODEL.TIMM.NAME": "test_resnet",
    "MODEL.TRANSAVS.DEC_LAYERS": 1,
    "MODEL.TRANSAVS.DROPOUT": 0.1,
    "INPUT.IMAGE_SIZE": 32,
    "INPUT.MIN_SIZE_TEST": 32,
    "INPUT.MIXING.PROBABILITY": 0.5,
    "INPUT.AUDIO.TIME_MASK": 20,
    "INPUT.AUDIO.NOISE": [-60, -30],
    "SOLVER.IMS_PER_BATCH": 2,
    "SOLVER.WARMUP_ITERS": 0,
    "SOLVER.CHECKPOINT_PERIOD": 4,
    "TEST.EVAL_PERIOD": 6,
}
EXIT_CODES = {"SIGKILL": -9, "SIGINT": 130, "SIGTERM": 143}


@pytest.fixture(scope="module")
def toy(run_script, tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--output", folder / "toy", "--clips", 7, 2, 1)
    assert made.returncode == 0, made.stdout
    return folder


@pytest.fixture(scope="module")
def train(run_script, toy, small_overrides):
    """Trains in a folder, or goes on there; with `die`, see dying_training.py, until then."""

    def run(folder, steps, die=None, seed=1, workers=1):
        settings = {**SETTINGS, "SOLVER.MAX_ITER": steps, "SEED": seed, "DATALOADER.NUM_WORKERS": workers}
        return run_script(
            "tests/dying_training.py",
            "--config-file",
            CONFIG,
            "--resume",
            *small_overrides,
            *(part for pair in settings.items() for part in pair),
            "OUTPUT_DIR",
            folder,
            DETECTRON2_DATASETS=str(toy),
            LOSSES=f"{folder}.losses",
            DIE=die,
        )

    return run


@pytest.fixture(scope="module")
def whole(train, tmp_path_factory):
    """Gives the folder of a training of so many steps that nothing interrupts."""

    @functools.cache
    def make(steps):
        folder = tmp_path_factory.mktemp("whole") / "run"
        ended = train(folder, steps)
        assert ended.returncode == 0, ended.stdout[-3000:]
        return folder

    return make


@pytest.fixture
def interrupted(train, tmp_path):
    """Gives the folder of a training that ends at each of the points in turn, and goes on with other seeds, workers."""

    def make(steps, points):
        folder = tmp_path / "run"
        for number, die in enumerate(points):
            started = any(folder.glob("model_*.pth"))  # else there is nothing to go on from
            run = train(folder, steps, die, seed=1 + number * started, workers=number % 3)
            assert run.returncode == EXIT_CODES[die.split()[0]], f"{die}: {run.stdout[-3000:]}"
            assert "Traceback" not in run.stdout
        ended = train(folder, steps, seed=99)
        assert ended.returncode == 0, ended.stdout[-3000:]
        return folder

    return make


def losses_of(folder):
    """All that was written of each iteration."""
    found = defaultdict(set)
    for line in Path(f"{folder}.losses").read_text().splitlines():
        iteration, loss = line.split()
        found[int(iteration)].add(loss)
    return found


def quantities_of(folder):
    """The losses and scores in metrics.json, each with its iteration. A stop before an evaluation parts the two."""
    lines = [json.loads(line) for line in (folder / "metrics.json").read_text().splitlines()]
    return [(line["iteration"], name) for line in lines for name in line if name.startswith(("total_loss", "avs/"))]


def assert_same(folder, whole, steps):
    """The steps that were made, the model they ended with, and all that is beside it in the checkpoint."""
    losses = losses_of(folder)
    assert sorted(losses) == list(range(steps)) and {len(found) for found in losses.values()} == {1}
    assert losses == losses_of(whole)
    for name in ("model_final.pth", "model_best.pth"):
        assert_equal(checkpoint_of(folder / name), checkpoint_of(whole / name))
    assert sorted(set(quantities_of(folder))) == sorted(quantities_of(folder))
    assert not (folder / PARTIAL).exists()


def checkpoint_of(path):
    checkpoint = torch.load(path)
    del checkpoint["trainer"]["iteration"]  # Detectron2's, of the loop; beside it stands how many are done
    return checkpoint


def assert_equal(one, other):
    """Of nested dicts, lists, tensors and numbers."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        for pair in zip(one, other, strict=True):
            assert_equal(*pair)
    else:
        assert one == other


@pytest.mark.slow
@pytest.mark.xdist_group("interruption")
def test_a_training_that_is_killed_three_times_ends_as_if_it_had_not_been(interrupted, whole):
    points = ["SIGKILL step 6 0.5", "SIGKILL write 3 0.7", "SIGKILL evaluation 2 0.1"]
    assert_same(interrupted(16, points), whole(16), 16)


@pytest.mark.slow
@pytest.mark.xdist_group("interruption")
def test_a_training_that_is_told_to_stop_saves_and_ends_as_if_it_had_not_been(interrupted, whole):
    points = ["SIGINT step 2 0.3", "SIGTERM step 4 0.3", "SIGTERM evaluation 1 0"]
    assert_same(interrupted(16, points), whole(16), 16)


@pytest.mark.long(minutes=4)
def test_a_training_that_is_killed_at_twenty_random_points_ends_as_if_it_had_not_been(interrupted, whole):
    rng = random.Random(1)
    most = {"step": 4, "write": 5, "evaluation": 3}
    places = [rng.choice(list(most)) for _ in range(20)]
    points = [f"SIGKILL {place} {rng.randint(1, most[place])} {rng.random():.2f}" for place in places]
    assert_same(interrupted(80, points), whole(80), 80)
