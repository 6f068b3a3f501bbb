"""The names of a model's classes."""

from detectron2.config import CfgNode
from detectron2.data import MetadataCatalog

from .registration import SOUNDING


def known_class_names(cfg: CfgNode) -> list[str]:
    """The names of a config's classes: MODEL.CLASS_NAMES, or those of its datasets; [] where neither tells.

    Raises:
        ValueError: MODEL.CLASS_NAMES has another number of them.
    """
    number, names = cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES, list(cfg.MODEL.CLASS_NAMES)
    if names and len(names) != number:
        raise ValueError(
            f"MODEL.CLASS_NAMES has {len(names)} names, expected {number} as MODEL.SEM_SEG_HEAD.NUM_CLASSES is, or none"
        )
    if number == 1:
        return names or list(SOUNDING["thing_classes"])
    told = (
        MetadataCatalog.get(dataset).get("thing_classes", []) for dataset in (*cfg.DATASETS.TEST, *cfg.DATASETS.TRAIN)
    )
    return names or next((list(found) for found in told if len(found) == number), [])


def class_names(cfg: CfgNode) -> list[str]:
    """As `known_class_names`, but "class 0", "class 1", ... where nothing tells them."""
    return known_class_names(cfg) or [f"class {c}" for c in range(cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES)]
