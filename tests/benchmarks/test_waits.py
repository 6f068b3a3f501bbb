"""How often a training step waits for its device; and that the counter sees what waits."""

import pytest
import torch
from detectron2.engine.train_loop import SimpleTrainer
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from transavs.benchmarks.waits import WaitCounter
from transavs.data.audio import EXAMPLE_SHAPE
from transavs.engine import AVSTrainer

T, SIDE = 5, 64
ROWS = torch.arange(6.0)


@pytest.mark.parametrize(
    "wait",
    [
        lambda: ROWS.sum().item(),
        lambda: float(ROWS.sum()),
        lambda: bool((ROWS > 2).any()),
        lambda: ROWS.cpu(),
        lambda: ROWS.cpu().sum,
        lambda: ROWS.detach().cpu().tolist(),
        lambda: ROWS[0].cpu().item(),
        lambda: ROWS.nonzero(),
        lambda: ROWS[ROWS > 2],
        lambda: ROWS.clone().__setitem__(ROWS > 2, torch.ones(3)),
        lambda: ROWS.masked_select(ROWS > 2),
        lambda: torch.unique(ROWS),
        lambda: torch.equal(ROWS, ROWS),
    ],
)
def test_what_waits_counts_once(wait):
    with WaitCounter() as waits:
        wait()
    assert waits.found.total() == 1, waits.found


@pytest.mark.parametrize(
    "go_on",
    [
        lambda: ROWS[torch.tensor([1, 2])],
        lambda: ROWS[1:3] + ROWS[0],
        lambda: torch.where(ROWS > 2, ROWS, 0),
        lambda: ROWS.clone().index_put_((torch.tensor([1]),), ROWS[:1]),
        lambda: ROWS.masked_fill(ROWS > 2, 0).softmax(0).max(),
    ],
)
def test_what_does_not_wait_does_not_count(go_on):
    with WaitCounter() as waits:
        go_on()
    assert waits.found.total() == 0, waits.found


def make_clip(num_frames, objects, seed):
    generator = torch.Generator().manual_seed(seed)
    instances = []
    for _ in range(num_frames):
        masks = torch.rand(objects, SIDE, SIDE, generator=generator) > 0.7
        classes = torch.zeros(objects, dtype=torch.int64)
        instances.append(Instances((SIDE, SIDE), gt_classes=classes, gt_masks=BitMasks(masks)))
    return {
        "images": torch.randint(0, 256, (num_frames, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator),
        "audio_log_mel": torch.randn(T, *EXAMPLE_SHAPE, generator=generator),
        "frame_indices": torch.arange(num_frames),
        "height": SIDE,
        "width": SIDE,
        "instances": instances,
    }


def waits_of_a_step(cfg, num_frames, objects, iteration):
    torch.manual_seed(0)
    model = build_model(cfg).train()
    model.mask_head.classifier.bias.data.zero_()  # so that many queries are confident
    batch = [make_clip(num_frames, objects, seed) for seed in range(2)]
    trainer = SimpleTrainer(model, [batch], AVSTrainer.build_optimizer(cfg, model))
    with EventStorage(iteration) as trainer.storage:
        trainer.iter = iteration
        with WaitCounter() as waits:
            trainer.run_step()
    assert trainer.storage.latest()["[metric]s1"][0] > 1
    return waits.found


@pytest.mark.parametrize("iteration", [0, 19])
def test_a_step_waits_a_few_times_whatever_the_frames_objects_and_layers(small_cfg, iteration):
    few = small_cfg("MODEL.TRANSAVS.DEC_LAYERS", 1, "MODEL.TRANSAVS.AQDL_CONFIDENCE", [0.4, 0.4])
    many = small_cfg("MODEL.TRANSAVS.DEC_LAYERS", 4, "MODEL.TRANSAVS.AQDL_CONFIDENCE", [0.4, 0.4])
    found = waits_of_a_step(few, num_frames=1, objects=1, iteration=iteration)
    assert found == waits_of_a_step(many, num_frames=T, objects=3, iteration=iteration)
    assert found.total() <= 8, found
