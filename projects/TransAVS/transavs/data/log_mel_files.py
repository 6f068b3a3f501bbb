"""AVSBench's own log-mels, as it hands them out: pickled tensors."""

import torch
from torch import Tensor

from . import audio
from .errors import AVSDatasetError
from .layout import FilePath
from .safe_pickle import load_tensor


def read_log_mel(path: FilePath, num_frames: int) -> Tensor:
    """Reads AVSBench's pickled log-mel.

    Returns:
        float32 tensor [num_frames, 1, 96, 64]: of a shorter one the last example is repeated, a longer one is cut

    Raises:
        UnsafePickleError, AVSDatasetError: the file is not a pickled tensor, or not one of log-mel examples.
    """
    log_mel = load_tensor(path)
    shape = tuple(log_mel.shape)
    if len(shape) != 4 or shape[0] < 1 or shape[1:] != audio.EXAMPLE_SHAPE:
        raise AVSDatasetError(f"{path}: log-mel has shape {list(shape)}, expected {[num_frames, *audio.EXAMPLE_SHAPE]}")
    if log_mel.dtype != torch.float32:
        raise AVSDatasetError(f"{path}: log-mel has dtype {log_mel.dtype}, expected torch.float32")
    if not torch.isfinite(log_mel).all():
        raise AVSDatasetError(f"{path}: log-mel holds NaN or infinite values, expected finite ones")
    return audio.fit_examples(log_mel, num_frames)
