"""Detectron2's checkpoints, read without running what a file may carry."""

import os
from typing import Any

from detectron2.utils import comm
from detectron2.utils.file_io import PathManager
from fvcore.common.checkpoint import Checkpointer
from torch import nn

from .comparing import first_names
from .conversion import convert_state_dict
from .kinds import recognize
from .published import WeightsError, local_file
from .reading import read_checkpoint


class AVSCheckpointer(Checkpointer):
    """Loads whole models: what a trainer of TransAVS or `DetectionCheckpointer` wrote, or a Mask2Former, converted.

    `DetectionCheckpointer` would unpickle any `.pkl`, and so run what is in it.

    Attributes:
        filled (set[str]): the model's parts, by name, for which the file that was loaded last had weights.
    """

    def __init__(self, model: nn.Module, save_dir: str = "", **checkpointables: Any) -> None:
        """
        Args:
            model: TransAVS.
            save_dir: where checkpoints are written.
            checkpointables: what is saved and resumed beside the model, by name.
        """
        super().__init__(model, save_dir, save_to_disk=comm.is_main_process(), **checkpointables)
        self.path_manager = PathManager
        self.filled: set[str] = set()

    def load(self, path: str | os.PathLike[str], checkpointables: list[str] | None = None) -> dict[str, Any]:
        """`Checkpointer.load`, of a path or an address, see `local_file`; "" loads nothing.

        Raises:
            WeightsError: the file is missing, unreadable or asks to run code; nothing in it is of this model; or it is
                a Mask2Former that does not fit as a whole.
        """
        path = os.fspath(path)
        self.filled = set()
        try:
            return super().load(local_file(path) if path else path, checkpointables)
        except WeightsError as error:
            told = str(error)
            raise WeightsError(told if told.startswith(path) else f"{path}: {told}") from error

    def _load_file(self, path: str) -> dict[str, Any]:
        """fvcore's hook: `path` is a local file."""
        checkpoint = read_checkpoint(path)
        found, expected = checkpoint["model"], self.model.state_dict()
        source = recognize(found, self.model)
        if source is not None and not source.part:  # a Mask2Former
            checkpoint["model"] = self._convert(found, path)
        elif not found.keys() & expected.keys():
            told = f"{source.name}, for MODEL.{source.part.upper()}.WEIGHTS" if source else first_names(found)
            raise WeightsError(f"{path}: holds no weights of a whole TransAVS, or of a Mask2Former, but: {told}")
        self.filled = {name.split(".")[0] for name in checkpoint["model"] if name in expected}
        return checkpoint

    def _convert(self, found: dict[str, Any], path: str) -> dict[str, Any]:
        conversion = convert_state_dict(found, path, self.model)
        if not conversion.complete:
            raise WeightsError(conversion.report())
        self.logger.info(conversion.report())
        return conversion.comparison.matched
