"""Training ends at a loss that is no finite number, before the model changes by it."""

import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from detectron2.engine import SimpleTrainer
from torch import Tensor, nn

logger = logging.getLogger(__name__)


class FiniteTrainer(SimpleTrainer):
    """SimpleTrainer that names the clips and the term of a loss that is infinite or NaN.

    Raises:
        FloatingPointError: from a step with such a loss, where `_leaves_out_step` does not allow for it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._batch: Sequence[dict[str, Any]] = ()
        self.model.register_forward_pre_hook(self._remember)

    def _remember(self, model: nn.Module, inputs: tuple[Any, ...]) -> None:
        self._batch = inputs[0]

    def _write_metrics(
        self, loss_dict: Mapping[str, Tensor], data_time: float, prefix: str = "", iter: int | None = None
    ) -> None:
        """SimpleTrainer's; it is called when the gradients are known and the model is still as it was."""
        values = torch.stack([loss.detach().float() for loss in loss_dict.values()]).cpu()  # a GPU is waited for once
        wrong = next((name for name, value in zip(loss_dict, values.tolist()) if not math.isfinite(value)), None)
        if wrong is not None:
            clips = ", ".join(clip.get("video_id", "?") for clip in self._batch)
            told = f"{wrong} is {loss_dict[wrong].item()} in iteration {self.iter}, of the clips {clips}"
            if not self._leaves_out_step():
                raise FloatingPointError(told)
            logger.warning("%s: the step is left out.", told)
        try:  # in which all processes meet
            self.write_metrics(dict(zip(loss_dict, values)), data_time, self.iter if iter is None else iter, prefix)
        except FloatingPointError:
            if not self._leaves_out_step():
                raise

    def _leaves_out_step(self) -> bool:
        """Whether the optimizer does nothing at such a loss."""
        return False
