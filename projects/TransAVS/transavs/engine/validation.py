"""Scores while training goes on, and the checkpoint of the best one."""

import logging
import math
import os
from collections.abc import Callable
from typing import Any

from detectron2.checkpoint import Checkpointer
from detectron2.engine import HookBase
from detectron2.evaluation.testing import flatten_results_dict
from detectron2.utils import comm

from .interruption import StopOnSignal

BEST_CHECKPOINT = "model_best"


class Validation(HookBase):
    """Detectron2's EvalHook and BestCheckpointer in one, which go on in a resumed training.

    That one knows the best score so far; and where training was stopped before a score was known that was due, it is
    found first.

    Args:
        period: iterations from one evaluation to the next; there is one at the end as well.
        evaluate: gives the scores, as a nested dict of numbers; in other processes than the main one nothing.
        metric: of which score the best is kept, by its flattened name.
        checkpointer: writes `model_best.pth`.
        stop: ends an evaluation.
    """

    def __init__(
        self,
        period: int,
        evaluate: Callable[[], dict[str, Any]],
        metric: str,
        checkpointer: Checkpointer,
        stop: StopOnSignal,
    ):
        self._period, self._evaluate, self._metric = period, evaluate, metric
        self._checkpointer, self._stop = checkpointer, stop
        self._scored = 0  # after how many iterations the last time
        self._best, self._best_iterations = -math.inf, 0
        self._logger = logging.getLogger(__name__)

    def before_train(self) -> None:
        done = self.trainer.start_iter
        if done and self._is_due(done) and self._scored != done:
            self._score(done, done - 1)

    def after_step(self) -> None:
        if self._is_due(self.trainer.iter + 1):
            self._score(self.trainer.iter + 1, self.trainer.iter)

    def after_train(self) -> None:
        done = self.trainer.max_iter
        if self.trainer.iter >= done and self._scored != done:  # not after an error
            self._score(done, done)  # the writers have written what is of the last step

    def state_dict(self) -> dict[str, Any]:
        return {"scored": self._scored, "best": self._best, "best_iterations": self._best_iterations}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._scored = state["scored"]
        if os.path.exists(self._best_path()):
            self._best, self._best_iterations = state["best"], state["best_iterations"]

    def _is_due(self, done: int) -> bool:
        return done % self._period == 0 and done < self.trainer.max_iter

    def _score(self, done: int, logged_at: int) -> None:
        """Evaluates after `done` iterations; the scores are logged at the iteration `logged_at`."""
        with self._stop.at_once(done):
            scores = flatten_results_dict(self._evaluate() or {})
            comm.synchronize()  # it may take the processes different times
        self.trainer.storage.put_scalars(**scores, cur_iter=logged_at, smoothing_hint=False)
        self._scored = done
        score = float(scores.get(self._metric, math.nan))
        if score > self._best:
            self._best, self._best_iterations = score, done
            self._checkpointer.save(BEST_CHECKPOINT, iteration=done - 1)
        if comm.is_main_process():
            self._logger.info(
                "%s is %.5f after %d iterations; the best is %.5f, after %d.",
                self._metric,
                score,
                done,
                self._best,
                self._best_iterations,
            )

    def _best_path(self) -> str:
        return os.path.join(self._checkpointer.save_dir, f"{BEST_CHECKPOINT}.pth")
