"""The evaluator of instances, on annotations in memory."""

import json

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances

from transavs.data.errors import AVSDatasetError
from transavs.evaluation import AVSEvaluator, InstanceEvaluator, avs_evaluator, evaluator_of
from transavs.evaluation.avs_evaluator import decode_mask, encode_mask

NAME, SIZE = "instance_evaluator_test", (20, 30)


def box(left, top=5):
    mask = torch.zeros(SIZE, dtype=torch.bool)
    mask[top : top + 8, left : left + 8] = True
    return mask


def make_clip(video, first_second, truth, found, num_classes=2):
    """truth: for each frame (id, category, mask); found: (query, class, score, mask)."""
    annotations = [
        [{"id": i, "category": c, "segmentation": encode_mask(mask)} for i, c, mask in frame] for frame in truth
    ]
    clip = {
        "video_id": f"{video}_{first_second}",
        "video": video,
        "first_second": first_second,
        "file_names": [f"{video}/{second}.jpg" for second in range(len(truth))],
        "annotations": annotations,
        "num_labels": 3,
        "height": SIZE[0],
        "width": SIZE[1],
    }
    instances = [
        Instances(
            SIZE,
            query_index=torch.tensor([entry[0] for entry in frame], dtype=torch.int64),
            pred_classes=torch.tensor([entry[1] for entry in frame], dtype=torch.int64),
            scores=torch.tensor([entry[2] for entry in frame]),
            pred_masks=torch.stack([entry[3] for entry in frame]) if frame else torch.zeros(0, *SIZE, dtype=torch.bool),
        )
        for frame in found
    ]
    sem_seg = torch.zeros(len(truth), num_classes, *SIZE)
    for soft_map, frame in zip(sem_seg, found):
        for _, category, score, mask in frame:
            soft_map[category][mask] = score
    return clip, {"sem_seg": sem_seg, "instances": instances}


@pytest.fixture
def clips():
    """A video of two clips, in which the second object is taken over by another query; and a video that is silent."""
    MetadataCatalog.get(NAME).set(evaluator_type="avis", thing_dataset_id_to_contiguous_id={4: 0, 9: 1})
    left, right = box(2), box(18)
    first = make_clip(
        7, 0, [[(1, 0, left), (2, 1, right)]] * 2, [[(3, 0, 0.9, left), (4, 1, 0.8, box(19))], [(3, 0, 0.7, left)]]
    )
    second = make_clip(7, 2, [[(2, 1, right)], []], [[(5, 1, 0.6, right)], [(3, 0, 0.6, left)]])
    yield [first, second, make_clip(8, 0, [[]], [[]])]
    MetadataCatalog.remove(NAME)


def process(clips, batch_size=1, **arguments):
    evaluator = InstanceEvaluator(NAME, **arguments)
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        evaluator.process([clip for clip, _ in batch], [output for _, output in batch])
    return evaluator


def test_the_clips_of_a_video_are_one_and_its_objects_are_followed(clips, tmp_path):
    scores = process(clips, output_dir=str(tmp_path)).evaluate()["instances"]
    assert scores["FSLAm"] == pytest.approx((15 / 19 + 0) / 2)  # IoU 7/9 at 15 thresholds; then one is missing
    assert (scores["FSLAs"], scores["FSLAn"]) == (1, 0.5)
    assert scores["IDF1"] == pytest.approx((2 * 2 / (2 + 3) + 2 * 2 / (3 + 2)) / 2)  # one class, then the other
    written = json.loads((tmp_path / "instances.json").read_text())
    assert written["scores"] == scores
    assert (written["num_videos"], written["num_frames"], written["num_silent_frames"]) == (2, 5, 2)
    assert [(track["video_id"], track["category_id"]) for track in written["tracks"]] == [(7, 4), (7, 9)]
    seen = [[mask is not None for mask in track["segmentations"]] for track in written["tracks"]]
    assert seen == [[True, True, False, True], [True, False, True, False]]
    assert written["tracks"][1]["score"] == pytest.approx(0.7)
    assert np.array_equal(decode_mask(written["tracks"][1]["segmentations"][2]), box(18).numpy())


def test_what_sounds_is_scored_as_without_instances(clips):
    results = process(clips).evaluate()["avs"]
    assert results["FPR_frame"] == 0.5
    iou = [(64 + 56) / (64 + 72), 64 / 128, 1, 1 - 64 / 600, 1]
    assert results["mJ"] == pytest.approx(np.mean(iou))


def test_batch_size_order_and_repetition_change_nothing(clips):
    once = process(clips).evaluate()
    assert process(clips, batch_size=3).evaluate() == once
    assert process(clips[::-1], batch_size=2).evaluate() == once
    assert process(clips + clips[:2]).evaluate() == once


def test_a_video_shared_out_to_two_processes_gives_the_same(clips, monkeypatch):
    once = process(clips).evaluate()
    shares = [process(clips[:1]), process(clips[1:])]
    monkeypatch.setattr(avs_evaluator.comm, "gather", lambda clips, dst: [share._clips for share in shares[::-1]])
    assert shares[0].evaluate() == once
    monkeypatch.setattr(avs_evaluator.comm, "is_main_process", lambda: False)
    assert shares[1].evaluate() == {}


def test_a_model_of_one_class_is_asked_for_objects_alone(clips):
    truth = [[(1, 0, box(2)), (2, 1, box(18))]]
    found = [[(3, 0, 0.9, box(2)), (4, 0, 0.8, box(18))]]
    scores = process([make_clip(1, 0, truth, found, num_classes=1)]).evaluate()["instances"]
    assert {scores[name] for name in ("AP", "HOTA", "IDF1", "FSLA", "FSLAm")} == {1.0}


def test_with_another_sound_every_object_is_a_false_one(clips):
    scores = process(clips, own_audio=False).evaluate()
    assert scores["instances"]["FSLAn"] == scores["instances"]["FSLA"] == 1 / 5
    assert scores["instances"]["HOTA"] == scores["instances"]["AP50"] == 0


def test_a_model_of_other_classes_is_told(clips):
    wrong = make_clip(1, 0, [[]], [[]], num_classes=5)
    with pytest.raises(AVSDatasetError, match="clip 1_0: instance_evaluator_test has 2 categories, and the model 5 cl"):
        process([wrong])


def test_an_output_of_other_frames_is_told(clips):
    clip, output = clips[0]
    with pytest.raises(ValueError, match=r"clip 7_0: `sem_seg` is \[1, 2, 20, 30\] for \(2, 20, 30\) \(F, H, W\)"):
        process([(clip, {**output, "sem_seg": output["sem_seg"][:1]})])


def test_a_dataset_says_which_evaluator_it_wants(clips):
    assert evaluator_of(NAME) is InstanceEvaluator and issubclass(InstanceEvaluator, AVSEvaluator)
    assert evaluator_of("toy_instances_test").main_score == "instances/AP50"
