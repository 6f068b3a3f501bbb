from .predictor import AVSPredictor, FrameResult
from .trainer import AVSTrainer
