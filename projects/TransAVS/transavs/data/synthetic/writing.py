"""Synthetic clips on disk, made by several processes, with what an audio-blind oracle scores on them."""

import json
import multiprocessing
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from ..errors import AVSDatasetError
from ..layout import SPLITS, FilePath
from ..semantic_layout import SEMANTIC_SUBSET
from .clips import ClipMaker
from .subset_files import AVSFiles, Row, SemanticFiles, SubsetFiles

FORMAT_VERSION = 3  # to be raised when the same arguments would make other clips than before


@dataclass(frozen=True)
class _Job:
    maker: ClipMaker
    files: SubsetFiles
    seed: int

    def make(self, split: str, index: int) -> tuple[Row, Any]:
        return self.files.make(self.maker, self.seed, split, index)


_worker_job: _Job | None = None


def _start_worker(job: _Job) -> None:
    global _worker_job
    _worker_job = job
    torch.set_num_threads(1)  # the processes are the parallelism


def _make_one(task: tuple[str, int]) -> tuple[Row, Any]:
    assert _worker_job is not None
    return _worker_job.make(*task)


def _make_all(job: _Job, tasks: Sequence[tuple[str, int]], workers: int) -> list[tuple[Row, Any]]:
    progress: dict[str, Any] = {
        "total": len(tasks),
        "desc": f"{job.files.subset} clips",
        "unit": "clip",
        "mininterval": 1,
    }
    if workers <= 1:
        _start_worker(job)
        return list(tqdm(map(_make_one, tasks), **progress))
    with multiprocessing.Pool(workers, _start_worker, (job,)) as pool:
        return list(tqdm(pool.imap(_make_one, tasks, chunksize=4), **progress))


def prepare_subset(
    get_maker: Callable[[], ClipMaker],
    arguments: Mapping[str, object],
    output: FilePath,
    subset: str,
    counts: tuple[int, int, int],
    seed: int,
    workers: int,
    without: Collection[str] = (),
) -> float:
    """Write one subset, unless a finished one made with the same arguments is there.

    A clip does not depend on the others, so that a split is the same, whichever splits are made with it.

    Args:
        get_maker: gives what makes the clips; called only if clips are made.
        arguments: all that decides the clips' content, for the manifest.
        output: the folder that holds `Single-source/`, `Multi-sources/` and `AVSBench-semantic/`.
        subset: "s4", "ms3" or "ss".
        counts: clips in train, val and test.
        seed: of all random numbers.
        workers: processes; the files do not depend on their number.
        without: splits to leave out, "train" or "val"; one that an earlier call made is made again with the others.

    Returns:
        The audio-blind oracle's score on the test split: mJ, or mIoU of "ss".

    Raises:
        AVSDatasetError: if the subset's folder holds files of another origin, or what `get_maker` raises.
    """
    files: SubsetFiles = SemanticFiles(output) if subset == SEMANTIC_SUBSET else AVSFiles(output, subset)
    folder, score_name = files.folder, files.score_name
    manifest_path = folder / "manifest.json"
    manifest = {"format_version": FORMAT_VERSION, "subset": subset, "clips": list(counts), "seed": seed, **arguments}
    old = json.loads(manifest_path.read_text()) if manifest_path.is_file() else None
    if old is None and folder.is_dir() and any(folder.iterdir()):
        raise AVSDatasetError(f"{folder} holds files that this script did not make: remove it or change --output")
    left_out = set(without)
    if old is not None and _is_finished(old, manifest, score_name) and files.is_complete():
        left_out &= set(old.get("without", ()))
        if left_out == set(old.get("without", ())):
            oracle = float(old[f"oracle_{score_name}"])
            _write_oracle(output, files, oracle)
            told = f"audio-blind oracle on test: {score_name} {oracle:.4f}"
            print(f"{folder} is already made with these arguments; {told}")
            return oracle
    if left_out:
        manifest["without"] = sorted(left_out)
    maker, start = get_maker(), time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest_path.write_text(json.dumps(manifest, indent=1) + "\n")  # marks the folder as ours while it is unfinished
    numbers = {split: count for split, count in zip(SPLITS, counts) if split not in left_out}
    tasks = [(split, index) for split, count in numbers.items() for index in range(count)]
    rows, scores = zip(*_make_all(_Job(maker, files, seed), tasks, workers))
    files.write_lists(rows, maker)
    oracle = round(files.oracle([score for score in scores if score is not None]), 4)
    manifest_path.write_text(json.dumps({**manifest, f"oracle_{score_name}": oracle}, indent=1) + "\n")
    _write_oracle(output, files, oracle)
    seconds = time.perf_counter() - start
    print(f"{folder}: {len(tasks)} clips in {seconds:.0f} s; audio-blind oracle on test: {score_name} {oracle:.4f}")
    return oracle


def _is_finished(found: Mapping[str, object], manifest: Mapping[str, object], score_name: str) -> bool:
    """Whether a folder's manifest says that it holds the clips that `manifest` asks for, of whichever splits."""
    score = f"oracle_{score_name}"
    beside = dict.fromkeys((score, "without"))
    return found.get(score) is not None and {**found, **beside} == {**manifest, **beside}


def _write_oracle(output: FilePath, files: SubsetFiles, oracle: float) -> None:
    path = Path(output) / "oracle.json"
    scores = json.loads(path.read_text()) if path.is_file() else {}
    scores[files.subset] = {"split": "test", files.score_name: oracle}
    path.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")
