"""Importing this package registers AVSBench, Stamps and Toy with Detectron2's catalogs."""

import os

from .avsbench import AVSDatasetError, load_avsbench, register_avs_dataset
from .layout import LAYOUTS, SPLITS
from .registration import DATASET_FOLDERS, datasets_root
from .semantic import load_avss, register_avss_dataset
from .semantic_layout import AVSBENCH_LABELS

__all__ = ["AVSDatasetError", "load_avsbench", "load_avss", "register_avs_dataset", "register_avss_dataset"]


def _register_all() -> None:
    for prefix, folder in DATASET_FOLDERS.items():
        root = os.path.join(datasets_root(), folder)
        labels = AVSBENCH_LABELS if prefix == "avsbench" else ()
        for split in SPLITS:
            for subset in LAYOUTS:
                register_avs_dataset(f"{prefix}_{subset}_{split}", root, subset, split)
            register_avss_dataset(f"{prefix}_ss_{split}", root, split, labels)


_register_all()
