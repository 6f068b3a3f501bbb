"""datasets/prepare_toy.py, and the writing that it shares with prepare_stamps.py."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import prepare_toy
import pytest
import soundfile
from PIL import Image

from transavs.data import load_avss
from transavs.data.avis import instance_masks, load_avis, read_categories
from transavs.data.avsbench import load_avsbench
from transavs.data.checking import check_dataset
from transavs.data.palette import read_label_map
from transavs.data.semantic_labels import class_names
from transavs.data.synthetic import ToyMaker, clip_generator
from transavs.data.synthetic.toy import OUTLINES

SCRIPT = Path(__file__).parents[2] / "datasets/prepare_toy.py"


def _run(monkeypatch, output, *options):
    command = ["prepare_toy.py", "--output", str(output), "--clips", "2", "1", "2", "--workers", "1", *options]
    monkeypatch.setattr(sys, "argv", command)
    prepare_toy.main()


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    output = tmp_path_factory.mktemp("toy")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _run(monkeypatch, output)
    return output


def test_written_data_load_as_avsbench(toy):
    for subset in ("s4", "ms3"):
        clips = {split: load_avsbench(toy, subset, split) for split in ("train", "val", "test")}
        assert [len(clips[split]) for split in clips] == [2, 1, 2]
        assert {(clip["height"], clip["width"]) for split in clips.values() for clip in split} == {(64, 64)}
    rows = [line.split(",") for line in (toy / "Multi-sources/ms3_meta_data.csv").read_text().splitlines()]
    assert [row[:2] for row in rows] == [
        ["video_id", "split"],
        ["train_00000", "train"],
        ["train_00001", "train"],
        ["val_00000", "val"],
        ["test_00000", "test"],
        ["test_00001", "test"],
    ]
    assert rows[0][2:] == ["objects"]
    for clip in load_avsbench(toy, "s4", "train"):
        assert clip["category"] in clip["objects"] and 2 <= len(clip["objects"]) <= 3
        assert set(clip["objects"]) <= set(OUTLINES)


def test_only_first_frame_of_s4_training_clips_is_annotated(toy):
    masks = list((toy / "Single-source/s4_data/gt_masks/train").rglob("*.png"))
    assert sorted(path.name for path in masks) == ["train_00000_1.png", "train_00001_1.png"]


def test_sound_is_five_seconds_at_16_khz_mono(toy):
    info = soundfile.info(load_avsbench(toy, "s4", "test")[0]["audio_file_name"])
    assert (info.frames, info.samplerate, info.channels, info.subtype) == (80000, 16000, 1, "PCM_16")


def test_ms3_mask_is_empty_exactly_where_the_second_is_silent(tmp_path, monkeypatch):
    _run(monkeypatch, tmp_path, "--subset", "ms3", "--clips", "8", "1", "1")
    empty, silent = [], []
    for clip in load_avsbench(tmp_path, "ms3", "train"):
        empty += [not np.asarray(Image.open(path)).any() for path in clip["sem_seg_file_names"]]
        samples, _ = soundfile.read(clip["audio_file_name"])
        silent += list(np.sqrt((samples.reshape(5, -1) ** 2).mean(1)) < 0.01)
    assert empty == silent and 0 < sum(empty) < len(empty)


def test_same_seed_gives_same_bytes_whatever_the_number_of_processes(run_script, toy, tmp_path):
    made = run_script(SCRIPT, "--output", tmp_path, "--clips", 2, 1, 2, "--workers", 2)
    assert made.returncode == 0, made.stdout
    assert _contents(tmp_path) == _contents(toy)


def test_other_seed_gives_other_clips(toy, tmp_path, monkeypatch):
    _run(monkeypatch, tmp_path, "--seed", "1")
    name = "Multi-sources/ms3_data/visual_frames/test_00000/test_00000.mp4_1.png"
    assert (tmp_path / name).read_bytes() != (toy / name).read_bytes()


def test_finished_output_is_kept_and_made_anew_for_other_arguments(tmp_path, monkeypatch):
    frame = tmp_path / "Multi-sources/ms3_data/visual_frames/test_00000/test_00000.mp4_1.png"
    _run(monkeypatch, tmp_path, "--subset", "ms3")
    frame.write_bytes(b"mine")
    _run(monkeypatch, tmp_path, "--subset", "ms3")
    assert frame.read_bytes() == b"mine"
    _run(monkeypatch, tmp_path, "--subset", "ms3", "--size", "48")
    assert Image.open(frame).size == (48, 48)


def test_interrupted_output_is_made_anew(toy, tmp_path, monkeypatch):
    _run(monkeypatch, tmp_path)
    manifest = tmp_path / "Single-source/manifest.json"
    unfinished = {key: value for key, value in json.loads(manifest.read_text()).items() if key != "oracle_mJ"}
    manifest.write_text(json.dumps(unfinished))
    (tmp_path / "Single-source/s4_meta_data.csv").unlink()
    _run(monkeypatch, tmp_path)
    assert _contents(tmp_path) == _contents(toy)


def test_folder_with_files_of_another_origin_is_left_alone(tmp_path, monkeypatch):
    kept = tmp_path / "Single-source/s4_meta_data.csv"
    kept.parent.mkdir()
    kept.write_text("precious")
    with pytest.raises(SystemExit, match="holds files that this script did not make"):
        _run(monkeypatch, tmp_path)
    assert kept.read_text() == "precious"


@pytest.mark.parametrize(
    "options, message", [(["--size", "8"], "--size is 8"), (["--clips", "1", "0", "1"], "at least 1 of each")]
)
def test_bad_option_is_named(tmp_path, monkeypatch, options, message):
    with pytest.raises(SystemExit, match=message):
        _run(monkeypatch, tmp_path, *options)


def test_an_output_without_instances_is_made_anew(toy, tmp_path, monkeypatch):
    _run(monkeypatch, tmp_path)
    for folder in tmp_path.glob("*/*/gt_instances"):
        shutil.rmtree(folder)
    _run(monkeypatch, tmp_path)
    assert _contents(tmp_path) == _contents(toy)


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_instances_are_the_masks_object_by_object(toy, subset):
    heard = set()
    for clip in load_avsbench(toy, subset, "test"):
        samples, _ = soundfile.read(clip["audio_file_name"])
        levels = np.sqrt((samples.reshape(5, -1) ** 2).mean(1))
        for second, (mask, instances) in enumerate(zip(clip["sem_seg_file_names"], clip["instance_file_names"])):
            numbers = np.asarray(Image.open(instances))
            assert np.array_equal(numbers > 0, np.asarray(Image.open(mask)) > 0)
            names = [clip["objects"][number - 1] for number in np.unique(numbers[numbers > 0])]
            assert bool(names) == (levels[second] > 0.01)
            if subset == "s4":
                assert names == [clip["category"]]
            heard.add(len(names))
    assert heard == ({1} if subset == "s4" else {1, 2, 3})


def test_oracle_file_holds_the_mean_over_test_frames(toy):
    scores = json.loads((toy / "oracle.json").read_text())
    assert set(scores) == {"s4", "ms3"} and all(0 < score["mJ"] <= 1 for score in scores.values())


@pytest.fixture(scope="module")
def semantic_toy(tmp_path_factory):
    output = tmp_path_factory.mktemp("toy_ss")
    with pytest.MonkeyPatch.context() as monkeypatch:
        _run(monkeypatch, output, "--subset", "ss", "--clips", "3", "3", "6")
    return output


def test_clips_with_classes_load_as_avsbench_semantic(semantic_toy):
    assert check_dataset(semantic_toy, ["ss"]).problems == []
    names = list(OUTLINES)
    assert class_names(semantic_toy) == names
    heard = set()
    for clip in load_avss(semantic_toy, "test"):
        seconds = len(clip["file_names"])
        samples, _ = soundfile.read(clip["audio_file_name"])
        levels = np.sqrt((samples.reshape(seconds, -1) ** 2).mean(1))
        for level, path in zip(levels, clip["sem_seg_file_names"]):
            labels = np.unique(read_label_map(path, clip["num_labels"]))
            shown = [names[label - 1] for label in labels if label]
            assert bool(shown) == (level > 0.01) and set(shown) <= set(clip["objects"])
            heard.add(len(shown))
        assert 2 <= len(clip["objects"]) <= 3 and seconds in (5, 10)
    assert heard >= {0, 1, 2}


def test_the_oracle_of_classes_knows_all_but_what_sounds(semantic_toy):
    found = json.loads((semantic_toy / "oracle.json").read_text())["ss"]["mIoU"]
    maker, sums = ToyMaker(64), np.zeros((2, 6))  # IoU and frames of each label
    for index in range(6):
        label = ("v1s", "v1m", "v2")[index % 3]
        seconds = 10 if label == "v2" else 5
        clip = maker.make_clip(
            clip_generator(0, "ss", "test", index), "s4" if label == "v1s" else "ms3", "test", seconds
        )
        numbers = [1 + maker.names.index(name) for name in clip.objects]
        for k in range(10):
            guess, truth = np.zeros((64, 64), int), np.zeros((64, 64), int)
            for number, shown, sounding in zip(numbers, clip.shown, clip.sounding):
                if k < seconds:
                    guess[shown[k]], truth[sounding[k]] = number, number
            for number in range(6):
                either = ((guess == number) | (truth == number)).sum()
                if either:
                    sums[:, number] += ((guess == number) & (truth == number)).sum() / either, 1
    assert found == pytest.approx((sums[0] / np.maximum(sums[1], 1)).mean(), abs=5e-5)
    assert 0.3 < found < 0.9


def test_the_lists_of_instances_have_each_object_in_each_second_in_which_it_sounds(toy, tmp_path, monkeypatch):
    for split in ("train", "val", "test"):
        list_file = toy / f"Multi-sources/ms3_instances_{split}.json"
        names, listed, expected = (
            read_categories(list_file),
            load_avis(list_file, toy),
            load_avsbench(toy, "ms3", split),
        )
        for clip, other in zip(listed, expected, strict=True):
            assert (clip["file_names"], clip["audio_file_name"]) == (other["file_names"], other["audio_file_name"])
            identities = {}  # of each object: what identities its masks have
            for annotations, path in zip(clip["annotations"], other["instance_file_names"]):
                masks, numbers = instance_masks(annotations, 64, 64), np.asarray(Image.open(path))
                assert len(masks) == len(np.setdiff1d(numbers, [0]))
                for annotation, mask in zip(annotations, masks):
                    number = numbers[mask].min()
                    assert np.array_equal(mask, numbers == number)
                    identities.setdefault(number, set()).add(annotation["id"])
                    name = list(names.values())[annotation["category"]]
                    assert name == other["objects"][number - 1]
            assert all(len(found) == 1 for found in identities.values())
    before = _contents(toy)
    shutil.copytree(toy, tmp_path, dirs_exist_ok=True)
    for path in tmp_path.glob("Multi-sources/ms3_instances_*.json"):
        path.unlink()  # an output of an earlier version
    _run(monkeypatch, tmp_path)
    assert _contents(tmp_path) == before
