"""Importing this package registers AVSBench, Stamps and Toy with Detectron2's catalogs."""

import os

from .avsbench import AVSDatasetError, load_avsbench, register_avs_dataset
from .layout import LAYOUTS, SPLITS
from .registration import DATASET_FOLDERS, datasets_root

__all__ = ["AVSDatasetError", "load_avsbench", "register_avs_dataset"]


def _register_all() -> None:
    for prefix, folder in DATASET_FOLDERS.items():
        root = os.path.join(datasets_root(), folder)
        for subset in LAYOUTS:
            for split in SPLITS:
                register_avs_dataset(f"{prefix}_{subset}_{split}", root, subset, split)


_register_all()
