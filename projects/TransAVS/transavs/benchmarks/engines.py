"""The predictor's engines side by side: how long they take to start, and then for a clip."""

import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from detectron2.config import CfgNode

from ..engine.engines import ENGINES
from . import starting
from .starting import HEIGHT, WIDTH, Start

CLIPS = 10  # timed in a process, after the first
HEADERS = [
    "config",
    "engine",
    "predictor made after (s)",
    "first clip after (s)",
    "the same, the very first time (s)",
    "then a clip (s)",
    "of eager's",
]


def measure_engines(cfg: CfgNode, name: str, runs: int) -> list[list[Any]]:
    """The table's rows of one config, for each of the engines that this machine has: medians of fresh processes.

    Args:
        cfg: of the predictor.
        name: the config's, for the table.
        runs: processes of each engine, after one whose caches are empty.
    """
    rows: list[list[Any]] = []
    eager = None
    for engine in available_engines(cfg):
        with tempfile.TemporaryDirectory() as folder:
            config = Path(folder, "config.yaml")
            config.write_text(cfg.dump(), encoding="utf-8")
            very_first, *later = [start_process(config, engine, Path(folder)) for _ in range(1 + runs)]
        ready, first_clip, clip = map(statistics.median, zip(*later))
        eager = eager or clip
        seconds = [f"{value:.2f}" for value in (ready, first_clip, very_first.first_clip)]
        rows.append([name, engine, *seconds, f"{clip:.3f}", f"{clip / eager:.2f}"])
    return rows


def available_engines(cfg: CfgNode) -> list[str]:
    """ENGINES, without those that want for a compiler or a package, or for a CPU."""
    on_cpu = cfg.MODEL.DEVICE == "cpu"
    has = {
        "compile": not on_cpu or shutil.which("g++") is not None,
        "onnxruntime": on_cpu and all(map(importlib.util.find_spec, ("onnxruntime", "onnxscript"))),
    }
    return [engine for engine in ENGINES if has.get(engine, True)]


def start_process(config: Path, engine: str, caches: Path) -> Start:
    """Starts an engine in a process of its own; what it keeps for the next time lies in `caches`."""
    kept = {"XDG_CACHE_HOME": str(caches), "TORCHINDUCTOR_CACHE_DIR": str(caches / "inductor")}
    kept["TORCHINDUCTOR_COMPILE_THREADS"] = "1"  # in the process itself, whose time is taken
    command = [sys.executable, "-m", starting.__name__, str(config), engine, str(CLIPS)]
    done = subprocess.run(command, env={**os.environ, **kept}, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-1000:]}")
    return Start(*json.loads(done.stdout.strip().splitlines()[-1]))


def describe(runs: int, device: str) -> str:
    """The table's title."""
    return (
        "By processor time, of all threads, from the start of a process, imports included. A clip is one of "
        f"{WIDTH} x {HEIGHT} frames, one a second, and a sound. The very first time nothing is in any cache. "
        f"Median of {runs} processes, {device}."
    )
