"""A whole dataset is read: each fault is found, and told with the clip and the file."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from transavs.data.checking import PUBLISHED, check_dataset
from transavs.data.layout import LAYOUTS, ClipPaths

SPLITS = {"a": "train", "b": "val", "c": "test", "d": "train"}


def save(path, pixels):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_clip(root, subset, split, name, number):
    """Of noise, with masks of one pixel that sounds, and instances of it."""
    rng = np.random.default_rng(number)
    paths = ClipPaths(root, subset, split, name, "dog")
    for k in range(1, 6):
        save(paths.frame(k), rng.integers(0, 256, (8, 12, 3), dtype=np.uint8))
        if k in LAYOUTS[subset].annotated_frames(split):
            mask = np.zeros((8, 12), np.uint8)
            mask[k, k] = 255
            save(paths.mask(k), mask)
            save(paths.instances(k), mask // 255 * 3)
    Path(paths.wav).parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(paths.wav, rng.uniform(-0.5, 0.5, 80000), 16000)


@pytest.fixture(params=["s4", "ms3"])
def dataset(request, tmp_path):
    """(root, subset, a function that gives a clip's paths): four clips in whom nothing is wrong."""
    subset = request.param
    for number, (name, split) in enumerate(SPLITS.items()):
        write_clip(tmp_path, subset, split, name, number)
    extra = ",category" if subset == "s4" else ""
    rows = [f"{name},{split}{extra and ',dog'}" for name, split in SPLITS.items()]
    (tmp_path / LAYOUTS[subset].csv_file).write_text("\n".join([f"name,split{extra}", *rows]) + "\n")
    return tmp_path, subset, lambda name: ClipPaths(tmp_path, subset, SPLITS[name], name, "dog")


def test_nothing_is_wrong_with_a_good_dataset(dataset):
    root, subset, _ = dataset
    report = check_dataset(root, [subset])
    assert report.problems == [] and report.remarks == {}
    assert [found.clips for found in report.splits.values()] == [2, 1, 1]
    assert [found.annotated_frames for found in report.splits.values()] == [2 if subset == "s4" else 10, 5, 5]
    assert report.splits[f"{subset} val"].sizes == {"12x8": 1} and "Nothing is wrong." in report.text()


def cut(path):
    with open(path, "r+b") as file:
        file.truncate(45)


def two_sounds(paths):
    """A wav that is fine, beside a log-mel that is not."""
    Path(paths.log_mel).parent.mkdir(parents=True)
    Path(paths.log_mel).write_bytes(pickle.dumps(torch.zeros(5, 96, 64)))


@pytest.mark.parametrize(
    "break_it, told",
    [
        (lambda paths: cut(paths.frame(3)), "_3.png: not a readable frame"),
        (lambda paths: Path(paths.frame(2)).unlink(), "_2.png: no such file, expected a frame"),
        (lambda paths: save(paths.frame(5), np.zeros((4, 4, 3), np.uint8)), "frames of different sizes: 12x8, 4x4"),
        (lambda paths: cut(paths.mask(1)), "_1.png: not a readable mask"),
        (lambda paths: save(paths.mask(1), np.zeros((4, 6), np.uint8)), "_1.png is 6x4, expected 12x8 as its frame"),
        (lambda paths: save(paths.instances(1), np.zeros((8, 12), np.uint8)), "shows other pixels than"),
        (lambda paths: cut(paths.wav), ".wav: "),
        (lambda paths: Path(paths.wav).unlink(), "no sound, expected "),
        (two_sounds, ".pkl: log-mel has shape [5, 96, 64]"),
    ],
)
def test_what_is_wrong_with_a_clip_is_told(dataset, break_it, told):
    root, subset, paths_of = dataset
    break_it(paths_of("b"))
    problems = check_dataset(root, [subset]).problems
    assert problems and all(problem.startswith(f"{subset} val clip b: ") for problem in problems)
    assert any(told in problem for problem in problems) and not any("\n" in problem for problem in problems)


def test_a_clip_in_two_splits_is_found_by_its_frames(dataset):
    root, subset, paths_of = dataset
    for k in range(1, 6):
        Path(paths_of("c").frame(k)).write_bytes(Path(paths_of("a").frame(k)).read_bytes())
        Path(paths_of("d").frame(k)).write_bytes(Path(paths_of("a").frame(k)).read_bytes())
    report = check_dataset(root, [subset])
    assert report.problems == [f"{subset} test clip c: shows the same frames as train clip a: the splits overlap"]
    assert report.remarks == {
        "clips that show the same as another one of their split": [
            f"{subset} train clip d: shows the same frames as train clip a"
        ]
    }


def test_what_need_not_be_wrong_is_remarked(dataset):
    root, subset, paths_of = dataset
    save(paths_of("a").mask(1), np.zeros((8, 12), np.uint8))
    save(paths_of("a").instances(1), np.zeros((8, 12), np.uint8))
    save(paths_of("b").mask(1), np.where(np.eye(8, 12) > 0, 7, 0).astype(np.uint8))
    save(paths_of("b").instances(1), np.eye(8, 12).astype(np.uint8))
    soundfile.write(paths_of("c").wav, np.zeros(3000), 1000)
    report = check_dataset(root, [subset])
    assert report.problems == []
    empty = {"masks of S4, where something sounds throughout, that are empty": [paths_of("a").mask(1)]}
    assert report.splits[f"{subset} train"].empty_masks == 1
    assert report.remarks == {
        **(empty if subset == "s4" else {}),
        "masks of other values than 0 and 255 (all but 0 sound)": [paths_of("b").mask(1)],
        "sounds of less than 4.815 s, whose last second is repeated": [paths_of("c").wav],
        "sounds that are silent": [paths_of("c").wav],
    }
    assert f"sounds that are silent: 1, such as {paths_of('c').wav}" in report.text()


def test_rows_that_cannot_be_used_are_told_beside_the_others(dataset):
    root, subset, _ = dataset
    path = root / LAYOUTS[subset].csv_file
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1].replace("train", "test"), lines[2].replace("b,", "../b,")]))
    report = check_dataset(root, [subset])
    assert sum(found.clips for found in report.splits.values()) == 4
    assert report.problems == [
        f"{LAYOUTS[subset].csv_file}, row 6: id 'a' stands already in row 2; expected each id once",
        f"{LAYOUTS[subset].csv_file}, row 7: column 'name' is '../b', expected a file's name without a path",
    ]


def test_the_counts_are_those_of_table_2(dataset):
    root, subset, _ = dataset
    problems = check_dataset(root, [subset], published=True).problems
    clips, frames = PUBLISHED[subset]["val"]
    assert len(problems) == 6
    assert f"{subset} val: 1 clips, expected {clips} as AVSBench has" in problems
    assert f"{subset} val: 5 annotated frames, expected {frames} as AVSBench has" in problems


def test_many_problems_are_counted_and_the_first_shown(tmp_path):
    path = tmp_path / LAYOUTS["ms3"].csv_file
    path.parent.mkdir(parents=True)
    path.write_text("\n".join(["name,split", *(f"{number},test" for number in range(30))]))
    report = check_dataset(tmp_path)
    assert len(report.problems) == 30 * (5 + 5 + 1) + 1  # and S4's list
    assert "331 problem(s)\n" in report.text() and report.text().endswith("... and 311 more")
