"""All that is random in a training follows from one seed, which its checkpoints hold."""

from typing import Any

import numpy as np
import torch
from detectron2.engine import HookBase
from detectron2.utils import comm

from ..data.training_stream import TrainingOrder


class Randomness(HookBase):
    """Lets a resumed training see the clips, and drop the units, that it would have had it never stopped.

    What the model draws follows from the seed, the iteration and the process; what is drawn for a clip from the seed
    and the clip's place in the stream, see `TrainingOrder`.

    Args:
        batch_size: clips of an iteration, in all processes.
    """

    def __init__(self, batch_size: int):
        self._batch_size = batch_size
        self._seed = comm.shared_random_seed()

    def before_train(self) -> None:
        order = getattr(self.trainer.data_loader, "batch_sampler", None)
        if isinstance(order, TrainingOrder):
            order.seed, order.position = self._seed, self.trainer.start_iter * self._batch_size

    def before_step(self) -> None:
        entropy = np.random.SeedSequence((self._seed, self.trainer.iter, comm.get_rank()))
        torch.manual_seed(int(entropy.generate_state(1, np.uint64)[0]))

    def state_dict(self) -> dict[str, Any]:
        return {"seed": self._seed}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seed = state["seed"]
