"""Training clips as a stream: its order, and all that chance makes of a clip, follow from a seed and the place in it.

So a training that goes on at some place sees what it would have seen had it never stopped, however many workers it has.
"""

import contextlib
import itertools
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetFromList
from detectron2.data.build import trivial_batch_collator
from detectron2.data.samplers import TrainingSampler
from detectron2.utils import comm
from torch.utils.data import DataLoader, Dataset, Sampler

Clip = dict[str, Any]
Mapper = Callable[[Clip], Clip]


class Place(NamedTuple):
    """Of a clip in the stream.

    Args:
        seed: the stream's.
        position: in the stream, from 0, over all processes.
        clip: which one it is, of all the training clips.
    """

    seed: int
    position: int
    clip: int


@contextlib.contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Python's, numpy's and torch's (CPU) global random numbers follow from `entropy` inside, and are as before after.

    Args:
        entropy: numbers, none below 0.
    """
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    words = np.random.SeedSequence(entropy).generate_state(3)
    random.seed(int(words[0]))
    np.random.seed(words[1])
    torch.default_generator.manual_seed(int(words[2]))
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


class TrainingOrder(Sampler[list[Place]]):
    """One process's batches, in the order of Detectron2's TrainingSampler, from any position on.

    Attributes:
        seed (int), position (int): where an iteration over it starts; may be set.

    Args:
        size: how many clips there are.
        batch_size: clips of this process.
        seed: of the stream.
    """

    def __init__(self, size: int, batch_size: int, seed: int):
        self.size, self.batch_size = size, batch_size
        self.seed, self.position = seed, 0

    def __iter__(self) -> Iterator[list[Place]]:
        rank, step = comm.get_rank(), comm.get_world_size()
        share = TrainingSampler(self.size, seed=self.seed)  # of this process
        clips = itertools.islice(share, self.position // step, None)
        positions = itertools.count(self.position + rank, step)
        places = (Place(self.seed, position, clip) for position, clip in zip(positions, clips))
        while batch := list(itertools.islice(places, self.batch_size)):
            yield batch


class TrainingClips(Dataset[Clip]):
    """Clips as the mapper makes them, by their place in the stream."""

    def __init__(self, clips: Sequence[Clip], mapper: Mapper):
        self.clips = DatasetFromList(list(clips), copy=False)  # in memory that the workers share
        self.mapper = mapper

    def __getitem__(self, place: Place) -> Clip:
        with seeded(place.seed, place.position):
            return self.mapper(self.clips[place.clip])


def build_training_loader(cfg: CfgNode, clips: Sequence[Clip], mapper: Mapper) -> DataLoader[Clip]:
    """Detectron2's `build_detection_train_loader`, whose batches follow from a seed: see `TrainingOrder`.

    Returns:
        DataLoader: without an end, of lists of clips; its `batch_sampler` is a TrainingOrder.

    Raises:
        ValueError: a key of the config has a value that cannot be used.
    """
    batch_size, processes = cfg.SOLVER.IMS_PER_BATCH, comm.get_world_size()
    if batch_size < 1 or batch_size % processes:
        raise ValueError(f"SOLVER.IMS_PER_BATCH is {batch_size}, expected a multiple of the {processes} processes")
    if cfg.DATALOADER.SAMPLER_TRAIN != "TrainingSampler":
        raise ValueError(f"DATALOADER.SAMPLER_TRAIN is {cfg.DATALOADER.SAMPLER_TRAIN!r}, expected 'TrainingSampler'")
    return DataLoader(
        TrainingClips(clips, mapper),
        batch_sampler=TrainingOrder(len(clips), batch_size // processes, comm.shared_random_seed()),
        num_workers=cfg.DATALOADER.NUM_WORKERS,
        collate_fn=trivial_batch_collator,
        worker_init_fn=leave_signals_to_trainer,
        generator=torch.Generator(),  # the loader draws a number that nothing uses: not from the model's
    )


def leave_signals_to_trainer(worker_id: int) -> None:
    """For a loader's `worker_init_fn`: of what is sent to a training's processes, the worker heeds its trainer alone.

    Ctrl-C, and who takes the machine back, mean all processes at once; but without workers the trainer could not finish
    the step that it is in.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwaitinfo"):  # macOS has none, nor the schedulers that take a machine back
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        threading.Thread(target=_end_with_trainer, daemon=True).start()


def _end_with_trainer() -> None:
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != os.getppid():
        pass
    os._exit(0)
