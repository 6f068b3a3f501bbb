import numpy as np
import pytest

from transavs.visualization import ClipPicture


@pytest.fixture
def picture():
    """Makes a ClipPicture of frames that are all mask in the middle; takes changes of its fields."""

    def make(num_frames=3, size=24, **changes):
        frames = [np.full((size, size, 3), 60 + 10 * k, dtype=np.uint8) for k in range(num_frames)]
        masks = [np.zeros((size, size), dtype=bool) for _ in range(num_frames)]
        for mask in masks:
            mask[4:16, 4:16] = True
        waveform = np.sin(np.arange(num_frames * 800) / 5).astype(np.float32)
        fields = {"frames": frames, "masks": masks, "predictions": masks, "waveform": waveform, "rate": 800}
        return ClipPicture(**{**fields, **changes})

    return make
