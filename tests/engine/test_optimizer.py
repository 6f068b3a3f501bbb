import pytest
import torch

from transavs.engine.optimizer import build_optimizer, optimizer_class
from transavs.engine.trainer import AVSTrainer


@pytest.fixture
def groups(small_cfg):
    """Learning rate and weight decay of each parameter by name."""
    cfg = small_cfg("SOLVER.BASE_LR", 1e-3, "SOLVER.BACKBONE_MULTIPLIER", 0.1, "SOLVER.WEIGHT_DECAY", 0.05)
    model = AVSTrainer.build_model(cfg)
    names = {parameter: name for name, parameter in model.named_parameters()}
    optimizer = build_optimizer(cfg, model)
    assert isinstance(optimizer, torch.optim.AdamW)
    return {names[p]: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}


def test_both_backbones_learn_at_a_tenth(groups):
    rates = {True: set(), False: set()}
    for name, (rate, _) in groups.items():
        rates[name.startswith(("backbone.", "audio_backbone."))].add(rate)
    assert rates == {True: {1e-4}, False: {1e-3}}


def test_norms_positions_and_level_embeddings_do_not_decay(groups):
    free = {name for name, (_, decay) in groups.items() if decay == 0}
    assert {
        "decoder.query_positions",
        "decoder.level_embedding",
        "audio_query_encoder.query_positions",
        "decoder.layers.0.feed_forward.norm.weight",
    } <= free
    assert all(
        "norm" in name or "position" in name or "embedding" in name or "bn" in name
        for name in free
        if not name.startswith("audio_backbone.")
    )
    assert groups["mask_head.classifier.weight"][1] == 0.05


def test_full_model_clipping_bounds_the_norm_over_all_parameters(small_cfg):
    cfg = small_cfg("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5)
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(3))]
    optimizer = optimizer_class(cfg)([{"params": [p]} for p in parameters], lr=1e-3)
    parameters[0].grad, parameters[1].grad = torch.tensor([3.0, 0.0]), torch.tensor([0.0, 4.0, 0.0])
    optimizer.step()
    norm = torch.cat([p.grad for p in parameters]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-4)
    assert parameters[0].grad[0].item() == pytest.approx(0.3, rel=1e-4)  # the directions stay


@pytest.mark.parametrize("kind", ["full_model", "norm", "value"])
def test_clipping_meets_the_gradients_as_they_are_when_they_were_scaled_for_half_precision(small_cfg, kind):
    cfg = small_cfg("SOLVER.CLIP_GRADIENTS.CLIP_VALUE", 0.5, "SOLVER.CLIP_GRADIENTS.CLIP_TYPE", kind)
    parameter = torch.nn.Parameter(torch.zeros(2))
    optimizer = optimizer_class(cfg)([parameter], lr=1e-3, fused=True)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    scaler.scale((parameter * torch.tensor([0.3, 0.0])).sum()).backward()
    scaler.step(optimizer)
    assert parameter.grad[0].item() == pytest.approx(0.3)  # below the bound once unscaled: not clipped
