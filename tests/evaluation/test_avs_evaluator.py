"""The evaluator against the metrics' own functions, on masks written to disk."""

import datetime
import json
import logging
import subprocess
import sys

import numpy as np
import pytest
import torch
import torch.distributed as dist
from detectron2.structures import Instances
from PIL import Image

from transavs.data.avsbench import AVSDatasetError
from transavs.evaluation import AVSEvaluator, avs_evaluator, metrics

HEIGHT, WIDTH, NUM_FRAMES = 12, 10, 5


def make_clip(folder, video_id, category=None, annotated=range(NUM_FRAMES), seed=0):
    """One clip: (mapper's dict, model's output, its probabilities [T, H, W], its masks [T, H, W])."""
    generator = torch.Generator().manual_seed(seed)
    masks = torch.rand(NUM_FRAMES, HEIGHT, WIDTH, generator=generator) > 0.6
    masks[seed % NUM_FRAMES] = False
    paths = [folder / f"{video_id}_{k}.png" if k in annotated else None for k in range(NUM_FRAMES)]
    for path, mask in zip(paths, masks):
        if path is not None:
            Image.fromarray(mask.numpy().astype(np.uint8) * 255).save(path)
    clip = {
        "video_id": video_id,
        "file_names": [f"{video_id}_{k}.jpg" for k in range(NUM_FRAMES)],
        "sem_seg_file_names": [path and str(path) for path in paths],
        "frame_indices": torch.arange(NUM_FRAMES),
        "height": HEIGHT,
        "width": WIDTH,
    }
    if category:
        clip["category"] = category
    probabilities = torch.rand(NUM_FRAMES, HEIGHT, WIDTH, generator=generator)
    instances = [Instances((HEIGHT, WIDTH), scores=torch.tensor([0.3, 0.1 * k])) for k in range(NUM_FRAMES)]
    return clip, {"sem_seg": probabilities[:, None], "instances": instances}, probabilities, masks


@pytest.fixture
def clips(tmp_path):
    categories = ["cat", "dog", "cat", "dog"]
    return [make_clip(tmp_path, f"video{k}", category, seed=k) for k, category in enumerate(categories)]


def evaluate(clips, batch_size=1, **arguments):
    evaluator = AVSEvaluator("some_dataset", **arguments)
    evaluator.reset()
    for start in range(0, len(clips), batch_size):
        batch = clips[start : start + batch_size]
        evaluator.process([clip[0] for clip in batch], [clip[1] for clip in batch])
    return evaluator.evaluate()


def expected_summary(clips):
    return metrics.summarize([metrics.clip_scores(probabilities, masks) for _, _, probabilities, masks in clips])


def read_json(path):
    return json.loads(path.read_text())


def test_scores_are_those_of_the_metrics_as_plain_fractions(clips):
    results = evaluate(clips)
    assert dict(results) == {"avs": expected_summary(clips)}
    assert all(type(value) is float for value in results["avs"].values())


def test_with_another_sound_all_that_is_segmented_is_false(clips, tmp_path):
    own, other = evaluate(clips)["avs"], evaluate(clips, own_audio=False, output_dir=tmp_path)["avs"]
    shares = [
        (probability > 0.5).double().mean().item() for _, _, probabilities, _ in clips for probability in probabilities
    ]
    assert other["FPR_pixel"] == pytest.approx(sum(shares) / len(shares))
    assert other["FPR_frame"] == 1.0
    assert (own["mJ"], own["mF"]) == (other["mJ"], other["mF"])
    written = read_json(tmp_path / avs_evaluator.RESULTS_FILE)
    assert (written["own_audio"], written["num_silent_frames"]) == (False, 4 * NUM_FRAMES)


def test_batch_size_order_and_repetition_change_nothing(clips):
    once = evaluate(clips)
    assert evaluate(clips, batch_size=4) == once
    assert evaluate(clips[::-1], batch_size=3) == once
    assert evaluate(clips + clips[:2]) == once


def test_clips_shared_out_to_two_processes_give_the_same(clips, monkeypatch):
    once = evaluate(clips)
    shares = []
    for share in (clips[:3], clips[2:]):  # the third clip is in both, as a sampler that pads would have it
        evaluator = AVSEvaluator("some_dataset")
        evaluator.process([clip[0] for clip in share], [clip[1] for clip in share])
        shares.append(evaluator)
    monkeypatch.setattr(avs_evaluator.comm, "gather", lambda clips, dst: [share._clips for share in shares])
    assert shares[0].evaluate() == once
    monkeypatch.setattr(avs_evaluator.comm, "is_main_process", lambda: False)
    assert shares[1].evaluate() == {}


WORKER = """
import datetime, sys, torch, torch.distributed as dist
folder = sys.argv[1]
from transavs.evaluation import AVSEvaluator
dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=1, world_size=2)
evaluator = AVSEvaluator("some_dataset", output_dir=f"{folder}/out")
clips = torch.load(f"{folder}/clips.pt", weights_only=False)
evaluator.process([clip for clip, _ in clips], [output for _, output in clips])
assert evaluator.evaluate() == {}
dist.destroy_process_group()  # at the interpreter's end, gloo's threads would now and then abort it
"""


@pytest.mark.slow
def test_two_real_processes_write_the_same_files_as_one(clips, tmp_path):
    evaluate(clips, output_dir=str(tmp_path / "alone"))
    torch.save([(clip, output) for clip, output, _, _ in clips[1::2]], tmp_path / "clips.pt")
    other = subprocess.Popen([sys.executable, "-W", "ignore", "-c", WORKER, str(tmp_path)])
    try:
        rendezvous = f"file://{tmp_path}/rendezvous"
        dist.init_process_group("gloo", rendezvous, rank=0, world_size=2, timeout=datetime.timedelta(seconds=120))
        evaluate(clips[0::2], output_dir=str(tmp_path / "out"))
        assert other.wait(timeout=120) == 0
    finally:
        other.kill()
        if dist.is_initialized():
            dist.destroy_process_group()
    for name in ("results.json", "predictions.json"):
        assert (tmp_path / "out" / name).read_text() == (tmp_path / "alone" / name).read_text()


def test_frames_without_annotation_are_written_but_not_scored(tmp_path):
    clip = make_clip(tmp_path, "only_two", annotated=(1, 3), seed=7)
    results = evaluate([clip], output_dir=str(tmp_path / "out"))
    _, _, probabilities, masks = clip
    assert results["avs"] == metrics.summarize([metrics.clip_scores(probabilities[[1, 3]], masks[[1, 3]])])
    written = read_json(tmp_path / "out" / "predictions.json")["clips"][0]["frames"]
    assert [frame["frame_index"] for frame in written] == [0, 1, 2, 3, 4]
    assert read_json(tmp_path / "out" / "results.json")["num_frames"] == 2


def test_frame_indices_say_which_frames_were_predicted(tmp_path):
    clip, output, probabilities, masks = make_clip(tmp_path, "some_frames", seed=3)
    chosen = [4, 1]
    clip["frame_indices"] = torch.tensor(chosen)
    picked = {"sem_seg": output["sem_seg"][chosen], "instances": [output["instances"][k] for k in chosen]}
    evaluator = AVSEvaluator("some_dataset", output_dir=str(tmp_path / "out"))
    evaluator.process([clip], [picked])
    expected = metrics.summarize([metrics.clip_scores(probabilities[chosen], masks[chosen])])
    assert evaluator.evaluate()["avs"] == expected
    frames = read_json(tmp_path / "out" / "predictions.json")["clips"][0]["frames"]
    assert [frame["file_name"] for frame in frames] == ["some_frames_4.jpg", "some_frames_1.jpg"]


def test_with_several_classes_the_most_probable_one_counts(tmp_path):
    clip, output, probabilities, masks = make_clip(tmp_path, "classes", seed=1)
    other = torch.rand(probabilities.shape, generator=torch.Generator().manual_seed(99))
    output["sem_seg"] = torch.stack([probabilities, other], dim=1)
    expected = metrics.summarize([metrics.clip_scores(torch.maximum(probabilities, other), masks)])
    assert evaluate([(clip, output)])["avs"] == expected


def test_written_masks_decode_to_the_thresholded_probabilities(clips, tmp_path):
    evaluate(clips, output_dir=str(tmp_path / "out"), threshold=0.7)
    written = read_json(tmp_path / "out" / "predictions.json")
    assert (written["dataset"], written["threshold"]) == ("some_dataset", 0.7)
    for entry, (clip, _, probabilities, _) in zip(written["clips"], clips, strict=True):
        assert (entry["video_id"], entry["category"]) == (clip["video_id"], clip["category"])
        for k, frame in enumerate(entry["frames"]):
            decoded = avs_evaluator.decode_mask(frame["segmentation"])
            assert np.array_equal(decoded, (probabilities[k] > 0.7).numpy())
            assert frame["file_name"] == clip["file_names"][k]
            assert frame["score"] == pytest.approx(max(0.3, 0.1 * k))


def test_a_frame_without_instances_is_scored_by_its_best_pixel(tmp_path):
    clip, output, probabilities, _ = make_clip(tmp_path, "no_instances")
    output["instances"][0] = output["instances"][0][[]]
    evaluate([(clip, output)], output_dir=str(tmp_path / "out"))
    frames = read_json(tmp_path / "out" / "predictions.json")["clips"][0]["frames"]
    assert frames[0]["score"] == pytest.approx(float(probabilities[0].max()))


def test_results_file_holds_every_clip_and_category(clips, tmp_path):
    evaluate(clips, output_dir=str(tmp_path / "out"))
    results = read_json(tmp_path / "out" / "results.json")
    assert results["scores"] == expected_summary(clips)
    assert (results["dataset"], results["threshold"], results["beta_squared"]) == ("some_dataset", 0.5, 0.3)
    assert (results["num_clips"], results["num_frames"], results["num_sounding_frames"]) == (4, 20, 16)
    assert results["categories"]["dog"] == {**expected_summary(clips[1::2]), "num_clips": 2}
    for entry, (clip, _, probabilities, masks) in zip(results["clips"], clips, strict=True):
        scores = metrics.clip_scores(probabilities, masks)
        assert entry["video_id"] == clip["video_id"]
        assert entry["jaccard"] == scores["jaccard"]
        assert entry["mJ"] == pytest.approx(np.mean(scores["jaccard"]))
        assert (entry["F"], entry["F@0.5"]) == (scores["f"], scores["f_at_threshold"])


def test_the_table_shows_percent_for_all_and_for_each_category(clips, caplog):
    with caplog.at_level(logging.INFO, logger="transavs.evaluation.avs_evaluator"):
        summary = evaluate(clips)["avs"]
    rows = [line for line in caplog.text.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["category", rows[1].split("|")[1], "cat", "dog", "all"]
    assert f"{100 * summary['mJ']:.2f}" in rows[-1] and f"{100 * summary['mF_dataset']:.2f}" in rows[-1]


def test_reset_forgets_earlier_clips(clips):
    evaluator = AVSEvaluator("some_dataset")
    evaluator.process([clips[0][0]], [clips[0][1]])
    evaluator.reset()
    evaluator.process([clips[1][0]], [clips[1][1]])
    assert evaluator.evaluate()["avs"] == expected_summary(clips[1:2])


def test_a_missing_mask_is_named(tmp_path):
    clip, output, _, _ = make_clip(tmp_path, "gone")
    (tmp_path / "gone_2.png").unlink()
    with pytest.raises(AVSDatasetError, match="gone_2.png"):
        evaluate([(clip, output)])


def test_a_mask_of_another_size_is_named(tmp_path):
    clip, output, _, _ = make_clip(tmp_path, "odd")
    Image.new("L", (WIDTH + 1, HEIGHT)).save(tmp_path / "odd_0.png")
    with pytest.raises(AVSDatasetError, match="odd_0.png: mask has 12 x 11 pixels .* the prediction 12 x 10"):
        evaluate([(clip, output)])


def test_a_clip_without_annotation_is_named(tmp_path):
    clip, output, _, _ = make_clip(tmp_path, "bare", annotated=())
    with pytest.raises(AVSDatasetError, match="bare: none of the frames .* has a mask"):
        evaluate([(clip, output)])


def test_an_output_that_does_not_fit_its_clip_is_named(tmp_path):
    clip, output, probabilities, _ = make_clip(tmp_path, "short")
    with pytest.raises(ValueError, match="short: 3 predicted frames for frame indices"):
        evaluate([(clip, {"sem_seg": output["sem_seg"][:3]})])
    with pytest.raises(ValueError, match=r"short: `sem_seg` must be \[F, NUM_CLASSES, H, W\], got \[5, 12, 10\]"):
        evaluate([(clip, {"sem_seg": probabilities})])
    with pytest.raises(ValueError, match="clip short: probability must lie in"):
        evaluate([(clip, {"sem_seg": output["sem_seg"] + 1})])


def test_evaluating_nothing_is_an_error():
    with pytest.raises(ValueError, match="no clip of some_dataset was evaluated"):
        AVSEvaluator("some_dataset").evaluate()
