from .predictor import AVSPredictor
from .trainer import AVSTrainer
