"""What is random in a training that is resumed is what it would have been."""

import pytest
import torch
from detectron2.utils import comm

from transavs.data.training_stream import TrainingOrder
from transavs.engine.randomness import Randomness

BATCH = 4


@pytest.fixture
def draws(counting_trainer, tmp_path):
    """Trains up to a step and gives what was drawn in each, with the trainer."""

    def run(max_iter):
        found = []
        trainer = counting_trainer(
            tmp_path, lambda checkpointer: [Randomness(BATCH)], lambda iteration: found.append(torch.rand(1).item())
        )
        trainer.data_loader = torch.utils.data.DataLoader([], batch_sampler=TrainingOrder(10, BATCH, 0))
        trainer.train(max_iter)
        return found, trainer

    return run


def test_a_resumed_training_draws_what_it_would_have_drawn(draws, tmp_path):
    first, before = draws(3)
    torch.rand(17)  # whatever else is drawn
    later, after = draws(6)
    for file in tmp_path.glob("*.pth"):
        if file.name > "model_0000002.pth":
            file.unlink()
    (tmp_path / "last_checkpoint").write_text("model_0000002.pth")
    again, _ = draws(6)
    assert again == later and len(later) == 3
    assert len({*first, *later}) == 6
    orders = [trainer.data_loader.batch_sampler for trainer in (before, after)]
    assert orders[0].seed == orders[1].seed
    assert [order.position for order in orders] == [0, 3 * BATCH]


def test_processes_draw_differently(draws, monkeypatch, tmp_path):
    first, _ = draws(3)
    for file in tmp_path.glob("*"):
        file.unlink()
    monkeypatch.setattr(comm, "get_rank", lambda: 1)
    monkeypatch.setattr(comm, "shared_random_seed", lambda: 5)
    other, _ = draws(3)
    assert not {*first} & {*other}
