"""The catalog of AVSBench's layout: what it lists, and what it says of a dataset that is not as it must be."""

import csv
from pathlib import Path

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

from transavs.data import header_cache
from transavs.data.avsbench import AVSDatasetError, ClipPaths, load_avsbench, register_avs_dataset

WIDTH, HEIGHT = 12, 8


def _write_image(path, width=WIDTH, height=HEIGHT):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((height, width), np.uint8)).save(path)


def _write_clip(root, subset, split, name, category=None, mask_frames=range(1, 6)):
    paths = ClipPaths(root, subset, split, name, category)
    for k in range(1, 6):
        _write_image(paths.frame(k))
    for k in mask_frames:
        _write_image(paths.mask(k))
    Path(paths.wav).parent.mkdir(parents=True, exist_ok=True)
    Path(paths.wav).write_bytes(b"RIFF")
    return paths


def _write_csv(root, subset, *lines):
    name = "Single-source/s4_meta_data.csv" if subset == "s4" else "Multi-sources/ms3_meta_data.csv"
    path = Path(root, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def s4(tmp_path):
    """An S4 dataset of one training and one test clip."""
    _write_csv(tmp_path, "s4", "name,split,category", "a_1000_6000,train,dog", "b_0_5000,test,cat")
    _write_clip(tmp_path, "s4", "train", "a_1000_6000", "dog", mask_frames=[1])
    _write_clip(tmp_path, "s4", "test", "b_0_5000", "cat")
    return tmp_path


@pytest.fixture
def ms3(tmp_path):
    """An MS3 dataset of one test clip."""
    _write_csv(tmp_path, "ms3", "video_id,split", "m1,test")
    _write_clip(tmp_path, "ms3", "test", "m1")
    return tmp_path


def _error(root, subset, split):
    with pytest.raises(AVSDatasetError) as caught:
        load_avsbench(root, subset, split)
    return str(caught.value)


def test_s4_training_clip_has_its_official_paths_and_one_mask(s4):
    (clip,) = load_avsbench(s4, "s4", "train")
    data = s4 / "Single-source/s4_data"
    assert clip == {
        "video_id": "a_1000_6000",
        "category": "dog",
        "objects": ["dog"],
        "file_names": [f"{data}/visual_frames/train/dog/a_1000_6000/a_1000_6000_{k}.png" for k in range(1, 6)],
        "sem_seg_file_names": [f"{data}/gt_masks/train/dog/a_1000_6000/a_1000_6000_1.png", None, None, None, None],
        "audio_file_name": f"{data}/audio_wav/train/dog/a_1000_6000.wav",
        "height": HEIGHT,
        "width": WIDTH,
    }


def test_s4_test_clip_has_five_masks(s4):
    (clip,) = load_avsbench(s4, "s4", "test")
    assert [Path(path).name for path in clip["sem_seg_file_names"]] == [f"b_0_5000_{k}.png" for k in range(1, 6)]


def test_instances_are_listed_where_they_are_there(s4):
    paths = ClipPaths(s4, "s4", "train", "a_1000_6000", "dog")
    _write_image(paths.instances(1))
    (clip,) = load_avsbench(s4, "s4", "train")
    folder = s4 / "Single-source/s4_data/gt_instances/train/dog/a_1000_6000"
    assert clip["instance_file_names"] == [f"{folder}/a_1000_6000_1.png", None, None, None, None]
    assert "instance_file_names" not in load_avsbench(s4, "s4", "test")[0]


def test_a_clip_with_some_of_its_instances_is_reported(ms3):
    paths = ClipPaths(ms3, "ms3", "test", "m1")
    for k in (1, 2, 3, 5):
        _write_image(paths.instances(k))
    assert f"instances of a frame are missing or empty: expected {paths.instances(4)}" in _error(ms3, "ms3", "test")


def test_ms3_clip_has_its_official_paths_and_no_category(ms3):
    (clip,) = load_avsbench(ms3, "ms3", "test")
    data = ms3 / "Multi-sources/ms3_data"
    assert "category" not in clip
    assert clip["file_names"][4] == f"{data}/visual_frames/m1/m1.mp4_5.png"
    assert clip["sem_seg_file_names"][0] == f"{data}/gt_masks/test/m1/m1_1.png"
    assert clip["audio_file_name"] == f"{data}/audio_wav/test/m1.wav"


def test_log_mel_is_taken_where_there_is_no_wav(ms3):
    paths = ClipPaths(ms3, "ms3", "test", "m1")
    Path(paths.wav).unlink()
    Path(paths.log_mel).parent.mkdir(parents=True)
    Path(paths.log_mel).write_bytes(b"x")
    assert load_avsbench(ms3, "ms3", "test")[0]["audio_file_name"] == paths.log_mel


def test_the_objects_of_a_clip_come_from_their_column_or_else_from_the_category(s4, ms3):
    assert load_avsbench(s4, "s4", "test")[0]["objects"] == ["cat"]
    assert "objects" not in load_avsbench(ms3, "ms3", "test")[0]
    _write_csv(s4, "s4", "name,split,category,objects", "b_0_5000,test,cat,bird; cat")
    _write_csv(ms3, "ms3", "video_id,split,objects", "m1,test,drum;dog")
    assert load_avsbench(s4, "s4", "test")[0]["objects"] == ["bird", "cat"]
    assert load_avsbench(ms3, "ms3", "test")[0]["objects"] == ["drum", "dog"]


def test_columns_may_stand_in_any_order_and_the_first_have_any_name(s4):
    _write_csv(s4, "s4", "\ufeffwhatever,category,more,split", "b_0_5000,cat,7,test", "")
    assert load_avsbench(s4, "s4", "test")[0]["category"] == "cat"


def test_registered_dataset_is_read_only_when_used(tmp_path):
    name = f"own_{tmp_path.name}"
    register_avs_dataset(name, tmp_path / "nowhere", "ms3", "val")
    metadata = MetadataCatalog.get(name)
    assert (metadata.evaluator_type, metadata.subset, metadata.stuff_classes) == ("avs", "ms3", ["sounding"])
    with pytest.raises(AVSDatasetError, match="nowhere does not exist"):
        DatasetCatalog.get(name)


@pytest.mark.parametrize("prefix", ["avsbench", "stamps", "toy"])
@pytest.mark.parametrize("subset", ["s4", "ms3"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_named_datasets_are_registered_by_import(prefix, subset, split):
    name = f"{prefix}_{subset}_{split}"
    assert name in DatasetCatalog.list()
    assert Path(MetadataCatalog.get(name).root).name == {"avsbench": "AVSBench"}.get(prefix, prefix)


def test_unknown_subset_and_split_are_named(tmp_path):
    with pytest.raises(AVSDatasetError, match="unknown subset 's5': expected one of s4, ms3"):
        register_avs_dataset("x", tmp_path, "s5", "train")
    with pytest.raises(AVSDatasetError, match="unknown split 'dev': expected one of train, val, test"):
        register_avs_dataset("x", tmp_path, "s4", "dev")


def test_missing_root_and_csv_say_how_to_get_the_data(tmp_path):
    missing = _error(tmp_path / "gone", "s4", "train")
    assert f"{tmp_path / 'gone'} does not exist" in missing and "datasets/README.md" in missing
    no_csv = _error(tmp_path, "s4", "train")
    assert "s4_meta_data.csv does not exist" in no_csv and "prepare_toy.py" in no_csv


def test_csv_without_a_needed_column_is_named(s4):
    path = _write_csv(s4, "s4", "name,split,label", "b_0_5000,test,cat")
    message = _error(s4, "s4", "test")
    assert str(path) in message and "no column 'category' in the header 'name,split,label'" in message


def test_empty_csv_says_what_header_is_expected(s4):
    path = Path(s4, "Single-source/s4_meta_data.csv")
    path.write_text("")
    assert f"{path} is empty: expected a header such as name,split,category" in _error(s4, "s4", "test")


@pytest.mark.parametrize(
    "row, problem",
    [
        ("c,dev,cat", "row 3: column 'split' is 'dev', expected one of train, val, test"),
        ("b_0_5000,train,cat", "row 3: id 'b_0_5000' stands already in row 2"),
        ("c,train,", "row 3: column 'category' is empty"),
        ("c,train", "row 3: 2 values, expected 3 as in the header"),
        ("../c,train,cat", "row 3: column 'name' is '../c', expected a file's name without a path"),
        ("/etc/c,train,cat", "row 3: column 'name' is '/etc/c', expected a file's name without a path"),
        ("..,train,cat", "row 3: column 'name' is '..', expected a file's name without a path"),
        ("c,train,..", "row 3: column 'category' is '..', expected a file's name without a path"),
        ("..\\c,train,cat", "expected a file's name without a path"),
        ("c\0d,train,cat", r"row 3: column 'name' is 'c\x00d', expected a file's name without a path"),
        (f"{'c' * 201},train,cat", "expected a file's name without a path"),
    ],
)
def test_bad_row_is_named_with_its_number(s4, row, problem):
    path = _write_csv(s4, "s4", "name,split,category", "b_0_5000,test,cat", row)
    message = _error(s4, "s4", "test")
    assert str(path) in message and problem in message


def test_split_without_clips_is_named(s4):
    assert "no clip in split 'val', expected at least one" in _error(s4, "s4", "val")


@pytest.mark.parametrize("what, path_of", [("frame", ClipPaths.frame), ("mask", ClipPaths.mask)])
def test_clip_with_a_file_too_few_is_named_with_the_file(ms3, what, path_of):
    path = Path(path_of(ClipPaths(ms3, "ms3", "test", "m1"), 3))
    path.unlink()
    assert f"clip m1: {what} 3 of 5 is missing or empty: expected {path}" in _error(ms3, "ms3", "test")


def test_missing_unannotated_frame_is_found(s4):
    path = Path(ClipPaths(s4, "s4", "train", "a_1000_6000", "dog").frame(5))
    path.unlink()
    assert f"frame 5 of 5 is missing or empty: expected {path}" in _error(s4, "s4", "train")


def test_empty_file_counts_as_missing(ms3):
    paths = ClipPaths(ms3, "ms3", "test", "m1")
    Path(paths.mask(2)).write_bytes(b"")
    Path(paths.wav).write_bytes(b"")
    message = _error(ms3, "ms3", "test")
    assert "2 problem(s)" in message
    assert f"mask 2 of 5 is missing or empty: expected {paths.mask(2)}" in message
    assert f"clip m1: no audio: expected {paths.wav} or {paths.log_mel}" in message


def test_mask_of_another_size_than_its_frame_is_named(ms3):
    path = ClipPaths(ms3, "ms3", "test", "m1").mask(4)
    _write_image(path, width=WIDTH + 1)
    assert f"mask {path} is 13x8 (width x height), expected 12x8" in _error(ms3, "ms3", "test")


def test_frame_of_another_size_than_the_first_is_named(ms3):
    paths = ClipPaths(ms3, "ms3", "test", "m1")
    for path in (paths.frame(2), paths.mask(2)):
        _write_image(path, height=HEIGHT + 2)
    assert f"frame {paths.frame(2)} is 12x10 (width x height), expected 12x8" in _error(ms3, "ms3", "test")


def test_file_that_is_not_an_image_is_named(ms3):
    path = Path(ClipPaths(ms3, "ms3", "test", "m1").frame(1))
    path.write_text("not a png")
    assert f"{path}: not a readable frame" in _error(ms3, "ms3", "test")


def test_many_problems_are_counted_and_the_first_shown(tmp_path):
    with open(_write_csv(tmp_path, "ms3"), "w", newline="") as file:
        csv.writer(file).writerows([("id", "split")] + [(f"m{i}", "dev") for i in range(25)])
    message = _error(tmp_path, "ms3", "test")
    assert "25 problem(s)" in message and "row 11:" in message and "row 12:" not in message and "and 15 more" in message


def test_a_registered_dataset_is_listed_again_without_opening_a_picture(s4, monkeypatch):
    register_avs_dataset("listed_s4_test", s4, "s4", "test")
    try:
        first = DatasetCatalog.get("listed_s4_test")
        header_cache._cache_at.cache_clear()  # as in another process
        monkeypatch.setattr(header_cache, "image_size", None)
        assert DatasetCatalog.get("listed_s4_test") == first == load_avsbench(s4, "s4", "test")
    finally:
        DatasetCatalog.remove("listed_s4_test")
        MetadataCatalog.remove("listed_s4_test")


def test_folders_may_lie_elsewhere(ms3, tmp_path_factory):
    """By a link, as where frames lie on another disk."""
    elsewhere = tmp_path_factory.mktemp("disk") / "frames"
    (ms3 / "Multi-sources/ms3_data/visual_frames").rename(elsewhere)
    (ms3 / "Multi-sources/ms3_data/visual_frames").symlink_to(elsewhere)
    assert len(load_avsbench(ms3, "ms3", "test")) == 1
