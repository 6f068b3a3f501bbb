"""Mixed precision: an overflow leaves out one step; runs of other precisions go on."""

import logging

import pytest
import torch
from detectron2.engine import SimpleTrainer
from detectron2.utils.events import EventStorage
from torch import nn

from transavs.engine.amp import MIN_SCALE, AMPTrainer

OVERFLOW = 1e30


class Multiplier(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def forward(self, clips):
        return {"loss": (self.weight * clips[0]["factor"]).square().sum()}


def batches(factors):
    return [[{"video_id": "bell", "factor": factor}] for factor in factors]


def make_trainer(precision, factors):
    model = Multiplier()
    trainer = AMPTrainer(model, batches(factors), torch.optim.SGD(model.parameters(), lr=0.1), precision)
    trainer.iter = 0
    return trainer


def run_steps(trainer, number):
    """The weight after each step."""
    weights = []
    with EventStorage() as trainer.storage:
        for _ in range(number):
            trainer.run_step()
            weights.append(trainer.model.weight.item())
    return weights


def test_a_step_that_overflows_is_left_out_and_the_next_learns(caplog):
    trainer = make_trainer("float16", [0.1, OVERFLOW, 0.1])
    scale = trainer.grad_scaler.get_scale()
    with caplog.at_level(logging.WARNING):
        first, overflown, third = run_steps(trainer, 3)
    assert first < 1 and overflown == first and third < first
    assert trainer.grad_scaler.get_scale() == scale / 2
    assert "loss is inf in iteration 0, of the clips bell: the step is left out." in caplog.text


def test_losses_that_stay_infinite_end_the_training():
    trainer = make_trainer("float16", [OVERFLOW] * 100)
    with pytest.raises(FloatingPointError, match="loss is inf in iteration 0, of the clips bell"):
        run_steps(trainer, 100)
    assert trainer.grad_scaler.get_scale() < MIN_SCALE


def test_bfloat16_has_no_scale_and_ends_at_once():
    trainer = make_trainer("bfloat16", [0.1, OVERFLOW])
    assert run_steps(trainer, 1)[0] < 1 and trainer.grad_scaler.get_scale() == 1
    with pytest.raises(FloatingPointError, match="loss is inf in iteration 0, of the clips bell"):
        run_steps(trainer, 1)


def test_the_model_computes_in_the_precision():
    class Recorder(Multiplier):
        def forward(self, clips):
            self.dtype = (self.weight[None] @ self.weight[:, None]).dtype
            return super().forward(clips)

    for precision, dtype in (("float16", torch.float16), ("bfloat16", torch.bfloat16)):
        model = Recorder()
        trainer = AMPTrainer(model, batches([0.1]), torch.optim.SGD(model.parameters(), lr=0.1), precision)
        trainer.iter = 0
        run_steps(trainer, 1)
        assert model.dtype == dtype


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_a_run_in_float32_goes_on_with_mixed_precision_and_back(precision):
    model = Multiplier()
    plain = SimpleTrainer(model, batches([0.1]), torch.optim.SGD(model.parameters(), lr=0.1))
    plain.iter = 7
    mixed = make_trainer(precision, [0.1])
    scale = mixed.grad_scaler.get_scale()
    mixed.load_state_dict(plain.state_dict())
    assert mixed.iter == 7 and mixed.grad_scaler.get_scale() == scale
    mixed.iter = 9
    plain.load_state_dict(mixed.state_dict())
    assert plain.iter == 9


def test_the_scale_goes_on_where_it_was():
    first, again = make_trainer("float16", [OVERFLOW]), make_trainer("float16", [])
    run_steps(first, 1)
    again.load_state_dict(first.state_dict())
    assert (
        again.grad_scaler.get_scale()
        == first.grad_scaler.get_scale()
        != make_trainer("float16", []).grad_scaler.get_scale()
    )
