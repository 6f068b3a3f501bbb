from .predictor import AVSPredictor, FrameResult
from .trainer import AVSTrainer

__all__ = ["AVSPredictor", "AVSTrainer", "FrameResult"]
