"""Scoring behind the model: the same results in the same order, and never far behind."""

import threading

import pytest
from detectron2.evaluation import DatasetEvaluator

from transavs.evaluation.background import BATCHES_BEHIND, BackgroundEvaluator


class Recorder(DatasetEvaluator):
    """Keeps what it is given, and waits with each batch until it may go on."""

    def __init__(self):
        self.go_on = threading.Semaphore(0)
        self.reset()

    def reset(self):
        self.seen, self.threads = [], set()

    def process(self, inputs, outputs):
        self.go_on.acquire()
        if inputs == ["broken"]:
            raise ValueError("clip broken: no mask")
        self.seen += zip(inputs, outputs)
        self.threads.add(threading.current_thread())

    def evaluate(self):
        return {"avs": {"clips": len(self.seen)}}


@pytest.fixture
def recorder():
    return Recorder()


def test_batches_are_scored_in_their_order_by_one_other_thread(recorder):
    recorder.go_on.release(20)
    evaluator = BackgroundEvaluator(recorder)
    evaluator.reset()
    for number in range(20):
        evaluator.process([number], [-number])
    assert evaluator.evaluate() == {"avs": {"clips": 20}}
    assert recorder.seen == [(number, -number) for number in range(20)]
    assert len(recorder.threads) == 1 and threading.main_thread() not in recorder.threads


def test_the_model_goes_on_until_too_many_wait(recorder):
    evaluator = BackgroundEvaluator(recorder)
    for number in range(BATCHES_BEHIND):
        evaluator.process([number], [number])
    assert recorder.seen == []
    further = threading.Thread(target=evaluator.process, args=([-1], [-1]))
    further.start()
    further.join(0.2)
    assert further.is_alive()
    recorder.go_on.release(BATCHES_BEHIND + 1)
    further.join()
    assert evaluator.evaluate()["avs"]["clips"] == BATCHES_BEHIND + 1


def test_what_fails_is_raised_where_it_is_noticed(recorder):
    recorder.go_on.release(2)
    evaluator = BackgroundEvaluator(recorder)
    evaluator.process(["broken"], [0])
    with pytest.raises(ValueError, match="clip broken: no mask"):
        evaluator.evaluate()


def test_an_evaluation_that_was_left_leaves_nothing_to_the_next(recorder):
    evaluator = BackgroundEvaluator(recorder)
    evaluator.process([1], [1])
    evaluator.process([2], [2])
    recorder.go_on.release(2)
    evaluator.reset()
    assert evaluator.evaluate() == {"avs": {"clips": 0}}
