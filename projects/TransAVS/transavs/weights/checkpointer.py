"""Detectron2's checkpoints: written as a whole or not at all, and read without running what a file may carry."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from fvcore.common.checkpoint import Checkpointer
from torch import nn

from .comparing import first_names
from .conversion import convert_state_dict
from .kinds import recognize
from .left_out import LeftOutError, completed, without_audio_backbone
from .other_shapes import OtherModelError, fit_to, require_shapes
from .published import WeightsError, local_file
from .reading import read_checkpoint
from .writing import written_whole

LAST_CHECKPOINT = "last_checkpoint"  # Detectron2's file that names the newest one
TRAINERS_FILE = re.compile(r"model_(\d+|final|best)\.pth")


class AVSCheckpointer(Checkpointer):
    """Loads whole models: what a trainer of TransAVS or `DetectionCheckpointer` wrote, or a Mask2Former, converted.

    `DetectionCheckpointer` would unpickle any `.pkl`, and so run what is in it; and it writes a checkpoint over the one
    of the same name, so that a process that is killed meanwhile leaves neither.

    Attributes:
        filled (set[str]): the model's parts, by name, for which the file that was loaded last had weights.
        resumed (bool): whether `resume_or_load` found a checkpoint to go on from.
    """

    def __init__(
        self, model: nn.Module, save_dir: str = "", cfg: CfgNode | None = None, **checkpointables: Any
    ) -> None:
        """
        Args:
            model: TransAVS.
            save_dir: where checkpoints are written.
            cfg: that the model was built from; its MODEL.AUDIO_BACKBONE tells whether checkpoints hold the audio
                backbone, and gives it to those that do not.
            checkpointables: what is saved and resumed beside the model, by name.
        """
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)
        self.path_manager = PathManager
        self.filled: set[str] = set()
        self.resumed = False
        self._other_shapes = False
        self._cfg = cfg

    def save(self, name: str, **kwargs: Any) -> None:
        """`Checkpointer.save`; the file is there once it is whole.

        Raises:
            OutputError: it cannot be written; the checkpoints before it are as they were.
        """
        if not self.save_dir or not self.save_to_disk:
            return
        states = {key: checkpointable.state_dict() for key, checkpointable in self.checkpointables.items()}
        path = Path(self.save_dir, f"{name}.pth")
        whole = self._cfg is None or self._cfg.MODEL.AUDIO_BACKBONE.IN_CHECKPOINTS
        weights = {"model": self.model.state_dict()} if whole else without_audio_backbone(self.model)
        self.logger.info("Saving checkpoint to %s", path)
        with written_whole(path) as file:
            torch.save({**weights, **states, **kwargs}, file)
        self.tag_last_checkpoint(path.name)

    def tag_last_checkpoint(self, last_filename_basename: str) -> None:
        with written_whole(Path(self.save_dir, LAST_CHECKPOINT)) as file:
            file.write(last_filename_basename.encode())

    def resume_or_load(self, path: str, *, resume: bool = True, other_shapes: bool = False) -> dict[str, Any]:
        """`Checkpointer.resume_or_load`; of the checkpoints in `save_dir` the newest that can be read counts.

        Args:
            path: of the weights to load where nothing is resumed from.
            resume: whether the checkpoints in `save_dir` go before.
            other_shapes: of `path`, see `load`.

        Raises:
            WeightsError: see `load`; or the newest checkpoint is of a model with other shapes, or without an audio
                backbone that can be had.
        """
        for checkpoint in self._newest_first() if resume else ():
            try:
                rest = self.load(checkpoint)
            except (OtherModelError, LeftOutError):
                raise  # the config is another one: to start anew would write over what was trained
            except WeightsError as error:
                self.logger.warning("Not resumed from: %s", error)
            else:
                self.resumed = True
                return rest
        self.resumed = False
        return self.load(path, checkpointables=[], other_shapes=other_shapes)

    def has_checkpoint(self) -> bool:
        return any(self._newest_first())

    def _newest_first(self) -> Iterator[str]:
        """What may be resumed from: first the file that Detectron2's `last_checkpoint` names, then by their time."""
        try:
            last = self.get_checkpoint_file()
        except UnicodeDecodeError:  # after a loss of power a file may hold anything
            last = ""
        if os.path.isfile(last):
            yield last
        files = [file for file in Path(self.save_dir).glob("*.pth") if TRAINERS_FILE.fullmatch(file.name)]
        for file in sorted(files, key=lambda file: file.stat().st_mtime_ns, reverse=True):
            if str(file) != last:
                yield str(file)

    def load(
        self, path: str | os.PathLike[str], checkpointables: list[str] | None = None, other_shapes: bool = False
    ) -> dict[str, Any]:
        """`Checkpointer.load`, of a path or an address, see `local_file`; "" loads nothing.

        Args:
            path: of the file.
            checkpointables: what is loaded beside the model, by name; None for all.
            other_shapes: whether it may be a model of other classes, or of clips of another length, as where training
                starts from another subset's: see `fit_to`. One warning tells what did not fit.

        Raises:
            WeightsError: the file is missing, unreadable or asks to run code; nothing in it is of this model; weights
                are of another shape; it is a Mask2Former that does not fit as a whole; or it was written without the
                audio backbone, which MODEL.AUDIO_BACKBONE.WEIGHTS does not give.
        """
        path = os.fspath(path)
        self.filled = set()
        self._other_shapes = other_shapes
        try:
            return super().load(local_file(path) if path else path, checkpointables)
        except WeightsError as error:
            told = str(error)
            raise type(error)(told if told.startswith(path) else f"{path}: {told}") from error

    def _load_file(self, path: str) -> dict[str, Any]:
        """fvcore's hook: `path` is a local file."""
        checkpoint = completed(read_checkpoint(path), path, self.model, self._cfg)
        found, expected = checkpoint["model"], self.model.state_dict()
        source = recognize(found, self.model)
        if source is not None and not source.part:  # a Mask2Former
            checkpoint["model"] = self._convert(found, path)
        elif not found.keys() & expected.keys():
            told = f"{source.name}, for MODEL.{source.part.upper()}.WEIGHTS" if source else first_names(found)
            raise WeightsError(f"{path}: holds no weights of a whole TransAVS, or of a Mask2Former, but: {told}")
        else:
            checkpoint["model"] = self._fit(found, expected, path)
        self.filled = {name.split(".")[0] for name in checkpoint["model"] if name in expected}
        return checkpoint

    def _fit(self, found: dict[str, Any], expected: dict[str, Any], path: str) -> dict[str, Any]:
        if not self._other_shapes:
            require_shapes(found, expected, path)
            return found
        weights, told = fit_to(found, expected, path, self.model.audio_query_encoder.audio_context == "frame")
        if told:
            self.logger.warning("%s: weights of another shape than the model's: %s", path, told)
        return weights

    def _convert(self, found: dict[str, Any], path: str) -> dict[str, Any]:
        conversion = convert_state_dict(found, path, self.model)
        if not conversion.complete:
            raise WeightsError(conversion.report())
        self.logger.info(conversion.report())
        return conversion.comparison.matched
