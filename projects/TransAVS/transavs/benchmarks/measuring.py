"""What the benchmarks share: seconds and memory, taken so that one can trust them on a machine with moods."""

import ctypes
import gc
import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch

from ..engine.devices import best_device

DEVICE = best_device()


def device_name() -> str:
    """Of a CPU what makes most of a difference: the widest instructions that PyTorch finds, and the threads."""
    if DEVICE.type == "cuda":
        return torch.cuda.get_device_name()
    return f"CPU with {torch.backends.cpu.get_cpu_capability()}, {torch.get_num_threads()} threads"


def in_turn(
    runs: int, *candidates: Callable[[], object], clock: Callable[[], float] = time.perf_counter
) -> list[float]:
    """Medians of the candidates' seconds, which run alternately; the first run of each is not counted."""
    for candidate in candidates:
        candidate()
    times = [[_seconds(candidate, clock) for candidate in candidates] for _ in range(runs)]
    return [statistics.median(column) for column in zip(*times)]


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    _synchronize()
    start = clock()
    run()
    _synchronize()
    return clock() - start


def _synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def extra_memory(run: Callable[[], object]) -> float:
    """MiB that `run` needs at its peak beyond what is held before; on a CPU by the Linux kernel's count."""
    gc.collect()
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        allocated = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - allocated) / 2**20
    ctypes.CDLL(None).malloc_trim(0)  # freed memory goes back first, else its reuse would not show
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before = _status_mib("VmRSS")
    run()
    return _status_mib("VmHWM") - before


def _status_mib(field: str) -> float:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError(f"/proc/self/status has no {field}")
    return int(found[1]) / 1024
