"""The configs that are shipped: every one loads, and the paper's are the paper's."""

import socket
from contextlib import contextmanager
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision
from detectron2.config import get_cfg
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.file_io import PathManager

from transavs import add_transavs_config
from transavs.data.audio import EXAMPLE_SHAPE
from transavs.data.semantic_layout import AVSBENCH_LABELS
from transavs.engine import AVSTrainer

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
ALL = sorted(path for path in CONFIGS.rglob("*.yaml") if not path.stem.startswith("Base-"))
SMALL = [path for path in ALL if path.stem.startswith(("toy", "stamps"))]
# S4's models are the same, as the tests below check, and so are those of the plus recipe.
PAPERS = [path for path in ALL if path.stem.startswith(("avs_ms3", "avss")) and path.parent.name != "plus"]


def load(path):
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(str(path))
    return cfg


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.stem)
def test_every_config_names_registered_datasets_of_one_kind_and_a_step_of_delta_that_fits(path):
    cfg = load(path)
    names = [*cfg.DATASETS.TRAIN, *cfg.DATASETS.VAL, *cfg.DATASETS.TEST]
    train, *rest = (name.rsplit("_", 1)[1] for name in names)
    assert train in ("train", "composed") and rest == ["val", "test"]
    assert len({name.rsplit("_", 1)[0] for name in names}) == 1
    assert set(names) <= set(DatasetCatalog.list())
    assert cfg.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS == cfg.SOLVER.MAX_ITER // 18
    assert cfg.SOLVER.MAX_ITER % cfg.TEST.EVAL_PERIOD == 0


@pytest.mark.parametrize("backbone", ["R101", "swin_base"])
@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_the_papers_configs_train_as_section_3_2_says(subset, backbone):
    cfg = load(CONFIGS / f"avs_{subset}_{backbone}.yaml")
    keys, solver = cfg.MODEL.TRANSAVS, cfg.SOLVER
    if backbone == "R101":
        assert (cfg.MODEL.BACKBONE.NAME, cfg.MODEL.RESNETS.DEPTH) == ("build_resnet_backbone", 101)
    else:
        assert cfg.MODEL.BACKBONE.NAME == "build_timm_backbone"
        assert (cfg.MODEL.TIMM.NAME, cfg.MODEL.BACKBONE.WEIGHTS) == ("swin_base_patch4_window7_224.ms_in22k", "timm:")
    assert cfg.MODEL.BACKBONE.FREEZE_AT == 0
    assert (solver.MAX_ITER, solver.IMS_PER_BATCH, solver.BASE_LR, solver.BACKBONE_MULTIPLIER) == (90000, 8, 1e-4, 0.1)
    assert (keys.NUM_QUERIES, keys.NUM_FRAMES, cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES) == (300, 5, 1)
    assert (keys.AQDL_WEIGHT, keys.AQML_WEIGHT, keys.CLASS_WEIGHT, keys.DICE_WEIGHT) == (2, 2, 5, 5)
    assert keys.MASK_WEIGHT == 0
    assert keys.AQDL_CONFIDENCE == keys.AQML_CONFIDENCE == [0.55, 0.65] and keys.THRESHOLD_STEP_ITERS == 5000
    assert keys.AUDIO_CONTEXT == "clip"
    assert (cfg.MODEL.AUDIO_BACKBONE.NAME, cfg.MODEL.AUDIO_BACKBONE.FREEZE) == ("VGGish", True)


ABLATIONS = {
    "100_queries": {"MODEL.TRANSAVS.NUM_QUERIES": 100},
    "500_queries": {"MODEL.TRANSAVS.NUM_QUERIES": 500},
    "fixed_delta1": {"MODEL.TRANSAVS.AQDL_CONFIDENCE": [0.6, 0.6]},
    "fixed_delta2": {"MODEL.TRANSAVS.AQML_CONFIDENCE": [0.6, 0.6]},
    "literal_strides": {"MODEL.SEM_SEG_HEAD.LEVEL_STRIDES": [8, 4, 2], "MODEL.SEM_SEG_HEAD.COMMON_STRIDE": 1},
}


@pytest.mark.parametrize("subset", ["s4", "ms3"])
@pytest.mark.parametrize("name", ABLATIONS)
def test_an_ablation_changes_what_it_names_and_nothing_else(subset, name):
    expected = load(CONFIGS / f"avs_{subset}_R101.yaml")
    expected.merge_from_list([word for pair in ABLATIONS[name].items() for word in pair])
    expected.OUTPUT_DIR = f"output/ablations/avs_{subset}_R101_{name}"
    assert load(CONFIGS / "ablations" / f"avs_{subset}_R101_{name}.yaml") == expected


@pytest.mark.parametrize("backbone", ["R101", "swin_base"])
def test_semantic_configs_are_ms3s_with_classes_and_ten_seconds(backbone):
    expected = load(CONFIGS / f"avs_ms3_{backbone}.yaml")
    expected.MODEL.WEIGHTS = f"{expected.OUTPUT_DIR}/model_best.pth"
    expected.MODEL.SEM_SEG_HEAD.NUM_CLASSES = len(AVSBENCH_LABELS) - 1
    expected.MODEL.TRANSAVS.NUM_FRAMES = 10
    expected.INPUT.TARGETS = "classes"
    names = [(f"avsbench_ss_{split}",) for split in ("train", "val", "test")]
    expected.DATASETS.TRAIN, expected.DATASETS.VAL, expected.DATASETS.TEST = names
    expected.OUTPUT_DIR = f"output/avss_{backbone}"
    assert load(CONFIGS / f"avss_{backbone}.yaml") == expected
    assert all(len(MetadataCatalog.get(name).thing_classes) == 70 for (name,) in names)


@contextmanager
def nothing_to_read():
    """Refuses what fetches or reads anything."""

    def refuse(*args, **kwargs):
        raise AssertionError(f"building a model asked for {args} {kwargs}")

    with pytest.MonkeyPatch.context() as patch:
        for module, names in {
            socket: ["socket", "create_connection"],
            PathManager: ["open", "get_local_path"],
            torch: ["load"],
            safetensors.torch: ["load_file"],
        }.items():
            for name in names:
                patch.setattr(module, name, refuse)
        yield


def build_random(path, *overrides):
    """The config and its model with random weights, in training; built of the config alone."""
    cfg = load(path)
    cfg.merge_from_list(
        [
            "MODEL.DEVICE",
            "cpu",
            "MODEL.TIMM.DROP_PATH_RATE",
            0.0,
            *overrides,
        ]
    )  # no chance
    torch.manual_seed(0)
    with nothing_to_read():
        return cfg, build_model(cfg).train()


def random_clip(cfg):
    mask = torch.zeros(1, 64, 64, dtype=torch.bool)
    mask[:, 10:50, 10:50] = True
    target = Instances((64, 64), gt_classes=torch.zeros(1, dtype=torch.int64), gt_masks=BitMasks(mask))
    return {
        "images": torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8),
        "frame_indices": torch.tensor([0, 4]),
        "audio_log_mel": torch.randn(cfg.MODEL.TRANSAVS.NUM_FRAMES, *EXAMPLE_SHAPE),
        "instances": [target] * 2,
    }


def test_every_model_is_built_here():
    """Those of the remaining configs are the same."""
    built = [load(path).MODEL for path in [*PAPERS, *SMALL]]
    assert all(load(path).MODEL in built for path in ALL)


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_a_small_model_is_built_of_nothing_but_its_config(path):
    _, model = build_random(path)
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())


@pytest.mark.parametrize("key, value", [("PRETRAINED", "True"), ("WEIGHTS", "swin.pth")])
def test_a_config_of_an_earlier_version_is_told_the_key_of_today(tmp_path, key, value):
    (tmp_path / "old.yaml").write_text(f"MODEL:\n  TIMM:\n    {key}: {value}\n")
    with pytest.raises(KeyError, match=f"MODEL.TIMM.{key} was renamed to MODEL.BACKBONE.WEIGHTS; .*PRETRAINED True is"):
        load(tmp_path / "old.yaml")


def test_resnets_start_from_what_torchvision_publishes():
    for depth in (50, 101):
        weights = getattr(torchvision.models, f"ResNet{depth}_Weights").IMAGENET1K_V1
        cfg = load(CONFIGS / f"avs_s4_R{depth}.yaml")
        assert cfg.MODEL.BACKBONE.WEIGHTS == weights.url
        assert cfg.MODEL.WEIGHTS == "" and cfg.INPUT.FORMAT == "RGB"
        preprocessing = weights.transforms()
        assert cfg.MODEL.PIXEL_MEAN == pytest.approx([255 * value for value in preprocessing.mean])
        assert cfg.MODEL.PIXEL_STD == pytest.approx([255 * value for value in preprocessing.std])


@pytest.mark.slow
@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.stem)
def test_the_papers_models_take_a_training_step(path):
    cfg, model = build_random(path)
    optimizer = AVSTrainer.build_optimizer(cfg, model)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    losses = model([random_clip(cfg)])
    assert set(losses) == {"loss_class", "loss_dice", "loss_aqdl", "loss_aqml"}
    assert (
        all(torch.isfinite(loss) for loss in losses.values()) and losses["loss_class"] > 0 and losses["loss_dice"] > 0
    )
    sum(losses.values()).backward()
    optimizer.step()
    still = {name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])}
    # Deformable attention begins with weights of 0 between a cell's position and where it looks.
    unreached = {"pixel_decoder.encoder.level_embedding"} & before.keys()
    assert still == unreached | {name for name in before if name.startswith("audio_backbone.")}


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in PAPERS if path.parent == CONFIGS], ids=lambda path: path.stem)
def test_half_precision_and_gradient_checkpointing_change_the_losses_by_rounding_alone(path):
    # Frozen batch norms, which random weights have no use for, would let the features grow beyond float16.
    cfg, model = build_random(path, "MODEL.RESNETS.NORM", "BN", "MODEL.GRADIENT_CHECKPOINTING", True)
    clip = random_clip(cfg)
    exact = {name: loss.item() for name, loss in model([clip]).items()}
    for precision in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype=precision):
            losses = model([clip])
        assert all(loss.dtype == torch.float32 for loss in losses.values())
        assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(exact, rel=0.1, abs=0.01)
    sum(losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.requires_grad)
