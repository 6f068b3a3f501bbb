"""What an engine's start takes, in a process of its own.

`python -m transavs.benchmarks.starting CONFIG ENGINE RUNS` prints the numbers of a `Start`, as a line of JSON.
"""

import json
import os
import statistics
import sys
from typing import NamedTuple

import numpy as np

from ..config import read_config
from ..data.audio import SAMPLE_RATE
from ..engine.predictor import AVSPredictor

HEIGHT, WIDTH = 360, 640


class Start(NamedTuple):
    """Seconds of processors, of all threads and of compilers that are called.

    Args:
        ready: from the process's start until the predictor is made.
        first_clip: until it has segmented a clip.
        clip: of a later clip.
    """

    ready: float
    first_clip: float
    clip: float


def processor_time() -> float:
    return sum(os.times()[:4])


def measure_start(config: str, engine: str, runs: int) -> Start:
    """
    Args:
        config: the file of a whole config.
        engine: the predictor's.
        runs: timed ones of a clip, of which the median counts.
    """
    predictor = AVSPredictor(read_config(config), engine)
    ready = processor_time()
    seconds = predictor.cfg.MODEL.TRANSAVS.NUM_FRAMES
    rng = np.random.default_rng(0)
    frames = list(rng.integers(0, 256, (seconds, HEIGHT, WIDTH, 3), dtype=np.uint8))
    waveform = rng.uniform(-0.1, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
    times = [ready]
    for _ in range(1 + runs):
        predictor(frames, waveform, SAMPLE_RATE)
        times.append(processor_time())
    took = [after - before for before, after in zip(times[1:], times[2:])]
    return Start(ready, times[1], statistics.median(took))


if __name__ == "__main__":
    _, config, engine, runs = sys.argv
    print(json.dumps(measure_start(config, engine, int(runs))))
