"""What the processes of test_processes.py do; a file of its own, since spawned processes import it."""

import json
from pathlib import Path

import torch
from detectron2.structures import BitMasks, Instances
from detectron2.utils import comm

from transavs.data.audio import EXAMPLE_SHAPE
from transavs.engine.setup import setup
from transavs.engine.trainer import AVSTrainer

SIDE, CLIPS_A_STEP = 32, 4


def make_clip(seed, sounding):
    """One frame of noise with one object, or with none; every third clip has no sound of its own."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(1 if sounding else 0, SIDE, SIDE, generator=generator) > 0.6
    target = Instances((SIDE, SIDE), gt_classes=torch.zeros(len(masks), dtype=torch.int64), gt_masks=BitMasks(masks))
    clip = {
        "images": torch.randint(0, 256, (1, 3, SIDE, SIDE), dtype=torch.uint8, generator=generator),
        "frame_indices": torch.tensor([seed % 5]),
        "height": SIDE,
        "width": SIDE,
        "instances": [target],
    }
    sound = {"audio_log_mel": torch.randn(5, *EXAMPLE_SHAPE, generator=generator)}
    return clip if seed % 3 == 0 else clip | sound


class FixedOrderTrainer(AVSTrainer):
    """Its clips come in one order, every process taking its part of each step's."""

    @classmethod
    def build_train_loader(cls, cfg):
        def steps():
            step = 0
            while True:
                seeds = range(step * CLIPS_A_STEP, (step + 1) * CLIPS_A_STEP)
                yield [make_clip(seed, sounding=seed % 4 != 1) for seed in seeds][
                    comm.get_rank() :: comm.get_world_size()
                ]
                step += 1

        return steps()

    @classmethod
    def test(cls, cfg, model, evaluators=None):
        """Keeps what each process would score."""
        torch.save(model.state_dict(), f"{cfg.OUTPUT_DIR}-scored-{comm.get_rank()}.pth")
        return {}


def train(cfg, args):
    """Writes the losses of all steps, and every process's batch statistics and the model that it would score."""
    cfg = setup(cfg, args)
    trainer = FixedOrderTrainer(cfg)
    trainer.resume_or_load(resume=False)
    trainer.train()
    folder = Path(cfg.OUTPUT_DIR)
    if comm.is_main_process():
        losses = [value for value, _ in trainer.storage.history("total_loss").values()]
        (folder / "losses.json").write_text(json.dumps(losses))
    if comm.is_main_process():
        with torch.no_grad():
            for parameter in trainer.model.parameters():
                parameter.add_(1.0)  # a best model that no other process has
        trainer.checkpointer.save("model_best")
    trainer.test_best()
    buffers = {name: tensor for name, tensor in trainer.model.state_dict().items() if "running" in name}
    torch.save(buffers, f"{folder}-buffers-{comm.get_rank()}.pth")
