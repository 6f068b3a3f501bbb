"""The best checkpoint and the evaluations of a training that is stopped and goes on."""

import math

import pytest

from transavs.engine.interruption import StopOnSignal
from transavs.engine.validation import Validation


class Killed(BaseException):
    pass


class KillingDict(dict):
    """Ends the process where nothing is there."""

    def __missing__(self, key):
        raise Killed


@pytest.fixture
def train(counting_trainer, tmp_path):
    """Trains 8 steps, or goes on, with an evaluation every second one.

    Gives after which steps it scored, and last the trainer.
    """

    def run(scores, killed_at=None):
        """`scores` are by the number of steps; the process is killed in iteration `killed_at`, or where one lacks."""
        evaluated = []

        def evaluate():
            steps = int(trainer.model.weight)
            score = KillingDict(scores)[steps]
            evaluated.append(steps)
            return {"avs": {"mJ": score}}

        def step(iteration):
            if iteration == killed_at:
                raise Killed

        def make_hooks(checkpointer):
            return [Validation(2, evaluate, "avs/mJ", checkpointer, StopOnSignal(checkpointer))]

        trainer = counting_trainer(tmp_path, make_hooks, step)
        try:
            trainer.train(8)
        except Killed:
            pass
        return [*evaluated, trainer]

    return run


@pytest.fixture
def best(steps_in, tmp_path):
    return lambda: steps_in(tmp_path / "model_best.pth")


def test_the_best_checkpoint_is_kept(train, best):
    *evaluated, _ = train({2: 0.5, 4: 0.9, 6: math.nan, 8: 0.7})
    assert evaluated == [2, 4, 6, 8] and best() == 4


def test_a_resumed_training_knows_the_best_score(train, best):
    train({2: 0.9}, killed_at=2)
    assert best() == 2
    *evaluated, _ = train({4: 0.5, 6: 0.8, 8: 0.7})
    assert evaluated == [4, 6, 8] and best() == 2


def test_a_resumed_training_writes_a_better_one(train, best):
    train({2: 0.3}, killed_at=2)
    train({4: 0.5, 6: 0.4, 8: 0.4})
    assert best() == 4


def test_without_its_file_the_best_score_is_forgotten(train, best, tmp_path):
    train({2: 0.9}, killed_at=3)
    (tmp_path / "model_best.pth").unlink()
    train({4: 0.5, 6: 0.4, 8: 0.4})
    assert best() == 4


def test_an_evaluation_that_was_killed_is_done_first(train, best, tmp_path):
    train({2: 0.3})  # killed when it scores after 4 steps
    *evaluated, trainer = train({4: 0.9, 6: 0.4, 8: 0.4})
    assert evaluated == [4, 6, 8] and best() == 4
    assert [iteration for _, iteration in trainer.storage.history("avs/mJ").values()] == [3, 5, 8]


def test_an_evaluation_at_the_end_that_was_killed_is_done_when_resumed(train, best):
    train({2: 0.3, 4: 0.3, 6: 0.3})
    *evaluated, _ = train({8: 0.4})
    assert evaluated == [8] and best() == 8
    *evaluated, _ = train({})
    assert evaluated == []


def test_after_an_error_in_the_last_step_nothing_is_scored(train):
    *evaluated, _ = train({2: 0.3, 4: 0.3, 6: 0.3}, killed_at=7)
    assert evaluated == [2, 4, 6]
