"""Training and scoring on a list of videos with instances, by the trainer."""

import json

import numpy as np
import pytest
import soundfile
import torch
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from PIL import Image

from transavs import register_avis_dataset
from transavs.engine import AVSTrainer

NAME, SIZE = "trainer_instances", 32


@pytest.fixture
def dataset(tmp_path):
    """A video of 7 seconds, two clips, in which one object sounds in the first 6 and another one in the last 5."""
    for second in range(7):
        Image.new("RGB", (SIZE, SIZE), (20 * second, 90, 60)).save(tmp_path / f"{second}.png")
    soundfile.write(tmp_path / "sound.wav", np.zeros(7 * 16000), 16000)
    square = [[2, 2, 14, 2, 14, 14, 2, 14]], [[18, 18, 30, 18, 30, 30, 18, 30]]
    masks = [square[0]] * 6 + [None], [None] * 2 + [square[1]] * 5
    content = {
        "videos": [
            {
                "id": 1,
                "file_names": [f"{second}.png" for second in range(7)],
                "audio_file_name": "sound.wav",
                "height": SIZE,
                "width": SIZE,
            }
        ],
        "categories": [{"id": 1, "name": "bell"}, {"id": 2, "name": "drum"}],
        "annotations": [
            {"id": number, "video_id": 1, "category_id": number, "segmentations": of_frames}
            for number, of_frames in enumerate(masks, start=1)
        ],
    }
    (tmp_path / "list.json").write_text(json.dumps(content))
    register_avis_dataset(NAME, tmp_path / "list.json", tmp_path)
    yield NAME
    DatasetCatalog.remove(NAME)
    MetadataCatalog.remove(NAME)


@pytest.mark.parametrize("num_classes", [1, 2])
def test_instances_train_and_are_scored(dataset, small_cfg, tmp_path, num_classes):
    cfg = small_cfg("INPUT.TARGETS", "instances", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", num_classes)
    cfg.DATASETS.TRAIN = cfg.DATASETS.TEST = (dataset,)
    cfg.SOLVER.IMS_PER_BATCH, cfg.DATALOADER.NUM_WORKERS = 2, 0
    cfg.INPUT.IMAGE_SIZE = cfg.INPUT.MIN_SIZE_TEST = SIZE
    cfg.OUTPUT_DIR = str(tmp_path / "output")
    torch.manual_seed(0)
    model = build_model(cfg)
    batch = next(iter(AVSTrainer.build_train_loader(cfg)))
    classes = {label for clip in batch for frame in clip["instances"] for label in frame.gt_classes.tolist()}
    assert classes <= set(range(num_classes)) and max(len(f) for clip in batch for f in clip["instances"]) == 2
    sum(model(batch).values()).backward()
    model.mask_head.classifier.bias.data[-1] = -9.0  # so that something is found
    scores = AVSTrainer.test(cfg, model)
    assert set(scores) == {"instances", "avs"}
    written = json.loads((tmp_path / f"output/inference/{dataset}/instances.json").read_text())
    assert (written["num_videos"], written["num_frames"], written["num_instances"]) == (1, 7, 11)
    assert written["num_predicted"] and written["scores"] == scores["instances"]
