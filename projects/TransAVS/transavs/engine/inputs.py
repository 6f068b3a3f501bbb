"""Clips as the loaders of training and of evaluation give them to a model."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from detectron2.utils.env import seed_all_rng
from torch.utils.data import ConcatDataset

from ..data import AVSDatasetError
from .trainer import AVSTrainer, check_datasets

Clip = dict[str, Any]


def model_inputs(cfg: CfgNode, split: str, num_clips: int, video_ids: Sequence[str] | None = None) -> Iterator[Clip]:
    """Yields clips as AVSTrainer's loaders give them, each once; with the sound, whatever INPUT.AUDIO.EMBEDDINGS has.

    Args:
        cfg: its SEED decides what augmentation does.
        split: "train" gives the first clips that training would see, augmented; "test" clips spread over DATASETS.TEST.
        num_clips: how many, if there are as many.
        video_ids: these in their place.

    Raises:
        AVSDatasetError: a dataset or a clip that was asked for is not there; it names what there is.
    """
    key = split.upper()
    try:
        check_datasets(cfg, (key,))
    except KeyError as error:
        raise AVSDatasetError(error.args[0]) from error
    known = [clip["video_id"] for name in cfg.DATASETS[key] for clip in DatasetCatalog.get(name)]
    for video_id in video_ids or ():
        if video_id not in known:
            raise AVSDatasetError(f"{video_id}: no such clip in DATASETS.{key}, {', '.join(cfg.DATASETS[key])}")
    cfg = cfg.clone()
    cfg.defrost()
    cfg.INPUT.AUDIO.EMBEDDINGS = ""
    seed_all_rng(cfg.SEED if cfg.SEED >= 0 else None)
    read = _training_clips if split == "train" else _test_clips
    yield from read(cfg, known, min(num_clips, len(known)), video_ids)


def _training_clips(cfg: CfgNode, known: list[str], num_clips: int, video_ids: Sequence[str] | None) -> Iterator[Clip]:
    """In the order of training, which goes on for ever and passes every clip."""
    wanted = set(video_ids or known)
    count = len(wanted) if video_ids else num_clips
    stream = itertools.chain.from_iterable(AVSTrainer.build_train_loader(cfg))
    while count:
        clip = next(stream)
        if clip["video_id"] in wanted:
            wanted.remove(clip["video_id"])
            count -= 1
            yield clip


def _test_clips(cfg: CfgNode, known: list[str], num_clips: int, video_ids: Sequence[str] | None) -> Iterator[Clip]:
    """Those asked for, or evenly spread over the datasets."""
    loaded: ConcatDataset[Clip] = ConcatDataset(
        [AVSTrainer.build_test_loader(cfg, name).dataset for name in cfg.DATASETS.TEST]
    )
    spread = [index * len(known) // num_clips for index in range(num_clips)]
    for index in [known.index(video_id) for video_id in video_ids] if video_ids else spread:
        yield loaded[index]
