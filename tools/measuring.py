"""What the benchmarks share: seconds and memory, taken so that one can trust them on a machine with moods."""

import ctypes
import gc
import re
import statistics
import time
from pathlib import Path

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def device_name():
    return torch.cuda.get_device_name() if DEVICE.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def in_turn(runs, *candidates):
    """Medians of the candidates' seconds, which run alternately; the first run of each is not counted."""
    for candidate in candidates:
        candidate()
    times = [[_seconds(candidate) for candidate in candidates] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*times)]


def _seconds(run):
    _synchronize()
    start = time.perf_counter()
    run()
    _synchronize()
    return time.perf_counter() - start


def _synchronize():
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def extra_memory(run):
    """MiB that `run` needs at its peak beyond what is held before; on a CPU by the Linux kernel's count."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back first, else its reuse would not show
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status_mib("VmRSS")
    run()
    return _status_mib("VmHWM") - before


def _status_mib(field):
    return int(re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
