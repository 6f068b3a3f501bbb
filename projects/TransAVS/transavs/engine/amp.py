"""Mixed precision on GPUs and CPUs that goes on after an overflow."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from detectron2.engine import train_loop
from torch import nn
from torch.amp import GradScaler

from .finite_losses import FiniteTrainer

PRECISIONS = {"float16": torch.float16, "bfloat16": torch.bfloat16}
MIN_SCALE = 2.0**-14  # below it nothing is left to be lowered: the numbers are not too large but wrong


class AMPTrainer(FiniteTrainer, train_loop.AMPTrainer):
    """Detectron2's, on any device; where float16 overflows, forward or backward, the step is left out.

    The scale of the losses is halved then, as GradScaler does. bfloat16 has float32's range and needs no scale.

    Args:
        precision: of `PRECISIONS`.

    Raises:
        FloatingPointError: from a step, where losses stay infinite or NaN though their scale is at its lowest.
    """

    def __init__(self, model: nn.Module, data_loader: Iterable[Any], optimizer: torch.optim.Optimizer, precision: str):
        self.device_type = next(model.parameters()).device.type
        scaler = GradScaler(self.device_type, enabled=precision == "float16")
        super().__init__(model, data_loader, optimizer, grad_scaler=scaler, precision=PRECISIONS[precision])

    def run_step(self) -> None:
        start = time.perf_counter()
        data = next(self._data_loader_iter)
        data_time = time.perf_counter() - start
        self.optimizer.zero_grad()
        with torch.autocast(self.device_type, self.precision):
            losses = self.model(data)
        self.grad_scaler.scale(sum(losses.values())).backward()
        self.after_backward()
        self._write_metrics(losses, data_time)
        self.grad_scaler.step(self.optimizer)
        self.grad_scaler.update()

    def _leaves_out_step(self) -> bool:
        return self.grad_scaler.is_enabled() and self.grad_scaler.get_scale() >= MIN_SCALE

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Of a run in float32 too, which has no scale of its losses."""
        super().load_state_dict({"grad_scaler": self.grad_scaler.state_dict(), **state_dict})
