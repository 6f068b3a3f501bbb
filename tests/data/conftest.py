"""A clip of AVSBench's form, and a mapper that reads it at a small size."""

import numpy as np
import pytest
import soundfile
from detectron2.config import get_cfg
from PIL import Image

from transavs import add_transavs_config
from transavs.data.mapper import AVSDatasetMapper

HEIGHT, WIDTH = 40, 60


def make_cfg(**keys):
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.INPUT.IMAGE_SIZE = 48
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = 20, 200
    cfg.INPUT.COLOR_JITTER = False
    for key, value in keys.items():
        cfg.merge_from_list([key.replace("__", "."), value])
    return cfg


def draw_mask(index=0):
    """An L, so that flips and turns show; it moves with the frame's index."""
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[8:30, 5 + 4 * index : 15 + 4 * index] = True
    mask[24:30, 5 + 4 * index : 30 + 4 * index] = True
    return mask


@pytest.fixture(scope="session")
def make_mapper():
    """Makes a mapper of small frames without colour jitter; takes keys of the config, INPUT__IMAGE_SIZE=48."""

    def make(is_train, **keys):
        return AVSDatasetMapper(make_cfg(**keys), is_train=is_train)

    return make


@pytest.fixture(scope="session")
def make_mask():
    """Makes the ground truth of the frame of an index, bool [40, 60]."""
    return draw_mask


@pytest.fixture(scope="session")
def make_clip():
    """Makes a clip of five frames of 40 x 60 pixels in a folder, as a dataset's dict."""

    def make(folder, annotated=range(5), video_id="clip"):
        """Frames that are red where they sound and blue elsewhere, on full green, their masks, and noise as sound."""
        frames, masks = [], []
        for index in range(5):
            mask = draw_mask(index)
            pixels = np.zeros((HEIGHT, WIDTH, 3), dtype=np.uint8)
            pixels[mask], pixels[~mask] = (255, 255, 0), (0, 255, 255)
            frames.append(str(folder / f"{video_id}_{index + 1}.png"))
            Image.fromarray(pixels).save(frames[-1])
            masks.append(str(folder / f"{video_id}_mask_{index + 1}.png") if index in annotated else None)
            if masks[-1]:
                Image.fromarray(mask.astype(np.uint8) * 255).save(masks[-1])
        wav = str(folder / f"{video_id}.wav")
        soundfile.write(wav, 0.1 * np.random.default_rng(0).standard_normal(80000), 16000)
        return {
            "video_id": video_id,
            "category": "dog",
            "file_names": frames,
            "sem_seg_file_names": masks,
            "audio_file_name": wav,
            "height": HEIGHT,
            "width": WIDTH,
        }

    return make
