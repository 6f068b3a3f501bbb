"""The evaluator of classes, on label maps written to disk."""

import csv
import json

import numpy as np
import pytest
import torch
from detectron2.data import MetadataCatalog
from PIL import Image

from transavs.data.errors import AVSDatasetError
from transavs.data.palette import encode_labels
from transavs.evaluation import AVSEvaluator, SemanticEvaluator, avs_evaluator, evaluator_of
from transavs.evaluation.avs_evaluator import decode_mask
from transavs.evaluation.semantic_metrics import class_scores, summarize_classes
from transavs.inference import class_map

NAME, CLASSES, SIZE = "semantic_evaluator_test", ["bell", "cow", "dog"], (6, 8)


def make_clip(folder, video_id, seconds, annotated=None):
    """(mapper's dict, model's output, predicted labels, true labels), labels being uint8 [F, H, W]."""
    generator = torch.Generator().manual_seed(seconds)
    truth = torch.randint(0, len(CLASSES) + 1, (seconds, *SIZE), generator=generator, dtype=torch.uint8)
    truth[:, 2:] = 0
    annotated = range(seconds) if annotated is None else annotated
    paths = [str(folder / f"{video_id}_{k}.png") if k in annotated else None for k in range(seconds)]
    for path, labels in zip(paths, truth):
        if path:
            Image.fromarray(encode_labels(labels.numpy())).save(path)
    clip = {
        "video_id": video_id,
        "file_names": [f"{video_id}_{k}.jpg" for k in range(seconds)],
        "sem_seg_file_names": paths,
        "num_labels": len(CLASSES) + 1,
    }
    soft_map = torch.rand(seconds, len(CLASSES), *SIZE, generator=generator) * 0.7
    return clip, {"sem_seg": soft_map}, class_map(soft_map, 0.5), truth


@pytest.fixture
def clips(tmp_path):
    MetadataCatalog.get(NAME).set(stuff_classes=CLASSES, evaluator_type="avss")
    yield [make_clip(tmp_path, f"clip{number}", seconds) for number, seconds in enumerate((5, 10, 4))]
    MetadataCatalog.remove(NAME)


def process(clips, batch_size=1, **arguments):
    evaluator = SemanticEvaluator(NAME, **arguments)
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        evaluator.process([clip[0] for clip in batch], [clip[1] for clip in batch])
    return evaluator


def expected_scores(clips):
    """The frames up to the tenth second are added, by their number or as frames of background."""
    scores = []
    for clip, _, prediction, truth in clips:
        scores.append(class_scores(prediction, truth, clip["num_labels"]))
        empty = torch.zeros(10 - len(truth), *SIZE, dtype=torch.uint8)
        if len(empty):
            scores.append(class_scores(empty, empty, clip["num_labels"]))
    padded = summarize_classes(scores)
    clean = summarize_classes([class_scores(prediction, truth, 4) for _, _, prediction, truth in clips])
    return {**padded, **{name: clean[name] for name in ("mIoU_classes", "mF_classes")}}


def test_scores_of_classes_stand_beside_those_of_what_sounds(clips, tmp_path):
    results = process(clips).evaluate()
    assert results["avss"] == pytest.approx(expected_scores(clips), abs=1e-12)
    assert all(type(value) is float for value in results["avss"].values())
    without_classes = AVSEvaluator(NAME)
    without_classes.process([clip[0] for clip in clips], [clip[1] for clip in clips])
    assert results["avs"] == without_classes.evaluate()["avs"]


def test_batch_size_order_and_repetition_change_nothing(clips):
    once = process(clips).evaluate()
    assert process(clips, batch_size=3).evaluate() == once
    assert process(clips[::-1], batch_size=2).evaluate() == once
    assert process(clips + clips[:2]).evaluate() == once


def test_clips_shared_out_to_two_processes_give_the_same(clips, monkeypatch):
    once = process(clips).evaluate()
    shares = [process(clips[:2]), process(clips[1:])]
    monkeypatch.setattr(avs_evaluator.comm, "gather", lambda clips, dst: [share._clips for share in shares])
    assert shares[0].evaluate() == once
    monkeypatch.setattr(avs_evaluator.comm, "is_main_process", lambda: False)
    assert shares[1].evaluate() == {}


def test_the_files_hold_every_class_and_every_pair_of_labels(clips, tmp_path):
    results = process(clips, output_dir=str(tmp_path / "out")).evaluate()
    with open(tmp_path / "out/classes.csv") as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["name"]) for row in rows] == [
        ("0", "background"),
        ("1", "bell"),
        ("2", "cow"),
        ("3", "dog"),
    ]
    assert np.mean([float(row["IoU"]) for row in rows[1:]]) == pytest.approx(results["avss"]["mIoU_classes"])
    with open(tmp_path / "out/confusion.csv") as file:
        header, *table = list(csv.reader(file))
    prediction, truth = (torch.cat([clip[part].flatten() for clip in clips]) for part in (2, 3))
    assert header == ["true label", "background", *CLASSES] == ["true label", *(row[0] for row in table)]
    for true, row in enumerate(table):
        assert [int(cell) for cell in row[1:]] == [
            int(((truth == true) & (prediction == label)).sum()) for label in range(4)
        ]
    written = json.loads((tmp_path / "out/results.json").read_text())
    assert (written["semantic"], written["scores"]) == (results["avss"], results["avs"])


def test_predictions_name_the_class_of_each_mask(clips, tmp_path):
    process(clips, output_dir=str(tmp_path / "out")).evaluate()
    written = json.loads((tmp_path / "out/predictions.json").read_text())
    assert written["categories"] == [{"id": 0, "name": "bell"}, {"id": 1, "name": "cow"}, {"id": 2, "name": "dog"}]
    for entry, (_, _, prediction, _) in zip(written["clips"], clips, strict=True):
        for frame, labels in zip(entry["frames"], prediction, strict=True):
            found = np.zeros(SIZE, np.uint8)
            for part in frame["classes"]:
                found[decode_mask(part["segmentation"])] = part["category_id"] + 1
            assert np.array_equal(found, labels.numpy())


def test_frames_without_annotation_are_not_scored(tmp_path, clips):
    clip = make_clip(tmp_path, "some", 10, annotated=(1, 4))
    _, _, prediction, truth = clip
    expected = summarize_classes([class_scores(prediction[[1, 4]], truth[[1, 4]], 4)])
    assert process([clip]).evaluate()["avss"] == expected


def test_a_model_of_other_classes_is_told(clips):
    clip, output, *_ = clips[0]
    with pytest.raises(ValueError, match="clip0: semantic_evaluator_test has 3 classes, and the model 2 "):
        process([(clip, {"sem_seg": output["sem_seg"][:, :2]})])


def test_an_unknown_colour_is_named(clips, tmp_path):
    Image.new("RGB", SIZE[::-1], (1, 2, 3)).save(tmp_path / "clip0_2.png")
    with pytest.raises(AVSDatasetError, match=r"clip0_2.png: pixel in column 0, row 0 has the colour \(1, 2, 3\)"):
        process(clips[:1])


def test_a_dataset_says_which_evaluator_it_wants(clips):
    assert evaluator_of(NAME) is SemanticEvaluator and evaluator_of("toy_s4_test") is AVSEvaluator
    assert evaluator_of("avsbench_ss_test").main_score == "avss/mIoU"
    assert evaluator_of("not_registered") is AVSEvaluator
    MetadataCatalog.remove("not_registered")
