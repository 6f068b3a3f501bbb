"""tools/train_net.py that writes each step's loss into the file LOSSES, and gets a signal where DIE says.

DIE is "SIGNAL PLACE NUMBER SHARE": it comes in the NUMBER-th "step", "write" of a file or clip of an "evaluation",
after a SHARE of that, from 0 to 1. SIGKILL ends the trainer; other signals all its processes get. Without DIE none.
"""

import contextlib
import io
import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TRAIN_NET = Path(__file__).resolve().parents[1] / "tools/train_net.py"
STEP_SECONDS = 0.2  # about what a step takes


class Countdown:
    def __init__(self, place):
        self.signal, wanted, number, share = os.environ.get("DIE", "SIGKILL nowhere 0 0").split()
        self.left = int(number) if wanted == place else 0
        self.share = float(share)

    def is_due(self):
        self.left -= 1
        return self.left == 0

    def strike(self):
        if self.signal == "SIGKILL":
            os.kill(os.getpid(), signal.SIGKILL)
        subprocess.run(["sh", "-c", f"kill -s {self.signal.removeprefix('SIG')} -- -{os.getpgrp()}"])


def die_in_step(run_step, countdown):
    def step(trainer):
        if countdown.is_due():
            threading.Timer(countdown.share * STEP_SECONDS, countdown.strike).start()
        run_step(trainer)
        with open(os.environ["LOSSES"], "a") as file:
            file.write(f"{trainer.iter} {trainer.storage.latest()['total_loss'][0]!r}\n")

    return step


def die_in_write(written_whole, countdown):
    """Of what is written, a share gets into the file that is being written."""

    @contextlib.contextmanager
    def write(path):
        due = countdown.is_due()
        content = io.BytesIO()
        with written_whole(path) as file:
            yield content
            written = content.getvalue()
            file.write(written[: round(countdown.share * len(written))] if due else written)
            if due:
                file.flush()
                countdown.strike()

    return write


def die_in_evaluation(process, countdown):
    def count(evaluator, inputs, outputs):
        process(evaluator, inputs, outputs)
        if countdown.is_due():
            time.sleep(countdown.share * STEP_SECONDS)
            countdown.strike()

    return count


if __name__ == "__main__":
    from transavs.engine.trainer import AVSTrainer
    from transavs.evaluation import AVSEvaluator
    from transavs.weights import checkpointer

    AVSTrainer.run_step = die_in_step(AVSTrainer.run_step, Countdown("step"))
    checkpointer.written_whole = die_in_write(checkpointer.written_whole, Countdown("write"))
    AVSEvaluator.process = die_in_evaluation(AVSEvaluator.process, Countdown("evaluation"))
    os.setpgrp()
    sys.argv[0] = str(TRAIN_NET)
    runpy.run_path(str(TRAIN_NET), run_name="__main__")
