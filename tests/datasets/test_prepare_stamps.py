"""datasets/prepare_stamps.py on small folders of stamps and backgrounds made here: no network."""

import sys

import numpy as np
import prepare_stamps
import pytest
import soundfile
from PIL import Image

from transavs.data.avsbench import load_avsbench, read_clip_table
from transavs.data.synthetic import sources


def _run(output, stamps_root, backgrounds_root, *options):
    command = ["prepare_stamps.py", "--output", str(output), "--size", "64", "--workers", "1", *options]
    command += ["--stamps-root", str(stamps_root), "--backgrounds-root", str(backgrounds_root)]
    counts = {"small": {"s4": (2, 1, 2), "ms3": (2, 1, 2)}}
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(prepare_stamps, "COUNTS", counts)
        monkeypatch.setattr(sys, "argv", command)
        prepare_stamps.main()


@pytest.fixture(scope="module")
def made(tmp_path_factory, stamps_root, backgrounds_root):
    output = tmp_path_factory.mktemp("made")
    _run(output, stamps_root, backgrounds_root)
    return output


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_written_data_load_as_avsbench(made):
    for subset in ("s4", "ms3"):
        assert [len(load_avsbench(made, subset, split)) for split in ("train", "val", "test")] == [2, 1, 2]
    clip = load_avsbench(made, "s4", "test")[0]
    assert clip["category"] in ("crow", "dog", "horn", "train") and (clip["height"], clip["width"]) == (64, 64)
    assert soundfile.info(clip["audio_file_name"]).frames == 80000


def test_mask_covers_stamps_and_not_the_background(made):
    for clip in load_avsbench(made, "s4", "test") + load_avsbench(made, "ms3", "test"):
        for frame_file, mask_file in zip(clip["file_names"], clip["sem_seg_file_names"]):
            frame = np.asarray(Image.open(frame_file)).astype(int)
            mask = np.asarray(Image.open(mask_file))
            assert set(np.unique(mask)) <= {0, 255}
            redness = frame[..., 0] - frame[..., 1]
            assert (redness[mask > 0] > 0).all()


def test_same_seed_gives_same_bytes(made, tmp_path, stamps_root, backgrounds_root):
    _run(tmp_path, stamps_root, backgrounds_root)
    assert _contents(tmp_path) == _contents(made)


def test_a_split_is_the_same_without_the_others(made, tmp_path, stamps_root, backgrounds_root, capsys):
    def clips(folder):
        """Those files of the test split's clips."""
        return {name: content for name, content in _contents(folder).items() if "/test/" in name}

    def run(*without):
        _run(tmp_path, stamps_root, backgrounds_root, "--subset", "s4", *without)
        splits = [row["split"] for row in read_clip_table(tmp_path, "s4")]
        return [splits.count(split) for split in ("train", "val", "test")]

    assert run("--without", "train", "val") == [0, 0, 2]
    expected = {name: content for name, content in clips(made).items() if name.startswith("Single-source")}
    assert clips(tmp_path) == expected and len(expected) > 10
    assert (tmp_path / "oracle.json").is_file()
    assert run("--without", "train") == [0, 1, 2] and clips(tmp_path) == expected
    assert run("--without", "val") == [2, 1, 2] and clips(tmp_path) == expected  # what is there is kept
    capsys.readouterr()
    assert run("--without", "train", "val") == [2, 1, 2]
    assert "is already made with these arguments" in capsys.readouterr().out


def test_sources_are_recorded(made, stamps_root, backgrounds_root):
    text = (made / "SOURCES.txt").read_text()
    assert str(stamps_root) in text and str(backgrounds_root) in text


def test_folder_without_stamps_is_named(tmp_path, backgrounds_root):
    with pytest.raises(SystemExit, match="0 stamps of use, expected at least 3"):
        _run(tmp_path / "out", tmp_path, backgrounds_root)


def test_folder_without_backgrounds_is_named(tmp_path, stamps_root):
    with pytest.raises(SystemExit, match="0 pictures, expected at least 3"):
        _run(tmp_path / "out", stamps_root, tmp_path)


def test_missing_folder_is_named(tmp_path, backgrounds_root):
    with pytest.raises(SystemExit, match="gone is not a folder"):
        _run(tmp_path / "out", tmp_path / "gone", backgrounds_root)


def test_without_debians_packages_one_line_and_status_3(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sources, "STAMPS_FOLDER", "usr/share/no/such/folder")
    monkeypatch.setattr(sys, "argv", ["prepare_stamps.py", "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        prepare_stamps.main()
    error = capsys.readouterr().err
    assert caught.value.code == 3
    assert error.startswith("Debian's package tuxpaint-stamps-default cannot be had") and error.count("\n") == 1


def test_smaller_objects_can_be_asked_for(made, tmp_path, stamps_root, backgrounds_root):
    _run(tmp_path / "small", stamps_root, backgrounds_root, "--subset", "s4", "--area", "0.02", "0.03")
    area = {
        name: np.mean(
            [
                np.asarray(Image.open(mask)).astype(bool).mean()
                for clip in load_avsbench(root, "s4", "test")
                for mask in clip["sem_seg_file_names"]
            ]
        )
        for name, root in (("usual", made), ("small", tmp_path / "small"))
    }
    assert area["small"] < 0.04 < area["usual"]


def test_an_area_that_is_none_is_refused(tmp_path, stamps_root, backgrounds_root):
    with pytest.raises(SystemExit, match="--area is .*, expected two shares from 0.01 to 0.5"):
        _run(tmp_path / "small", stamps_root, backgrounds_root, "--area", "0.3", "0.1")
