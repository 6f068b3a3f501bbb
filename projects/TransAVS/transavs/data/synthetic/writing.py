"""Synthetic clips on disk, in AVSBench's layout, with what an audio-blind oracle scores on them."""

import csv
import json
import multiprocessing
import os
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from ...evaluation.metrics import jaccard
from ..avsbench import LAYOUTS, NUM_FRAMES, SPLITS, AVSDatasetError, ClipPaths
from ..listing import OBJECTS_COLUMN, OBJECTS_SEPARATOR
from .clips import Clip, ClipMaker, clip_generator
from .sounds import SAMPLE_RATE

FORMAT_VERSION = 3  # to be raised when the same arguments would make other clips than before
PNG_COMPRESSION = 6


def write_clip(clip: Clip, paths: ClipPaths, annotated_frames: Collection[int]) -> None:
    """Write a clip's files; masks only for the frames (from 1) in `annotated_frames`.

    In the picture of the instances, the k-th of the clip's `objects` has the value k (from 1) where it sounds.
    """
    numbers = np.arange(1, len(clip.objects) + 1, dtype=np.uint8)
    for k in range(1, NUM_FRAMES + 1):
        _save_png(clip.frames[k - 1], paths.frame(k))
        if k in annotated_frames:
            _save_png(clip.masks[k - 1].astype(np.uint8) * 255, paths.mask(k))
            instances = np.tensordot(numbers, clip.sounding[:, k - 1].astype(np.uint8), axes=1)
            _save_png(instances.astype(np.uint8), paths.instances(k))
    _make_parent(paths.wav)
    soundfile.write(paths.wav, clip.waveform, SAMPLE_RATE, subtype="PCM_16")


def _save_png(pixels: NDArray[np.uint8], path: str) -> None:
    _make_parent(path)
    Image.fromarray(pixels).save(path, compress_level=PNG_COMPRESSION)


def _make_parent(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)


def write_table(root: str | os.PathLike[str], subset: str, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a subset's csv; each row has the layout's columns and OBJECTS_COLUMN."""
    path = Path(root) / LAYOUTS[subset].csv_file
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*LAYOUTS[subset].columns, OBJECTS_COLUMN], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def oracle_scores(clip: Clip) -> NDArray[np.float64]:
    """Each frame's J of a guess that sees everything and hears nothing: all objects' visible pixels. float64 [T]."""
    scores: NDArray[np.float64] = jaccard(torch.from_numpy(clip.visible), torch.from_numpy(clip.masks)).numpy()
    return scores


@dataclass(frozen=True)
class _Job:
    maker: ClipMaker
    output: str | os.PathLike[str]
    subset: str
    seed: int

    def make(self, split: str, index: int) -> tuple[dict[str, str], NDArray[np.float64]]:
        """Make and write one clip. Returns: (its row of the csv, the oracle's J of each frame of a test clip)."""
        clip = self.maker.make_clip(clip_generator(self.seed, self.subset, split, index), self.subset, split)
        layout, name = LAYOUTS[self.subset], f"{split}_{index:05d}"
        write_clip(
            clip, ClipPaths(self.output, self.subset, split, name, clip.category), layout.annotated_frames(split)
        )
        row = dict(zip(layout.columns, (name, split, clip.category)))
        row[OBJECTS_COLUMN] = OBJECTS_SEPARATOR.join(clip.objects)
        return row, oracle_scores(clip) if split == "test" else np.empty(0)


_worker_job: _Job | None = None


def _start_worker(job: _Job) -> None:
    global _worker_job
    _worker_job = job
    torch.set_num_threads(1)  # the processes are the parallelism


def _make_one(task: tuple[str, int]) -> tuple[dict[str, str], NDArray[np.float64]]:
    assert _worker_job is not None
    return _worker_job.make(*task)


def _make_all(
    job: _Job, tasks: Sequence[tuple[str, int]], workers: int
) -> list[tuple[dict[str, str], NDArray[np.float64]]]:
    progress: dict[str, Any] = {"total": len(tasks), "desc": f"{job.subset} clips", "unit": "clip", "mininterval": 1}
    if workers <= 1:
        _start_worker(job)
        return list(tqdm(map(_make_one, tasks), **progress))
    with multiprocessing.Pool(workers, _start_worker, (job,)) as pool:
        return list(tqdm(pool.imap(_make_one, tasks, chunksize=4), **progress))


def prepare_subset(
    get_maker: Callable[[], ClipMaker],
    arguments: Mapping[str, object],
    output: str | os.PathLike[str],
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
        output: the folder that holds `Single-source/` and `Multi-sources/`.
        subset: "s4" or "ms3".
        counts: clips in train, val and test.
        seed: of all random numbers.
        workers: processes; the files do not depend on their number.
        without: splits to leave out, "train" or "val"; one that an earlier call made is made again with the others.

    Returns:
        mJ of the audio-blind oracle on the test split.

    Raises:
        AVSDatasetError: if the subset's folder holds files of another origin, or what `get_maker` raises.
    """
    folder = (Path(output) / LAYOUTS[subset].csv_file).parent
    manifest_path = folder / "manifest.json"
    manifest = {"format_version": FORMAT_VERSION, "subset": subset, "clips": list(counts), "seed": seed, **arguments}
    old = json.loads(manifest_path.read_text()) if manifest_path.is_file() else None
    if old is None and folder.is_dir() and any(folder.iterdir()):
        raise AVSDatasetError(f"{folder} holds files that this script did not make: remove it or change --output")
    has_instances = any(folder.glob("*/gt_instances"))  # which were not written at first; all other files stay the same
    left_out = set(without)
    if old is not None and _is_finished(old, manifest) and has_instances:
        left_out &= set(old.get("without", ()))
        if left_out == set(old.get("without", ())):
            return _already_made(old, output, subset, folder)
    if left_out:
        manifest["without"] = sorted(left_out)
    maker, start = get_maker(), time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest_path.write_text(json.dumps(manifest, indent=1) + "\n")  # marks the folder as ours while it is unfinished
    numbers = {split: count for split, count in zip(SPLITS, counts) if split not in left_out}
    tasks = [(split, index) for split, count in numbers.items() for index in range(count)]
    rows, scores = zip(*_make_all(_Job(maker, output, subset, seed), tasks, workers))
    write_table(output, subset, rows)
    oracle = round(float(np.concatenate(scores).mean()), 4)
    manifest_path.write_text(json.dumps({**manifest, "oracle_mJ": oracle}, indent=1) + "\n")
    _write_oracle(output, subset, oracle)
    seconds = time.perf_counter() - start
    print(f"{folder}: {len(tasks)} clips in {seconds:.0f} s; audio-blind oracle on test: mJ {oracle:.4f}")
    return oracle


def _is_finished(found: Mapping[str, object], manifest: Mapping[str, object]) -> bool:
    """Whether a folder's manifest says that it holds the clips that `manifest` asks for, of whichever splits."""
    beside = dict.fromkeys(("oracle_mJ", "without"))
    return found.get("oracle_mJ") is not None and {**found, **beside} == {**manifest, **beside}


def _already_made(found: Mapping[str, Any], output: str | os.PathLike[str], subset: str, folder: Path) -> float:
    oracle = float(found["oracle_mJ"])
    _write_oracle(output, subset, oracle)
    print(f"{folder} is already made with these arguments; audio-blind oracle on test: mJ {oracle:.4f}")
    return oracle


def _write_oracle(output: str | os.PathLike[str], subset: str, oracle: float) -> None:
    path = Path(output) / "oracle.json"
    scores = json.loads(path.read_text()) if path.is_file() else {}
    scores[subset] = {"split": "test", "mJ": oracle}
    path.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")
