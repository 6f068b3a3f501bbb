"""The configs that are shipped: every one loads, and the paper's are the paper's."""
from pathlib import Path

import pytest
import torch

from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from transavs import add_transavs_config
from transavs.data.audio import EXAMPLE_SHAPE

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


def load(path):
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(str(path))
    return cfg


@pytest.mark.parametrize("path", sorted(CONFIGS.rglob("*_R*.yaml")), ids=lambda path: path.stem)
def test_every_config_names_registered_datasets_of_one_kind_and_a_step_of_delta_that_fits(path):
    cfg = load(path)
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.VAL, *cfg.DATASETS.TEST]
    assert [name.rsplit("_", 1)[1] for name in names] == ["train", "val", "test"]
    assert len({name.rsplit("_", 1)[0] for name in names}) == 1
    assert set(names) <= set(DatasetCatalog.list())
    assert cfg.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS == cfg.SOLVER.MAX_ITER // 18
    assert cfg.SOLVER.MAX_ITER % cfg.TEST.EVAL_PERIOD == 0


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_the_papers_configs_train_as_section_3_2_says(subset):
    cfg = load(CONFIGS / f"avs_{subset}_R101.yaml")
    keys, solver = cfg.MODEL.TRANSAVS, cfg.SOLVER
    assert cfg.MODEL.RESNETS.DEPTH == 101
    assert (solver.MAX_ITER, solver.IMS_PER_BATCH, solver.BASE_LR, solver.BACKBONE_MULTIPLIER) == (90000, 8, 1e-4, 0.1)
    assert (keys.NUM_QUERIES, keys.NUM_FRAMES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES) == (300, 5, 1)
    assert (keys.AQDL_WEIGHT, keys.AQML_WEIGHT, keys.CLASS_WEIGHT, keys.DICE_WEIGHT) == (2, 2, 5, 5)
    assert keys.MASK_WEIGHT == 0
    assert keys.AQDL_CONFIDENCE == keys.AQML_CONFIDENCE == [0.55, 0.65] and keys.THRESHOLD_STEP_ITERS == 5000
    assert keys.AUDIO_CONTEXT == "clip"
    assert (cfg.MODEL.AUDIO_BACKBONE.NAME, cfg.MODEL.AUDIO_BACKBONE.FREEZE) == ("VGGish", True)


def test_the_papers_model_takes_a_training_step():
    cfg = load(CONFIGS / "avs_ms3_R101.yaml")
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.WEIGHTS", "", "MODEL.AUDIO_BACKBONE.WEIGHTS", ""])
    torch.manual_seed(0)
    model = build_model(cfg).train()
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 10:50, 10:50] = True
    target = Instances((64, 64), gt_classes=torch.zeros(1, dtype=torch.int64), gt_masks=BitMasks(mask))
    clip = {"images": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), "frame_indices": torch.tensor([0, 4]),
            "audio_log_mel": torch.randn(5, *EXAMPLE_SHAPE), "instances": [target] * 2}
    losses = model([clip])
    assert set(losses) == {"loss_class", "loss_dice", "loss_aqdl", "loss_aqml"}
    sum(losses.values()).backward()
    frozen = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert frozen and all(name.startswith("audio_backbone.") for name in frozen)
