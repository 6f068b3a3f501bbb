"""datasets/prepare_stamps.py on small folders of stamps and backgrounds made here: no network."""

import sys
from pathlib import Path

import numpy as np
import prepare_stamps
import pytest
import soundfile
from PIL import Image, ImageDraw

from transavs.data.avsbench import load_avsbench

RATE = 22050


def _tone(frequency, seconds, level=0.5):
    return level * np.sin(2 * np.pi * frequency * np.arange(round(RATE * seconds)) / RATE)


def _write_stamp(folder, name, sound, picture_alpha=255):
    folder.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGBA", (80, 60))
    ImageDraw.Draw(picture).ellipse((5, 5, 70, 50), fill=(200, 30, 30, picture_alpha))
    picture.save(folder / f"{name}.png")
    soundfile.write(folder / f"{name}.ogg", sound, RATE, format="OGG", subtype="VORBIS")


@pytest.fixture(scope="module")
def stamps_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("stamps")
    _write_stamp(root / "animals/birds", "crow", _tone(300, 1.0))
    _write_stamp(root / "animals", "dog", _tone(700, 1.3))
    _write_stamp(root / "hobbies", "horn", _tone(1500, 1.6))
    _write_stamp(root / "vehicles", "train", _tone(3000, 6.0))
    return root


@pytest.fixture(scope="module")
def backgrounds_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("backgrounds")
    for i in range(6):
        grey = 40 * i
        Image.new("RGB", (200, 150), (grey, grey, grey)).save(root / f"picture_{i}.png")
    return root


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


def test_sources_are_recorded(made, stamps_root, backgrounds_root):
    text = (made / "SOURCES.txt").read_text()
    assert str(stamps_root) in text and str(backgrounds_root) in text


def test_no_background_is_in_two_splits(backgrounds_root):
    photographs = prepare_stamps.load_backgrounds(backgrounds_root, 32)
    greys = {split: {photo.picture.getpixel((0, 0))[0] for photo in photos} for split, photos in photographs.items()}
    assert sorted(map(len, greys.values())) == [1, 2, 3]
    assert sorted(set.union(*greys.values())) == [0, 40, 80, 120, 160, 200]


@pytest.mark.parametrize(
    "name, sound",
    [
        ("silent", np.zeros(RATE)),
        ("faint", _tone(500, 2.0, level=0.05)),
        ("click", _tone(500, 0.3)),
        ("copy", _tone(300, 1.0, level=0.3)),  # of the crow's sound, at another level
        ("crow_desc", _tone(900, 1.0)),
    ],
)
def test_stamp_without_a_useful_sound_of_its_own_is_dropped(tmp_path, stamps_root, name, sound):
    for path in stamps_root.rglob("*.*"):
        (tmp_path / path.relative_to(stamps_root)).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path.relative_to(stamps_root)).write_bytes(path.read_bytes())
    _write_stamp(tmp_path / "household", name, sound)
    assert [s.name for s in prepare_stamps.load_stamps(tmp_path, 64)] == ["crow", "dog", "horn", "train"]


def test_see_through_stamp_is_dropped(tmp_path):
    _write_stamp(tmp_path, "glass", _tone(500, 1.0), picture_alpha=60)
    assert prepare_stamps.read_picture(tmp_path / "glass.png") is None


def test_pauses_are_cut_out_of_a_sound(tmp_path):
    sound = np.concatenate([_tone(500, 0.5), np.zeros(2 * RATE), _tone(500, 0.5)])
    _write_stamp(tmp_path, "pauses", sound)
    seconds = len(prepare_stamps.read_sound(tmp_path / "pauses.ogg")) / 16000
    assert 1.0 <= seconds <= 1.35


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
    monkeypatch.setattr(prepare_stamps, "STAMPS_FOLDER", "usr/share/no/such/folder")
    monkeypatch.setattr(sys, "argv", ["prepare_stamps.py", "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as caught:
        prepare_stamps.main()
    error = capsys.readouterr().err
    assert caught.value.code == 3
    assert error.startswith("Debian's package tuxpaint-stamps-default cannot be had") and error.count("\n") == 1


def test_package_lists_are_fetched_when_the_systems_are_empty(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    commands = []

    def run(*command, cwd):
        commands.append(command)
        if command[:2] == ("apt-get", "download"):
            raise prepare_stamps.subprocess.CalledProcessError(100, command, stderr="E: Unable to locate package")
        if command[-2:] == ("download", "some-package"):
            Path(cwd, "some-package_1.0_all.deb").touch()
        if command[0] == "dpkg":
            Path(cwd, "files/usr/share/some").mkdir(parents=True)
        return "1.0-2"

    monkeypatch.setattr(prepare_stamps, "_run", run)
    root = prepare_stamps.package_root("some-package", "usr/share/some")
    assert [command[-1] for command in commands[:3]] == ["some-package", "update", "some-package"]
    assert f"Dir::State::Lists={tmp_path}/transavs/debian/apt/lists" in commands[1]
    assert root == tmp_path / "transavs/debian/some-package" and (root / "usr/share/some").is_dir()
    assert "some-package 1.0-2" in prepare_stamps.describe_package("some-package", root)
