"""Leaving a training when the machine is wanted back, with all that it needs to go on."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from detectron2.checkpoint import Checkpointer
from detectron2.engine import HookBase
from detectron2.utils import comm

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingStopped(SystemExit):
    """A signal ended the training; its code is 128 + the signal's number, as a shell has it: 143 or 130."""


class _StopAtOnce(BaseException):
    """Leaves an evaluation."""


class StopOnSignal(HookBase):
    """At SIGTERM or SIGINT (Ctrl-C) writes a checkpoint and ends the training, after the step under way.

    Of several processes it is enough that one gets the signal. A second SIGINT ends the process where it is.

    Args:
        checkpointer: writes the checkpoint.

    Raises:
        TrainingStopped: at the end of a step, or from `at_once`.
    """

    def __init__(self, checkpointer: Checkpointer):
        self._checkpointer = checkpointer
        self._received = 0  # the signal's number
        self._interrupts = False  # whether a signal leaves what is under way

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Signals are heeded inside; elsewhere than in the main thread, where none can be, they do what they did."""
        in_main_thread = threading.current_thread() is threading.main_thread()
        before = {number: signal.signal(number, self._receive) for number in SIGNALS if in_main_thread}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def after_step(self) -> None:
        # What comes while the processes agree counts at the next step.
        agreed = max(comm.all_gather(self._received))
        if agreed and self.trainer.iter + 1 < self.trainer.max_iter:
            self._received = agreed
            self._save(self.trainer.iter + 1)
            comm.synchronize()  # once a process is gone, the others are ended
            self._end()

    @contextlib.contextmanager
    def at_once(self, iterations: int) -> Iterator[None]:
        """Here training is left as soon as the signal comes; for what may take long and changes nothing.

        Each process leaves by itself; once one is gone, the others get a SIGTERM from who started them.

        Args:
            iterations: how many are done.
        """
        self._interrupts = True
        try:
            if self._received:
                raise _StopAtOnce
            yield
        except _StopAtOnce:
            self._save(iterations)
            self._end()
        finally:
            self._interrupts = False

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again = number == self._received == signal.SIGINT
        self._received = self._received or number
        if again:
            raise KeyboardInterrupt
        if self._interrupts:
            self._interrupts = False
            raise _StopAtOnce

    def _save(self, iterations: int) -> None:
        if iterations < self.trainer.max_iter:  # else the last checkpoint is written
            self._checkpointer.save(f"model_{iterations - 1:07d}", iteration=iterations - 1)

    def _end(self) -> NoReturn:
        name = signal.Signals(self._received).name
        logging.getLogger(__name__).warning("%s: training stops here; --resume goes on.", name)
        raise TrainingStopped(128 + self._received)
