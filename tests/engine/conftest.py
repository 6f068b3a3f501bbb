"""A training of nothing: its model holds the number of the steps that were made."""

import pytest
import torch
from detectron2.checkpoint import Checkpointer
from detectron2.engine import TrainerBase, hooks


class CountingTrainer(TrainerBase):
    """Goes on from its last checkpoint; there is one after each step.

    Args:
        folder: of the checkpoints.
        make_hooks: gives further hooks for a checkpointer.
        step: is called with the iteration, as the last thing in each step.
    """

    def __init__(self, folder, make_hooks, step=lambda iteration: None):
        super().__init__()
        self.step, self.data_loader = step, []
        self.model = torch.nn.Linear(1, 1, bias=False)
        torch.nn.init.zeros_(self.model.weight)
        self.checkpointer = Checkpointer(self.model, str(folder), trainer=self)
        self.register_hooks([hooks.PeriodicCheckpointer(self.checkpointer, 1), *make_hooks(self.checkpointer)])
        rest = self.checkpointer.resume_or_load("", resume=True)
        self.start = rest.get("iteration", -1) + 1

    def run_step(self):
        with torch.no_grad():
            self.model.weight += 1
        self.step(self.iter)

    def train(self, max_iter):
        super().train(self.start, max_iter)


@pytest.fixture(scope="session")
def counting_trainer():
    return CountingTrainer


@pytest.fixture(scope="session")
def steps_in():
    """Tells how many steps the model of a checkpoint has seen."""

    def count(path):
        return int(torch.load(path)["model"]["weight"])

    return count
