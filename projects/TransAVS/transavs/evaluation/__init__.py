from detectron2.data import MetadataCatalog

from .avs_evaluator import AVSEvaluator
from .instance_evaluator import InstanceEvaluator
from .semantic_evaluator import SemanticEvaluator

# By the `evaluator_type` of a dataset's metadata.
EVALUATORS = {"avs": AVSEvaluator, "avss": SemanticEvaluator, "avis": InstanceEvaluator}


def evaluator_of(dataset_name: str) -> type[AVSEvaluator]:
    """The evaluator that a registered dataset asks for; of one that asks for none, AVSEvaluator."""
    return EVALUATORS[MetadataCatalog.get(dataset_name).get("evaluator_type", "avs")]


__all__ = ["EVALUATORS", "AVSEvaluator", "InstanceEvaluator", "SemanticEvaluator", "evaluator_of"]
