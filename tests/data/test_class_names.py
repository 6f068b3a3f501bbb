"""What a model's classes are called."""

import pytest
from detectron2.data import MetadataCatalog

from transavs.config import read_config
from transavs.data.class_names import class_names, known_class_names
from transavs.weights.card import model_card
from transavs.weights.packaging import whole_config


@pytest.fixture
def cfg(small_cfg):
    """Of three classes, whose dataset names them."""
    MetadataCatalog.get("class_names_test").set(thing_classes=["bell", "cow", "dog"])
    yield small_cfg("MODEL.SEM_SEG_HEAD.NUM_CLASSES", 3, "DATASETS.TEST", ("class_names_test",))
    MetadataCatalog.remove("class_names_test")


def test_the_dataset_names_them_or_the_config_does(cfg):
    assert class_names(cfg) == ["bell", "cow", "dog"]
    cfg.MODEL.CLASS_NAMES = ["a", "b", "c"]
    assert class_names(cfg) == ["a", "b", "c"]


def test_names_of_another_model_are_not_taken(cfg):
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 2
    assert known_class_names(cfg) == [] and class_names(cfg) == ["class 0", "class 1"]
    cfg.MODEL.CLASS_NAMES = ["a"]
    with pytest.raises(ValueError, match="MODEL.CLASS_NAMES has 1 names, expected 2 as MODEL.SEM_SEG_HEAD.NUM_CLASSES"):
        class_names(cfg)


def test_one_class_is_what_sounds(small_cfg):
    assert class_names(small_cfg()) == ["sounding"]


def test_names_travel_with_a_packaged_model(cfg, tmp_path):
    (tmp_path / "config.yaml").write_text(whole_config(cfg))
    found = read_config(tmp_path / "config.yaml", ["DATASETS.TEST", ("elsewhere",), "DATASETS.TRAIN", ()])
    assert class_names(found) == ["bell", "cow", "dog"]
    assert "| classes | 3: bell, cow, dog |" in model_card("name", cfg, ["command"], None)
