"""AVSBench-semantic is read as a whole: each fault is found, and told with the clip and the file."""

import json
import shutil

import numpy as np
import pytest
import soundfile
from PIL import Image

from transavs.data.checking import check_dataset, present_subsets
from transavs.data.checking_semantic import PUBLISHED
from transavs.data.palette import encode_labels
from transavs.data.semantic_layout import AVSBENCH_LABELS


def paint(path, labels):
    Image.fromarray(encode_labels(np.asarray(labels, np.uint8))).save(path)


def test_nothing_is_wrong_with_a_good_dataset(semantic):
    report = check_dataset(semantic.root, ["ss"])
    assert report.problems == [] and report.remarks == {}
    found = list(report.splits.values())
    assert list(report.splits) == ["ss train", "ss val", "ss test"]
    assert [split.clips for split in found] == [3, 1, 2]
    assert [split.annotated_frames for split in found] == [1 + 5 + 10, 5, 5 + 10]
    assert [split.empty_masks for split in found] == [3, 0, 0]  # where the man of clip c_1 is silent
    assert found[0].sizes == {"30x20": 3} and "Nothing is wrong." in report.text()


def test_it_is_read_with_the_others_where_it_is_there(semantic, tmp_path_factory):
    assert present_subsets(semantic.root) == ["s4", "ms3", "ss"]
    assert present_subsets(tmp_path_factory.mktemp("none")) == ["s4", "ms3"]
    report = check_dataset(semantic.root)
    assert len(report.problems) == 2 and all("does not exist, the list of" in problem for problem in report.problems)
    assert report.splits["ss test"].clips == 2


def cut(path):
    path.write_bytes(path.read_bytes()[:45])


@pytest.mark.parametrize(
    "break_it, told",
    [
        (lambda clip: cut(clip / "frames/3.jpg"), "frames/3.jpg: not a readable frame"),
        (lambda clip: (clip / "frames/2.jpg").unlink(), "frames/2.jpg: no such file, expected a frame"),
        (lambda clip: Image.new("RGB", (4, 4)).save(clip / "frames/4.jpg"), "frames of different sizes: 30x20, 4x4"),
        (lambda clip: cut(clip / "labels_rgb/1.png"), "labels_rgb/1.png: not a readable label map"),
        (lambda clip: (clip / "labels_rgb/1.png").unlink(), "labels_rgb/1.png: no such file, expected a label map"),
        (lambda clip: paint(clip / "labels_rgb/0.png", np.ones((4, 6))), "0.png is 6x4, expected 30x20 as its frame"),
        (
            lambda clip: paint(clip / "labels_rgb/0.png", np.full((20, 30), 9)),
            "pixel in column 0, row 0 has the colour (192, 0, 0), expected one of the palette's first 5",
        ),
        (
            lambda clip: Image.new("RGB", (30, 20), (9, 9, 9)).save(clip / "labels_rgb/0.png"),
            "pixel in column 0, row 0 has the colour (9, 9, 9), expected one of the palette's first 5",
        ),
        (lambda clip: shutil.copy(clip / "labels_rgb/0.png", clip / "labels_rgb/5.png"), "labels_rgb has 6 pictures"),
        (
            lambda clip: (clip / "labels_rgb").rename(clip / "labels"),
            "labels_rgb; beside it: 'audio.wav', 'frames', 'l",
        ),
        (lambda clip: shutil.rmtree(clip), "v1m/e, expected one with frames/, labels_rgb/ and audio.wav"),
        (lambda clip: cut(clip / "audio.wav"), "audio.wav: "),
        (lambda clip: (clip / "audio.wav").unlink(), "no sound, expected "),
    ],
)
def test_what_is_wrong_with_a_clip_is_told(semantic, break_it, told):
    break_it(semantic.path("e"))
    problems = check_dataset(semantic.root, ["ss"]).problems
    assert problems and all(problem.startswith("ss test clip e: ") for problem in problems)
    assert any(told in problem for problem in problems) and not any("\n" in problem for problem in problems)


def test_a_clip_in_two_splits_is_found_by_its_frames(semantic):
    for copied in ("f", "c_1"):
        for path in semantic.path(copied, "frames").iterdir():
            path.write_bytes(semantic.path("f", f"frames/{path.name}").read_bytes())
    problems = check_dataset(semantic.root, ["ss"]).problems
    assert problems == ["ss test clip f: shows the same frames as train clip c_1: the splits overlap"]


def test_what_need_not_be_wrong_is_remarked(semantic):
    paint(semantic.path("d", "labels_rgb/2.png"), np.zeros((20, 30)))
    paint(semantic.path("a_0_5000", "labels_rgb/0.png"), np.where(np.eye(20, 30) > 0, 4, 0))
    paint(semantic.path("a_0_5000", "labels_rgb/1.png"), np.zeros((20, 30)))
    soundfile.write(semantic.path("f", "audio.wav"), np.zeros(9000), 1000)
    (semantic.folder / "v2/g").mkdir()
    report = check_dataset(semantic.root, ["ss"])
    assert report.problems == []
    folder = semantic.path("a_0_5000", "labels_rgb")
    assert report.remarks == {
        "label maps of v1s, where something sounds throughout, that are empty": [
            str(semantic.path("d", "labels_rgb/2.png"))
        ],
        "clips whose label maps show what a_obj does not name": ["ss train clip a_0_5000: man (20 pixels)"],
        "clips whose label maps never show what a_obj names": ["ss train clip a_0_5000: dog"],
        "clips with more label maps than are read": [f"ss train clip a_0_5000: {folder}/1.png"],
        "sounds of less than 9.615 s, whose last second is repeated": [str(semantic.path("f", "audio.wav"))],
        "sounds that are silent": [str(semantic.path("f", "audio.wav"))],
        "what lies beside the clips that metadata.csv names": [str(semantic.folder / "v2/g")],
    }
    assert report.splits["ss val"].empty_masks == 1


def test_rows_that_cannot_be_used_are_told_beside_the_others(semantic):
    path = semantic.folder / "metadata.csv"
    path.write_text(path.read_text() + "f,f,0,0,man,train,v2\nx,x,0,0,tree,test,v2\n")
    report = check_dataset(semantic.root, ["ss"])
    assert sum(found.clips for found in report.splits.values()) == 6
    assert report.problems == [
        "metadata.csv, row 8: uid 'f' stands already in row 7; expected each uid once",
        "metadata.csv, row 9: column 'a_obj' is 'tree', whose 'tree' is none of the 5 labels of label2idx.json",
    ]


def test_a_list_that_cannot_be_read_is_one_problem(semantic):
    (semantic.folder / "label2idx.json").write_text("{}")
    (problem,) = check_dataset(semantic.root, ["ss"]).problems
    assert problem.startswith(f"{semantic.folder}/label2idx.json: not a list of labels")


def test_the_published_counts_are_those_of_avsbenchs_csv(semantic):
    # 8,498, 1,304 and 1,554 clips; of v1s's 3,452 training clips the first frame alone is annotated.
    assert PUBLISHED == {"train": (8498, 52432), "val": (1304, 9020), "test": (1554, 11520)}
    problems = check_dataset(semantic.root, ["ss"], published=True).problems
    assert len(problems) == 1 + 9 + 6
    assert problems[0] == "label2idx.json: 5 labels, expected 71 as AVSBench has"
    assert "ss train: 1 clips of v1s, expected 3452 as AVSBench has" in problems
    assert "ss val: 0 clips of v2, expected 500 as AVSBench has" in problems
    assert "ss test: 2 clips, expected 1554 as AVSBench has" in problems
    assert "ss test: 15 annotated frames, expected 11520 as AVSBench has" in problems


def test_other_names_of_labels_than_avsbenchs_are_remarked(semantic):
    names = {name: number for number, name in enumerate((*AVSBENCH_LABELS[:70], "lady"))}
    (semantic.folder / "label2idx.json").write_text(json.dumps({**names}))
    semantic.write_rows()
    report = check_dataset(semantic.root, ["ss"], published=True)
    assert report.remarks["names of label2idx.json that are not as AVSBench's are known"] == [
        "label 70 is 'lady', not 'woman'"
    ]
