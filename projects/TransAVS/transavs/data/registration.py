"""Datasets of clips made known to Detectron2's catalogs."""

import os
from collections.abc import Callable, Sequence
from typing import Any

from detectron2.data import DatasetCatalog, Metadata, MetadataCatalog

from .palette import palette

DATASET_FOLDERS = {"avsbench": "AVSBench", "stamps": "stamps", "toy": "toy"}  # registered prefix -> folder
EVALUATOR_TYPES = ("avs", "avss", "avis")  # of the datasets that are registered here
CLASS_KEYS = ("stuff_classes", "thing_classes", "stuff_colors", "thing_colors")
SOUNDING: dict[str, list[Any]] = {
    "stuff_classes": ["sounding"],
    "thing_classes": ["sounding"],
    "stuff_colors": [(255, 64, 64)],
    "thing_colors": [(255, 64, 64)],
}


class ClassMetadata(Metadata):
    """Detectron2's metadata of a dataset whose classes a file lists; it is read when they are first asked for.

    Attributes:
        list_classes: gives the classes' names; it raises OSError where they cannot be had, and they are left out then.
    """

    list_classes: Callable[[], Sequence[str]]

    def __getattr__(self, key: str) -> Any:
        if key in CLASS_KEYS and "list_classes" in self.__dict__:
            try:
                self.set_classes(self.list_classes())
                return self.__dict__[key]
            except OSError:
                pass
        return super().__getattr__(key)

    def set_classes(self, names: Sequence[str]) -> None:
        """Names the model's classes, whatever they were before; the background is none of them."""
        colors = [tuple(color) for color in palette(len(names) + 1)[1:].tolist()]
        self.__dict__.update(
            stuff_classes=list(names), thing_classes=list(names), stuff_colors=colors, thing_colors=colors
        )


def datasets_root() -> str:
    """The folder of all datasets: `$DETECTRON2_DATASETS`, by default `datasets/`, as everywhere in Detectron2."""
    return os.path.expanduser(os.getenv("DETECTRON2_DATASETS", "datasets"))


def register_clips(
    name: str,
    load: Callable[[], list[dict[str, Any]]],
    list_classes: Callable[[], Sequence[str]] | None = None,
    evaluator_type: str = "avss",
    **metadata: object,
) -> None:
    """Make what `load` lists known to Detectron2 under `name`.

    Args:
        load: gives the dataset dicts, when the dataset is used.
        list_classes: gives the names of the model's classes, when they are asked for: see `ClassMetadata`. Such a
            dataset is scored class by class. Without it there is one class, "sounding", and AVSEvaluator scores it.
        evaluator_type: what scores a dataset with classes, one of EVALUATOR_TYPES.
        metadata: more of it for Detectron2's MetadataCatalog. `training_only` keeps the dataset out of testing.
    """
    DatasetCatalog.register(name, load)
    if list_classes is None:
        MetadataCatalog.get(name).set(evaluator_type="avs", **SOUNDING, **metadata)
    else:
        MetadataCatalog[name] = ClassMetadata(
            name=name, list_classes=list_classes, evaluator_type=evaluator_type, **metadata
        )


def registered_datasets() -> list[str]:
    """The names of all datasets of clips, in order."""
    found = (
        name for name in DatasetCatalog.list() if MetadataCatalog.get(name).get("evaluator_type") in EVALUATOR_TYPES
    )
    return sorted(found)
