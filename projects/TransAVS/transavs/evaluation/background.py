"""Scoring while the model goes on: an evaluator's work in a thread of its own."""

from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

from detectron2.evaluation import DatasetEvaluator

BATCHES_BEHIND = 2  # that may wait to be scored; the model's maps of these are kept


class BackgroundEvaluator(DatasetEvaluator):
    """Another evaluator, whose `process` runs behind the model: masks are read, scored and encoded meanwhile.

    Its results are the same, since one thread takes the batches in their order. What fails there is raised by one of
    the next `process`, or by `evaluate`.

    Args:
        evaluator: does the work.
    """

    def __init__(self, evaluator: DatasetEvaluator):
        self.evaluator = evaluator
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scoring")
        self._waiting: deque[Future[None]] = deque()

    def reset(self) -> None:
        """As that of the other; what an evaluation that was left has still to score is dropped."""
        wait([batch for batch in self._waiting if not batch.cancel()])
        self._waiting.clear()
        self.evaluator.reset()

    def process(self, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """As that of the other, but for `BATCHES_BEHIND` batches at most it returns at once."""
        self._wait_for_all_but(BATCHES_BEHIND - 1)
        self._waiting.append(self._thread.submit(self.evaluator.process, inputs, outputs))

    def evaluate(self) -> Any:
        """As that of the other, once all is scored."""
        self._wait_for_all_but(0)
        return self.evaluator.evaluate()

    def _wait_for_all_but(self, number: int) -> None:
        while len(self._waiting) > number:
            self._waiting.popleft().result()
