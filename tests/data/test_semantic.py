"""AVSBench-semantic's catalog: what it lists, and what it says of a folder that is not as it must be."""

import shutil

import numpy as np
import pytest
from detectron2.data import DatasetCatalog, MetadataCatalog
from PIL import Image

import transavs
from transavs.data import header_cache
from transavs.data.errors import AVSDatasetError
from transavs.data.palette import encode_labels, read_label_map
from transavs.data.semantic import check_semantic_table, load_avss, register_avss_dataset
from transavs.data.semantic_labels import read_labels
from transavs.data.semantic_layout import AVSBENCH_LABELS

NAME = "semantic_test"


@pytest.fixture
def register(semantic):
    """Registers NAME: a split of the folder."""

    def make(split, root=semantic.root, labels=()):
        register_avss_dataset(NAME, root, split, labels)
        return MetadataCatalog.get(NAME)

    yield make
    if NAME in DatasetCatalog:
        DatasetCatalog.remove(NAME)
        MetadataCatalog.remove(NAME)


def error_of(semantic, split="test"):
    """What is told of a folder, whose first line names the csv or the file."""
    with pytest.raises(AVSDatasetError) as raised:
        load_avss(semantic.root, split)
    first, *rest = str(raised.value).splitlines()
    assert str(semantic.folder) in first and all(line.startswith("  ") for line in rest)
    return str(raised.value)


def test_a_clip_is_listed_with_all_that_the_mapper_and_the_evaluator_need(semantic):
    clips = load_avss(semantic.root, "test")
    assert [clip["video_id"] for clip in clips] == ["e", "f"]
    folder = semantic.folder / "v1m/e"
    assert clips[0] == {
        "video_id": "e",
        "file_names": [f"{folder}/frames/{k}.jpg" for k in range(5)],
        "sem_seg_file_names": [f"{folder}/labels_rgb/{k}.png" for k in range(5)],
        "audio_file_name": f"{folder}/audio.wav",
        "height": 20,
        "width": 30,
        "num_labels": 5,
        "objects": ["dog", "man"],
    }
    assert len(clips[1]["file_names"]) == len(clips[1]["sem_seg_file_names"]) == 10
    truth = read_label_map(clips[1]["sem_seg_file_names"][7], clips[1]["num_labels"])
    assert np.array_equal(truth, semantic.label_map("f", 7)) and set(np.unique(truth)) == {0, 3, 4}


def test_in_training_a_single_source_has_its_first_frame_alone_annotated(semantic):
    first, second, third = load_avss(semantic.root, "train")
    assert [path is None for path in first["sem_seg_file_names"]] == [False, True, True, True, True]
    assert None not in second["sem_seg_file_names"] and len(second["sem_seg_file_names"]) == 5
    assert None not in third["sem_seg_file_names"] and len(third["sem_seg_file_names"]) == 10
    assert None not in load_avss(semantic.root, "val")[0]["sem_seg_file_names"]


def test_the_folder_itself_may_be_given(semantic):
    assert load_avss(semantic.folder, "train") == load_avss(semantic.root, "train")


def test_names_may_hold_what_stands_between_them_and_a_space(semantic):
    """AVSBench's own csv has an "h orse"; Stamps has a cow_white beside a cow."""
    semantic.write_rows(("f", "v2", "test", "cow_cow_white_m an_dog"), ("e", "v1m", "test", "off-the-screen_man"))
    objects = [clip["objects"] for clip in load_avss(semantic.root, "test")]
    assert objects == [["cow", "cow_white", "man", "dog"], ["off-the-screen", "man"]]


def test_all_that_a_clip_shows_may_have_a_column(semantic):
    path = semantic.folder / "metadata.csv"
    header, *rows = path.read_text().splitlines()
    path.write_text("\n".join([f"{header},objects", *(f"{row},man;tree ;cow_white" for row in rows)]))
    assert load_avss(semantic.root, "test")[0]["objects"] == ["man", "tree", "cow_white"]


def test_it_is_registered_with_its_classes(register):
    metadata = register("test")
    assert (metadata.evaluator_type, metadata.subset, metadata.split) == ("avss", "ss", "test")
    assert metadata.stuff_classes == metadata.thing_classes == ["cow", "cow_white", "dog", "man"]
    assert metadata.thing_colors == metadata.stuff_colors == [(128, 0, 0), (0, 128, 0), (128, 128, 0), (0, 0, 128)]
    assert [clip["video_id"] for clip in DatasetCatalog.get(NAME)] == ["e", "f"]


def test_a_dataset_that_is_listed_names_its_classes_anew(register, semantic):
    metadata = register("val")
    assert metadata.stuff_classes[0] == "cow"
    (semantic.folder / "label2idx.json").write_text('{"background": 0, "cat": 2, "cow": 1}')
    semantic.write_rows(("d", "v1s", "val", "cow"))
    assert DatasetCatalog.get(NAME)[0]["num_labels"] == 3
    assert metadata.stuff_classes == ["cow", "cat"]


def test_avsbench_has_its_71_labels_before_its_files_are_there(register, tmp_path):
    labels = ("background", *map(str, range(70)))
    metadata = register("train", tmp_path / "none", labels)
    assert metadata.stuff_classes == list(labels[1:])
    assert AVSBENCH_LABELS[:2] == ("background", "accordion") and len(set(AVSBENCH_LABELS)) == 71
    assert len(MetadataCatalog.get("avsbench_ss_test").thing_classes) == 70


@pytest.mark.parametrize("prefix", ["avsbench", "stamps", "toy"])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_named_datasets_are_registered_by_import(prefix, split):
    metadata = MetadataCatalog.get(f"{prefix}_ss_{split}")
    assert f"{prefix}_ss_{split}" in DatasetCatalog.list() and metadata.subset == "ss"
    assert metadata.root == MetadataCatalog.get(f"{prefix}_s4_{split}").root


def test_it_is_one_of_the_public_names(semantic):
    assert transavs.register_avss_dataset is register_avss_dataset
    with pytest.raises(AVSDatasetError, match="unknown split 'dev': expected one of train, val, test"):
        register_avss_dataset("x", semantic.root, "dev")


def test_it_is_listed_again_without_opening_a_picture(register, semantic, monkeypatch):
    register("test")
    first = DatasetCatalog.get(NAME)
    header_cache._cache_at.cache_clear()  # as in another process
    monkeypatch.setattr(header_cache, "image_size", None)
    assert DatasetCatalog.get(NAME) == first
    assert (semantic.folder / header_cache.FILE_NAME).is_file()


# ---- Bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, told",
    [
        ("", "not a list of labels (JSONDecodeError: "),
        ("[" * 99999, "not a list of labels (RecursionError: "),
        ('["background", "cow"]', "it holds no names with their labels, expected {"),
        ('{"background": 0}', "it has 1 labels, expected 2 to 256"),
        ('{"background": 0, "cow": 2}', "'cow' has the label 2, expected one of 0 to 1"),
        ('{"background": 0, "cow": "1"}', "'cow' has the label '1', expected one of 0 to 1"),
        ('{"background": 0, "cow": true}', "'cow' has the label True, expected one of 0 to 1"),
        ('{"background": 0, "cow": 0}', "'background' and 'cow' both have the label 0, expected one of its own"),
        ('{"background": 0, "cow": 1, "cow": 2}', "label 2 has the name 'cow', expected one to print that no other"),
        ('{"background": 0, "c\\nw": 1}', r"label 1 has the name 'c\nw', expected one to print"),
        ('{"cow": 0, "background": 1}', "label 0 is 'cow', expected 'background'"),
        (" " * (1 << 20) + "{}", "it has 1048578 bytes, expected at most 1048576"),
    ],
)
def test_a_bad_list_of_labels_is_told_in_one_line(semantic, content, told):
    path = semantic.folder / "label2idx.json"
    path.write_text(content)
    with pytest.raises(AVSDatasetError) as raised:
        read_labels(semantic.root)
    message = str(raised.value)
    assert message.startswith(f"{path}: not a list of labels (") and told in message and "\n" not in message


def test_labels_of_another_number_than_expected_are_told(register):
    register("test", labels=("background", *map(str, range(70))))
    with pytest.raises(AVSDatasetError, match=r"label2idx\.json: not a list of labels .*has 5 labels, expected 71"):
        DatasetCatalog.get(NAME)


@pytest.mark.parametrize("name", ["label2idx.json", "metadata.csv"])
def test_a_missing_list_says_how_to_get_the_data(semantic, name):
    (semantic.folder / name).unlink()
    message = error_of(semantic)
    assert f"{semantic.folder / name} does not exist" in message and "datasets/README.md" in message


def test_a_missing_folder_says_how_to_get_the_data(tmp_path):
    with pytest.raises(AVSDatasetError, match=f"{tmp_path}/AVSBench-semantic/label2idx.json does not exist.*README.md"):
        load_avss(tmp_path, "test")
    with pytest.raises(AVSDatasetError, match=f"dataset folder {tmp_path}/AVSBench-semantic does not exist"):
        check_semantic_table(tmp_path, ["background", "cow"])


def test_a_missing_column_is_named(semantic):
    path = semantic.folder / "metadata.csv"
    path.write_text("vid,uid,s_min,s_sec,split,label\n")
    assert f"{path}: no column 'a_obj' in the header 'vid,uid,s_min,s_sec,split,label'; expected" in error_of(semantic)


@pytest.mark.parametrize(
    "row, problem",
    [
        ("f,f,0,0,man_tree,test,v2", "column 'a_obj' is 'man_tree', whose 'tree' is none of the 5 labels of label2idx"),
        ("f,f,0,0,,test,v2", "column 'a_obj' is '', whose '' is none of the 5 labels"),
        ("f,f,0,0,white,test,v2", "whose 'white' is none of the 5 labels"),
        ("f,f,0,0,man,dev,v2", "column 'split' is 'dev', expected one of train, val, test"),
        ("f,f,0,0,man,test,v3", "column 'label' is 'v3', expected one of v1s, v1m, v2"),
        ("f,f,0,0,man,test,../v2", "column 'label' is '../v2', expected one of v1s, v1m, v2"),
        ("f,../f,0,0,man,test,v2", "column 'uid' is '../f', expected a file's name without a path"),
        ("f,/etc,0,0,man,test,v2", "column 'uid' is '/etc', expected a file's name without a path"),
        ("f,..,0,0,man,test,v2", "column 'uid' is '..', expected a file's name without a path"),
        ("f,..\\f,0,0,man,test,v2", "expected a file's name without a path"),
        ("f,f\0,0,0,man,test,v2", r"column 'uid' is 'f\x00', expected a file's name without a path"),
        ("f,,0,0,man,test,v2", "column 'uid' is '', expected a file's name without a path"),
        (f"f,{'f' * 201},0,0,man,test,v2", "expected a file's name without a path"),
        ("f,f,0,0,man", "5 values, expected 7 as in the header"),
        ("f,e,0,0,man,test,v2", "uid 'e' stands already in row 2; expected each uid once"),
    ],
)
def test_a_bad_row_is_named_with_its_number(semantic, row, problem):
    semantic.write_rows(("e", "v1m", "test", "dog_man"))
    path = semantic.folder / "metadata.csv"
    path.write_text(path.read_text() + row + "\n")
    message = error_of(semantic)
    assert message.startswith(f"{path}: 1 problem(s)\n  row 3: ") and problem in message


def test_a_row_of_another_split_that_is_bad_is_told_too(semantic):
    semantic.write_rows(("e", "v1m", "test", "dog_man"), ("d", "v1s", "val", "tree"))
    assert "row 3: column 'a_obj' is 'tree'" in error_of(semantic)


def test_a_split_without_clips_is_named(semantic):
    semantic.write_rows(("e", "v1m", "test", "dog_man"))
    assert "no clip in split 'val', expected at least one" in error_of(semantic, "val")


@pytest.mark.parametrize("part, what", [("frames/3.jpg", "frame 4 of 5"), ("labels_rgb/0.png", "mask 1 of 5")])
def test_a_missing_picture_is_named(semantic, part, what):
    semantic.path("e", part).unlink()
    message = error_of(semantic)
    assert f"clip e: {what} is missing or empty: expected {semantic.path('e', part)}" in message


def test_a_missing_frame_without_annotation_is_found(semantic):
    semantic.path("a_0_5000", "frames/4.jpg").unlink()
    assert "clip a_0_5000: frame 5 of 5 is missing or empty" in error_of(semantic, "train")


def test_of_files_that_lie_elsewhere_it_is_told_what_there_is(semantic):
    clip = semantic.path("e")
    (clip / "labels_rgb").rename(clip / "labels_semantic")
    shutil.rmtree(semantic.path("f"))
    message = error_of(semantic)
    told = f"  clip e: no folder {clip}/labels_rgb; beside it: 'audio.wav', 'frames', 'labels_semantic'\n"
    assert told in message
    assert f"clip f: no folder {semantic.path('f')}, expected one with frames/, labels_rgb/ and audio.wav" in message
    assert message.count("\n") == 2  # nothing more of the files in them


@pytest.mark.parametrize("part", ["frames", "labels_rgb"])
def test_ten_pictures_of_five_seconds_are_told(semantic, part):
    folder = semantic.path("e", part)
    for k in range(5, 10):
        first = next(folder.glob("0.*"))
        shutil.copy(first, folder / f"{k}{first.suffix}")
    assert f"clip e: {folder} has 10 pictures, expected at most 5 as a clip of v1m lasts 5 s" in error_of(semantic)


@pytest.mark.parametrize("break_it", [lambda path: path.unlink(), lambda path: path.write_bytes(b"")])
def test_a_video_without_sound_is_named(semantic, break_it):
    path = semantic.path("e", "audio.wav")
    break_it(path)
    assert f"clip e: no audio: expected {path}" in error_of(semantic)


def test_sizes_that_differ_are_told(semantic):
    path = semantic.path("e", "labels_rgb/2.png")
    Image.fromarray(encode_labels(np.ones((8, 9), np.uint8))).save(path)
    assert f"clip e: mask {path} is 9x8 (width x height), expected 30x20 (width x height) as its frame" in error_of(
        semantic
    )
    path = semantic.path("f", "frames/9.jpg")
    Image.new("RGB", (9, 8)).save(path)
    message = error_of(semantic)
    assert f"clip f: frame {path} is 9x8 (width x height), expected 30x20 (width x height) as the first" in message
