from .avs_evaluator import AVSEvaluator

__all__ = ["AVSEvaluator"]
