"""Importing this package registers AVSBench, AVISeg, Stamps and Toy with Detectron2's catalogs."""

import os

from .avis import AVISEG_FOLDER, load_avis, register_avis_dataset
from .avsbench import AVSDatasetError, load_avsbench, register_avs_dataset
from .layout import INSTANCES_FILE, LAYOUTS, SPLITS
from .registration import DATASET_FOLDERS, datasets_root
from .semantic import load_avss, register_avss_dataset
from .semantic_layout import AVSBENCH_LABELS

__all__ = [
    "AVSDatasetError",
    "load_avis",
    "load_avsbench",
    "load_avss",
    "register_avis_dataset",
    "register_avs_dataset",
    "register_avss_dataset",
]


def _register_all() -> None:
    for prefix, folder in DATASET_FOLDERS.items():
        root = os.path.join(datasets_root(), folder)
        labels = AVSBENCH_LABELS if prefix == "avsbench" else ()
        for split in SPLITS:
            for subset in LAYOUTS:
                register_avs_dataset(f"{prefix}_{subset}_{split}", root, subset, split)
            register_avss_dataset(f"{prefix}_ss_{split}", root, split, labels)
            if prefix != "avsbench":
                instances = os.path.join(root, INSTANCES_FILE.format(split=split))
                register_avis_dataset(f"{prefix}_instances_{split}", instances, root)
    for split in SPLITS:
        root = os.path.join(datasets_root(), AVISEG_FOLDER)
        register_avis_dataset(
            f"aviseg_{split}", os.path.join(root, f"{split}.json"), os.path.join(root, split, "JPEGImages")
        )


_register_all()
