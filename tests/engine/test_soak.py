"""Long runs hold no more memory and no more open files in the end than early on."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from statistics import median

import numpy as np
import pytest
import soaking

from transavs.video import VideoWriter

RATE = 16000
STEPS, VIDEOS = 2000, 500


@pytest.fixture
def alone(monkeypatch):
    """Calls a function in a fresh process, which no other test has used.

    It has a single heap. By default glibc gives threads up to eight heaps a core, and what is free in each it keeps:
    they fill by chance, in steps, long after the first fifth of a run.
    """
    monkeypatch.setenv("MALLOC_ARENA_MAX", "1")
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda function, *arguments: pool.submit(function, *arguments).result()


@pytest.fixture
def videos(tmp_path):
    """Eight videos of other lengths and sizes; the third is silent, the sixth cut off, and the last no video."""
    rng = np.random.default_rng(0)
    paths = [tmp_path / f"{number}.mp4" for number in range(8)]
    for number, path in enumerate(paths[:-1]):
        height, width, seconds = 32 + 16 * (number % 2), 48 + 16 * (number % 3), 1 + number
        sound = None if number == 2 else (0.1 * rng.normal(size=seconds * RATE), RATE)
        with VideoWriter(path, height, width, fps=2, audio=sound) as writer:
            for frame in range(2 * seconds):
                writer.write(rng.integers(0, 256, (height, width, 3), dtype=np.uint8), frame / 2, 0.5)
    paths[5].write_bytes(paths[5].read_bytes()[:-3000])
    paths[-1].write_bytes(b"no video")
    return paths


def assert_flat(uses):
    """Of memory, after the first fifth, in which what is kept for later fills."""
    warm = len(uses) // 5
    early, late = uses[:warm], uses[warm:]
    told = [f"{use.mebibytes:.0f} MiB, {use.files} files" for use in uses]
    assert max(use.mebibytes for use in late) <= 1.05 * max(use.mebibytes for use in early), told


@pytest.mark.long(minutes=3)
def test_two_thousand_steps_hold_no_more_than_the_first(alone, run_script, small_cfg, tmp_path, monkeypatch):
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--output", tmp_path / "toy", "--clips", 8, 2, 1)
    assert made.returncode == 0, made.stdout
    monkeypatch.setenv("DETECTRON2_DATASETS", str(tmp_path))
    cfg = small_cfg(
        *("MODEL.BACKBONE.NAME", "build_timm_backbone", "MODEL.TIMM.NAME", "test_resnet", "SEED", 1),
        *("INPUT.IMAGE_SIZE", 32, "INPUT.MIN_SIZE_TEST", 32, "INPUT.MIXING.PROBABILITY", 0.5),
        *("SOLVER.IMS_PER_BATCH", 2, "SOLVER.MAX_ITER", STEPS, "SOLVER.CHECKPOINT_PERIOD", 200),
        *("TEST.EVAL_PERIOD", 400, "DATALOADER.NUM_WORKERS", 1, "OUTPUT_DIR", str(tmp_path / "out")),
    )
    uses = alone(soaking.train, cfg, STEPS // 40)
    assert len(uses) == 40
    assert_flat(uses)
    # Up to seven files more are open while batches pass from the worker. Right after an evaluation, which falls into
    # the first eight measurements and into the last sixteen, none passes.
    files = [use.files for use in uses]
    assert min(files[-16:]) <= min(files[:8]) + 2, files


@pytest.mark.long
def test_five_hundred_videos_hold_no_more_than_the_first(alone, trained, videos):
    uses, segmented = alone(soaking.predict, trained, videos, VIDEOS, VIDEOS // 50)
    assert len(uses) == 50 and VIDEOS * 6 / 8 - 8 < segmented < VIDEOS * 7 / 8 + 8
    assert_flat(uses)
    files = [use.files for use in uses]
    assert median(files[-10:]) <= max(files[:10]), files
