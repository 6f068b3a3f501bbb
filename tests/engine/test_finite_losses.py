"""A loss that is no number ends the training before it reaches the model."""

import math

import pytest
import torch
from detectron2.utils.events import EventStorage
from torch import nn

from transavs.engine.finite_losses import FiniteTrainer


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, clips):
        return {"loss_class": self.weight.sum(), "loss_dice": sum(clip["factor"] for clip in clips) * self.weight.sum()}


@pytest.fixture
def trainer():
    """Steps of two clips; in the third one, the second clip's factor is not finite."""
    model = Model()
    batches = [[{"video_id": f"a{n}", "factor": 1.0}, {"video_id": f"b{n}", "factor": 2.0}] for n in range(3)]
    batches[2][1]["factor"] = math.nan
    trainer = FiniteTrainer(model, batches, torch.optim.SGD(model.parameters(), lr=0.1))
    with EventStorage() as trainer.storage:
        yield trainer


def test_a_loss_that_is_not_finite_is_told_with_its_clips_in_one_line(trainer):
    for trainer.iter in range(2):
        trainer.run_step()
    weight, trainer.iter = trainer.model.weight.item(), 2
    with pytest.raises(FloatingPointError, match=r"^loss_dice is nan in iteration 2, of the clips a2, b2$"):
        trainer.run_step()
    assert trainer.model.weight.item() == weight != 1


def test_losses_are_written_as_detectron2_does(trainer):
    trainer.iter = 0
    trainer.run_step()
    written = {name: value for name, (value, _) in trainer.storage.latest().items() if "time" not in name}
    assert written == {"loss_class": 1.0, "loss_dice": 3.0, "total_loss": 4.0}
