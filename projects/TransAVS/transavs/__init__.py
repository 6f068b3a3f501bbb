"""TransAVS: end-to-end audio-visual segmentation with Transformer, as a Detectron2 project.

Importing this registers the model, its parts and the datasets with Detectron2.
"""

import gc

_collecting = gc.isenabled()
# PyTorch and Detectron2 make a million objects that stay; looking for garbage among them takes a third of the import.
gc.disable()
try:
    from .config import add_transavs_config
    from .data.avis import register_avis_dataset
    from .data.avsbench import register_avs_dataset
    from .data.semantic import register_avss_dataset
    from .data.synthetic import register_composed_dataset
    from .engine.predictor import AVSPredictor
    from .evaluation import AVSEvaluator, SemanticEvaluator
    from .model import TransAVS
finally:
    if _collecting:
        gc.enable()

__version__ = "0.1.0"

__all__ = [
    "AVSEvaluator",
    "AVSPredictor",
    "SemanticEvaluator",
    "TransAVS",
    "__version__",
    "add_transavs_config",
    "register_avs_dataset",
    "register_avis_dataset",
    "register_avss_dataset",
    "register_composed_dataset",
]
