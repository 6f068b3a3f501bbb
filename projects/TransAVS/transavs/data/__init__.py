"""Importing this package registers AVSBench, Stamps, Toy and composed Stamps with Detectron2's catalogs."""

import os

from .avsbench import DATASET_FOLDERS, AVSDatasetError, datasets_root, load_avsbench, register_avs_dataset
from .layout import LAYOUTS, SPLITS
from .synthetic.composing import register_composed_dataset

__all__ = ["AVSDatasetError", "load_avsbench", "register_avs_dataset", "register_composed_dataset"]


def _register_all() -> None:
    for prefix, folder in DATASET_FOLDERS.items():
        root = os.path.join(datasets_root(), folder)
        for subset in LAYOUTS:
            for split in SPLITS:
                register_avs_dataset(f"{prefix}_{subset}_{split}", root, subset, split)
    for subset in LAYOUTS:
        register_composed_dataset(f"stamps_{subset}_composed", subset)


_register_all()
