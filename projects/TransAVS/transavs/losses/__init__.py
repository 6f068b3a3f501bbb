from .criterion import Criterion
from .matcher import HungarianMatcher
from .query_losses import audio_query_distance_loss, audio_query_mask_loss
from .schedule import confidence_threshold

__all__ = [
    "Criterion",
    "HungarianMatcher",
    "audio_query_distance_loss",
    "audio_query_mask_loss",
    "confidence_threshold",
]
