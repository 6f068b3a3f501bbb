"""A clip of AVSBench's form, a mapper that reads it at a small size, and a folder of AVSBench-semantic's form."""

import json

import numpy as np
import pytest
import soundfile
from detectron2.config import get_cfg
from PIL import Image

from transavs import add_transavs_config
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.palette import encode_labels

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


SEMANTIC_LABELS = ("background", "cow", "cow_white", "dog", "man")
SEMANTIC_CLIPS = (  # uid, label, split, what sounds
    ("a_0_5000", "v1s", "train", ("dog",)),
    ("b", "v1m", "train", ("cow_white", "man")),
    ("c_1", "v2", "train", ("man",)),
    ("d", "v1s", "val", ("cow",)),
    ("e", "v1m", "test", ("dog", "man")),
    ("f", "v2", "test", ("man", "cow", "dog")),
)


class SemanticClips:
    """A folder of AVSBench-semantic's form, made in a fraction of a second: six clips, each a noise of its own.

    Attributes:
        root: the folder that holds `AVSBench-semantic/`.
        folder: that one.
        labels: the labels' names.
        clips: (uid, label, split, names of what sounds) of each.
    """

    size = (30, 20)  # of frames, width and height
    labels, clips = SEMANTIC_LABELS, SEMANTIC_CLIPS

    def __init__(self, root):
        self.root, self.folder = root, root / "AVSBench-semantic"
        self.folder.mkdir()
        (self.folder / "label2idx.json").write_text(json.dumps({name: i for i, name in enumerate(self.labels)}))
        self.write_rows(*((*clip, "_".join(names)) for *clip, names in self.clips))
        for number, (uid, label, split, _) in enumerate(self.clips):
            rng = np.random.default_rng(number)
            clip, seconds = self.folder / label / uid, 10 if label == "v2" else 5
            for part in ("frames", "labels_rgb"):
                (clip / part).mkdir(parents=True)
            for k in range(seconds):
                pixels = rng.integers(0, 256, (*self.size[::-1], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(clip / "frames" / f"{k}.jpg")
                if (label, split) != ("v1s", "train") or k == 0:
                    Image.fromarray(encode_labels(self.label_map(uid, k))).save(clip / "labels_rgb" / f"{k}.png")
            soundfile.write(clip / "audio.wav", rng.uniform(-0.5, 0.5, seconds * 8000), 8000)

    def write_rows(self, *clips):
        """Writes metadata.csv; takes (uid, label, split, a_obj) of each clip."""
        rows = [f"{uid},{uid},0,0,{a_obj},{split},{label}" for uid, label, split, a_obj in clips]
        (self.folder / "metadata.csv").write_text("\n".join(["vid,uid,s_min,s_sec,a_obj,split,label", *rows]) + "\n")

    def path(self, uid, part=""):
        """Of a clip's file, such as "frames/0.jpg"."""
        return self.folder / next(label for name, label, *_ in self.clips if name == uid) / uid / part

    def label_map(self, uid, k):
        """The truth of frame k, uint8 [H, W]: side by side what sounds then; of several things not each in each."""
        _, label, _, names = next(clip for clip in self.clips if clip[0] == uid)
        labels = np.zeros(self.size[::-1], np.uint8)
        for place, name in enumerate(names):
            if label == "v1s" or (place + k) % 4:
                labels[4 + k : 10 + k, 2 + 9 * place : 8 + 9 * place] = self.labels.index(name)
        return labels


@pytest.fixture
def semantic(tmp_path):
    """A folder of AVSBench-semantic's form; see the class."""
    return SemanticClips(tmp_path)
