"""What the makers of synthetic clips share: clips of scenes and sounds, writing AVSBench's layout, the command line.

A maker (datasets/prepare_toy.py, datasets/prepare_stamps.py) gives cut-out objects with their sounds and a background;
here a scene is made of them, and the mask of a frame of the visible pixels of what sounds in its second.
"""

import argparse
import csv
import json
import multiprocessing
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from scipy.ndimage import uniform_filter1d
from tqdm import tqdm

from .data.avsbench import (
    DATASET_FOLDERS,
    LAYOUTS,
    NUM_FRAMES,
    OBJECTS_COLUMN,
    OBJECTS_SEPARATOR,
    SPLITS,
    AVSDatasetError,
    ClipPaths,
    datasets_root,
)
from .evaluation.metrics import jaccard
from .scenes import Scene, random_scene

FORMAT_VERSION = 3  # to be raised when the same arguments would make other clips than before
SAMPLE_RATE = 16000  # Hz, VGGish's
SECONDS_SAMPLES = NUM_FRAMES * SAMPLE_RATE
SOUNDING_PROBABILITY = 0.6  # of an object in one second of an MS3 clip
CROSSFADE_SAMPLES = 320  # 20 ms
RMS_LEVEL = 0.08
PNG_COMPRESSION = 6
MIN_SIZE = 32  # pixels of a frame's side


# ---- Clips -----------------------------------------------------------------------------------------------------------


@dataclass
class Clip:
    """`frames` uint8 [T,H,W,3], `masks` and `visible` (any object) bool [T,H,W], `waveform` float32 [samples].

    `category` is the first object's name, `objects` has all of them, in alphabetical order; `scene` draws the clip at
    other times and sizes than its frames'.
    """

    frames: np.ndarray
    masks: np.ndarray
    visible: np.ndarray
    waveform: np.ndarray
    category: str
    objects: list
    scene: Scene


def random_schedule(rng, subset, num_objects):
    """Which object sounds in which second. Returns: bool [n,T].

    S4: the first object sounds throughout, the others never. MS3: by chance, with at least one sound in the clip.
    """
    if subset == "s4":
        return np.repeat(np.arange(num_objects)[:, None] == 0, NUM_FRAMES, axis=1)
    while True:
        active = rng.random((num_objects, NUM_FRAMES)) < SOUNDING_PROBABILITY
        if active.any():
            return active


def make_clip(rng, background, sprites, active, ranges):
    """A whole clip of objects in motion.

    Args:
        background: as in `Scene`.
        sprites: the objects; the first one's name is the clip's category.
        active: bool [n,T], whether an object sounds in a second.
        ranges: MotionRanges.
    """
    depth = rng.permutation(len(sprites))  # who is in front must not tell who sounds
    scene, frames, visible = random_scene(rng, background, [sprites[i] for i in depth], ranges)
    masks = (visible & active[depth][:, :, None, None]).any(0)
    waveform = mix_sounds(rng, [sprite.sound for sprite in sprites], active)
    objects = sorted(sprite.name for sprite in sprites)
    return Clip(frames, masks, visible.any(0), waveform, sprites[0].name, objects, scene)


# ---- Sounds ----------------------------------------------------------------------------------------------------------


def loop_sound(sound, num_samples, offset):
    """Repeat a sound from `offset` on, each repetition faded into the next. Returns: float32 [num_samples]."""
    fade = min(CROSSFADE_SAMPLES, len(sound) // 4)
    period = sound[: len(sound) - fade].copy()
    ramp = (np.arange(fade) + 0.5) / max(fade, 1)
    period[:fade] = sound[:fade] * ramp + sound[len(sound) - fade :] * (1 - ramp)
    return np.resize(np.roll(period, -offset), num_samples)


def mix_sounds(rng, sounds, active):
    """Add up the objects' sounds, each audible in its active seconds only. Returns: float32 [samples] in [-1,1]."""
    noise_level = 10 ** (rng.uniform(-65, -50) / 20)
    mixed = rng.normal(0, noise_level, SECONDS_SAMPLES)
    for sound, seconds in zip(sounds, active):
        level = RMS_LEVEL * 10 ** (rng.uniform(-6, 3) / 20) / max(np.sqrt(np.mean(sound**2)), 1e-6)
        gate = uniform_filter1d(np.repeat(seconds.astype(np.float64), SAMPLE_RATE), CROSSFADE_SAMPLES)
        mixed += level * gate * loop_sound(sound, SECONDS_SAMPLES, int(rng.integers(len(sound))))
    return (mixed / max(1.0, np.abs(mixed).max() / 0.99)).astype(np.float32)


# ---- Writing ---------------------------------------------------------------------------------------------------------


def write_clip(clip, paths, annotated_frames):
    """Write a clip's files; masks only for the frames (from 1) in `annotated_frames`."""
    for k in range(1, NUM_FRAMES + 1):
        _save_png(clip.frames[k - 1], paths.frame(k))
        if k in annotated_frames:
            _save_png(clip.masks[k - 1].astype(np.uint8) * 255, paths.mask(k))
    _make_parent(paths.wav)
    soundfile.write(paths.wav, clip.waveform, SAMPLE_RATE, subtype="PCM_16")


def _save_png(pixels, path):
    _make_parent(path)
    Image.fromarray(pixels).save(path, compress_level=PNG_COMPRESSION)


def _make_parent(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)


def write_table(root, subset, rows):
    path = Path(root) / LAYOUTS[subset].csv_file
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*LAYOUTS[subset].columns, OBJECTS_COLUMN], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def oracle_scores(clip):
    """Each frame's J of a guess that sees everything and hears nothing: all objects' visible pixels. float64 [T]."""
    return jaccard(torch.from_numpy(clip.visible), torch.from_numpy(clip.masks)).numpy()


def clip_generator(seed, subset, split, index):
    """A clip's own random numbers, so that a clip does not depend on who makes the others, and in which order."""
    return np.random.default_rng([seed, list(LAYOUTS).index(subset), SPLITS.index(split), index])


_worker_job = None


def _start_worker(job):
    global _worker_job
    _worker_job = job
    torch.set_num_threads(1)  # the processes are the parallelism


def _make_one(task):
    maker, output, subset, seed = _worker_job
    split, index = task
    clip = maker.make_clip(clip_generator(seed, subset, split, index), subset, split)
    row = {"name": f"{split}_{index:05d}", "split": split, "category": clip.category}
    paths = ClipPaths(output, subset, split, row["name"], clip.category)
    write_clip(clip, paths, LAYOUTS[subset].annotated_frames(split))
    values = (row[key] for key in ("name", "split", "category"))
    row = dict(zip(LAYOUTS[subset].columns, values)) | {OBJECTS_COLUMN: OBJECTS_SEPARATOR.join(clip.objects)}
    return row, oracle_scores(clip) if split == "test" else []


def _make_all(job, tasks, workers):
    progress = {"total": len(tasks), "desc": f"{job[2]} clips", "unit": "clip", "mininterval": 1}
    if workers <= 1:
        _start_worker(job)
        return list(tqdm(map(_make_one, tasks), **progress))
    with multiprocessing.Pool(workers, _start_worker, (job,)) as pool:
        return list(tqdm(pool.imap(_make_one, tasks, chunksize=4), **progress))


def prepare_subset(get_maker, arguments, output, subset, counts, seed, workers):
    """Write one subset, unless a finished one made with the same arguments is there.

    Args:
        get_maker: () -> a picklable object with `make_clip(rng, subset, split) -> Clip`; called only if clips are made.
        arguments: dict of all that decides the clips' content.
        counts: clips in train, val and test.

    Returns:
        float: mJ of the audio-blind oracle on the test split.
    """
    folder = (Path(output) / LAYOUTS[subset].csv_file).parent
    manifest_path = folder / "manifest.json"
    manifest = {"format_version": FORMAT_VERSION, "subset": subset, "clips": list(counts), "seed": seed, **arguments}
    old = json.loads(manifest_path.read_text()) if manifest_path.is_file() else None
    if old is None and folder.is_dir() and any(folder.iterdir()):
        raise AVSDatasetError(f"{folder} holds files that this script did not make: remove it or change --output")
    if old is not None and old == {**manifest, "oracle_mJ": old.get("oracle_mJ")} and old["oracle_mJ"] is not None:
        _write_oracle(output, subset, old["oracle_mJ"])
        print(f"{folder} is already made with these arguments; audio-blind oracle on test: mJ {old['oracle_mJ']:.4f}")
        return old["oracle_mJ"]
    maker, start = get_maker(), time.perf_counter()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    manifest_path.write_text(json.dumps(manifest, indent=1) + "\n")  # marks the folder as ours while it is unfinished
    tasks = [(split, index) for split, count in zip(SPLITS, counts) for index in range(count)]
    rows, scores = zip(*_make_all((maker, output, subset, seed), tasks, workers))
    write_table(output, subset, rows)
    oracle = round(float(np.concatenate(scores).mean()), 4)
    manifest_path.write_text(json.dumps({**manifest, "oracle_mJ": oracle}, indent=1) + "\n")
    _write_oracle(output, subset, oracle)
    seconds = time.perf_counter() - start
    print(f"{folder}: {len(tasks)} clips in {seconds:.0f} s; audio-blind oracle on test: mJ {oracle:.4f}")
    return oracle


def _write_oracle(output, subset, oracle):
    path = Path(output) / "oracle.json"
    scores = json.loads(path.read_text()) if path.is_file() else {}
    scores[subset] = {"split": "test", "mJ": oracle}
    path.write_text(json.dumps(scores, indent=1, sort_keys=True) + "\n")


# ---- Command line ----------------------------------------------------------------------------------------------------


def make_parser(description, prefix, size):
    """The options both makers share; `prefix` is the registered prefix, as in `DATASET_FOLDERS`."""
    folder = DATASET_FOLDERS[prefix]
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--output",
        default=os.path.join(datasets_root(), folder),
        help=f"folder to write to (default: $DETECTRON2_DATASETS/{folder}, or datasets/{folder})",
    )
    parser.add_argument("--subset", choices=[*LAYOUTS, "both"], default="both")
    parser.add_argument("--seed", type=int, default=0, help="the same seed makes the same files (default: 0)")
    parser.add_argument("--size", type=int, default=size, help=f"pixels of a frame's side (default: {size})")
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    return parser


def check_size_and_seed(args):
    if args.size < MIN_SIZE:
        sys.exit(f"--size is {args.size}, expected at least {MIN_SIZE}: smaller objects cannot be told apart")
    if args.seed < 0:
        sys.exit(f"--seed is {args.seed}, expected 0 or more")


def run_maker(args, get_maker, counts, arguments):
    """Make the subsets asked for on the command line. `counts`: {subset: clips in train, val and test}."""
    check_size_and_seed(args)
    for subset in LAYOUTS if args.subset == "both" else [args.subset]:
        if min(counts[subset]) < 1:
            sys.exit(f"{counts[subset]} clips in train, val and test: expected at least 1 of each")
        try:
            prepare_subset(get_maker, arguments, args.output, subset, counts[subset], args.seed, args.workers)
        except AVSDatasetError as error:
            sys.exit(str(error))
