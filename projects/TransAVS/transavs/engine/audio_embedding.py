"""The audio backbone's features of a dataset's sounds, computed once: what `INPUT.AUDIO.EMBEDDINGS` names."""

import os
from collections.abc import Iterator, Sequence
from typing import Any

import safetensors.torch
import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from ..data.audio_embeddings import KEY, SETTINGS, WEIGHTS, audio_settings, configured_embeddings, sound_key
from ..data.errors import AVSDatasetError
from ..data.reading import ClipReader
from ..weights.checkpointer import AVSCheckpointer
from ..weights.comparing import digest_of
from ..weights.initializing import initialize_parts
from ..weights.published import WeightsError
from ..weights.writing import written_whole

Clip = dict[str, Any]


def trained_audio_backbone(cfg: CfgNode) -> nn.Module:
    """The config's, with the weights that a training would start from: MODEL.WEIGHTS', or its own.

    Raises:
        WeightsError: neither has any, or they cannot be had or read.
    """
    model = build_model(cfg).eval()
    checkpointer = AVSCheckpointer(model, cfg=cfg)
    checkpointer.load(cfg.MODEL.WEIGHTS, other_shapes=True)
    filled = checkpointer.filled | initialize_parts(model, cfg, leave=checkpointer.filled | {"backbone"})
    if "audio_backbone" not in filled:
        raise WeightsError(
            "neither MODEL.WEIGHTS nor MODEL.AUDIO_BACKBONE.WEIGHTS has weights for the audio backbone, which is to be "
            "a trained one"
        )
    backbone: nn.Module = model.get_submodule("audio_backbone")
    return backbone


def clips_with_sounds(cfg: CfgNode) -> list[Clip]:
    """Those of DATASETS.TRAIN, VAL and TEST; not of datasets that are composed anew each time.

    Raises:
        AVSDatasetError: a dataset is missing or broken, or none has files.
    """
    names = dict.fromkeys([*cfg.DATASETS.TRAIN, *cfg.DATASETS.VAL, *cfg.DATASETS.TEST])
    on_disk = [name for name in names if not MetadataCatalog.get(name).get("training_only")]
    if not on_disk:
        raise AVSDatasetError(f"DATASETS: {', '.join(names) or 'none'}, expected one whose sounds are files")
    return [clip for name in on_disk for clip in DatasetCatalog.get(name)]


class _Sounds(Dataset[tuple[str, Tensor]]):
    """Each clip's sound as log-mel examples, with its key."""

    def __init__(self, clips: Sequence[Clip], cfg: CfgNode):
        self.clips, self.num_frames, self.resampler = clips, cfg.MODEL.TRANSAVS.NUM_FRAMES, cfg.INPUT.AUDIO.RESAMPLER
        self.read = ClipReader(is_train=False, num_frames=self.num_frames)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, index: int) -> tuple[str, Tensor]:
        clip = self.clips[index]
        seconds = min(len(clip["file_names"]), self.num_frames)
        log_mel = self.read.read_sound(clip).examples(seconds, self.resampler)
        return sound_key(clip), log_mel


@torch.no_grad()
def embed_sounds(cfg: CfgNode, clips: Sequence[Clip], audio_backbone: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Yields each clip's key and features [seconds, C], on the CPU.

    Raises:
        AudioError, AVSDatasetError, UnsafePickleError: a sound cannot be read; it is named.
    """
    device = next(audio_backbone.parameters()).device
    loader = DataLoader(_Sounds(clips, cfg), batch_size=None, num_workers=cfg.DATALOADER.NUM_WORKERS)
    for key, log_mel in loader:
        yield key, audio_backbone(log_mel.to(device)).cpu()


def write_embeddings(
    path: str | os.PathLike[str], cfg: CfgNode, features: dict[str, Tensor], audio_backbone: nn.Module
) -> None:
    """
    Args:
        path: of the file.
        cfg: whose settings the features were made with.
        features: as `embed_sounds` yields them.
        audio_backbone: that made them.

    Raises:
        OutputError: the file cannot be written.
    """
    metadata = {SETTINGS: audio_settings(cfg), WEIGHTS: digest_of(audio_backbone.state_dict())}
    with written_whole(path) as file:
        file.write(safetensors.torch.save(features, metadata))


def check_embeddings(cfg: CfgNode, model: nn.Module) -> None:
    """
    Raises:
        AVSDatasetError: INPUT.AUDIO.EMBEDDINGS names features that the model's audio backbone did not make.
    """
    embeddings = configured_embeddings(cfg, is_train=False)
    if embeddings is None:
        return
    whole = model.module if isinstance(model, DistributedDataParallel) else model
    if embeddings.weights != digest_of(whole.get_submodule("audio_backbone").state_dict()):
        raise AVSDatasetError(
            f"{KEY} {embeddings.path}: was made by other weights than those of the model's audio backbone: make it "
            "anew with tools/embed_audio.py"
        )
