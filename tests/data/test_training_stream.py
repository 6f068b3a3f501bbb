"""The stream of training clips: the same from any place on, with any number of workers and processes."""

import os
import random
import signal
import subprocess
import time

import numpy as np
import pytest
import torch
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset

from transavs.data.training_stream import build_training_loader, leave_signals_to_trainer, seeded


def draw():
    return random.random(), np.random.random(), torch.rand(1).item()


def draw_for(clip):
    return clip["video_id"], *draw()


@pytest.fixture
def make_loader(small_cfg):
    """Makes a loader of batches of four out of ten clips, each with what is drawn for it, from a position on."""

    def make(position=0, seed=5, *overrides):
        cfg = small_cfg("SOLVER.IMS_PER_BATCH", 4, "DATALOADER.NUM_WORKERS", 0, *overrides)
        loader = build_training_loader(cfg, [{"video_id": number} for number in range(10)], draw_for)
        loader.batch_sampler.seed, loader.batch_sampler.position = seed, position
        return loader

    return make


def take(loader, number):
    return [batch for batch, _ in zip(loader, range(number))]


def test_random_numbers_are_those_of_the_seed_inside_and_go_on_as_before_after():
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    expected = draw(), draw()
    torch.manual_seed(0), np.random.seed(0), random.seed(0)
    before = draw()
    with seeded(3, 4):
        first = draw()
    with seeded(3, 4):
        again = draw()
    with seeded(3, 5):
        other = draw()
    assert (before, draw()) == expected
    assert first == again and not set(first) & set(other)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_the_stream_goes_on_at_any_place_with_any_number_of_workers(make_loader, workers):
    whole = take(make_loader(), 6)
    later = take(make_loader(12, 5, "DATALOADER.NUM_WORKERS", workers), 3)
    assert later == whole[3:]
    assert take(make_loader(12, 6), 3) != later


def test_each_pass_shows_every_clip_once_and_draws_anew(make_loader):
    clips = [clip for batch in take(make_loader(), 5) for clip in batch]
    first, second = [name for name, *_ in clips[:10]], [name for name, *_ in clips[10:]]
    assert sorted(first) == sorted(second) == list(range(10)) and first != second
    assert len({drawn for _, *numbers in clips for drawn in numbers}) == 3 * len(clips)


@pytest.mark.parametrize("position", [0, 8])
def test_processes_share_the_stream(make_loader, monkeypatch, position):
    whole = take(make_loader(position), 2)
    monkeypatch.setattr(comm, "get_world_size", lambda: 2)
    monkeypatch.setattr(comm, "shared_random_seed", lambda: 0)
    shares = []
    for rank in range(2):
        monkeypatch.setattr(comm, "get_rank", lambda rank=rank: rank)
        shares.append(take(make_loader(position), 2))
    assert [len(batch) for share in shares for batch in share] == [2] * 4
    for batch, first, second in zip(whole, *shares):
        assert batch == [first[0], second[0], first[1], second[1]]


def test_what_the_stream_cannot_do_names_the_key(make_loader, monkeypatch):
    with pytest.raises(ValueError, match="DATALOADER.SAMPLER_TRAIN is 'RepeatFactor.*', expected 'TrainingSampler'"):
        make_loader(0, 5, "DATALOADER.SAMPLER_TRAIN", "RepeatFactorTrainingSampler")
    monkeypatch.setattr(comm, "get_world_size", lambda: 3)
    with pytest.raises(ValueError, match="SOLVER.IMS_PER_BATCH is 4, expected a multiple of the 3 processes"):
        make_loader()


class SlowClips(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        time.sleep(0.2)
        return os.getpid()


@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_a_worker_goes_on_when_all_processes_are_told_to_stop(name):
    iterator = iter(DataLoader(SlowClips(), num_workers=1, worker_init_fn=leave_signals_to_trainer))
    pid = next(iterator).item()
    subprocess.run(["kill", "-s", name, str(pid)], check=True)
    assert [batch.item() for batch in iterator] == [pid] * 3


def test_a_worker_ends_when_its_trainer_tells_it():
    iterator = iter(DataLoader(SlowClips(), num_workers=1, worker_init_fn=leave_signals_to_trainer))
    pid = next(iterator).item()
    os.kill(pid, signal.SIGTERM)
    (worker,) = iterator._workers
    worker.join(5)
    assert (worker.pid, worker.exitcode) == (pid, 0)
