"""datasets/prepare_toy.py, and the composing, mixing and writing that it shares with prepare_stamps.py."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import prepare_toy
import pytest
import soundfile
from PIL import Image

from transavs.data.avsbench import load_avsbench
from transavs.scenes import Motion, MotionRanges, Scene, Sprite, compose
from transavs.synthetic import clip_generator, loop_sound, make_clip, mix_sounds, oracle_scores

SCRIPT = Path(__file__).parents[2] / "datasets/prepare_toy.py"


def _run(monkeypatch, output, *options):
    command = ["prepare_toy.py", "--output", str(output), "--clips", "2", "1", "2", "--workers", "1", *options]
    monkeypatch.setattr(sys, "argv", command)
    prepare_toy.main()


def _contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def _square_sprite(name="square", side=20, colour=(255, 0, 0)):
    sound = np.sin(np.arange(8000) * 0.3).astype(np.float32)
    return Sprite(name, Image.new("RGBA", (side, side), (*colour, 255)), sound)


def _still(x, y):
    return Motion(x=(x, x), y=(y, y), scale=(1, 1), angle=(0, 0), flip=False)


class _Black:
    size = 64

    def draw(self, progress, size):
        return np.zeros((size, size, 3), np.uint8)


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
        assert set(clip["objects"]) <= set(prepare_toy.OUTLINES)


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


def test_same_seed_gives_same_bytes_whatever_the_number_of_processes(toy, tmp_path):
    command = [sys.executable, str(SCRIPT), "--output", str(tmp_path), "--clips", "2", "1", "2", "--workers", "2"]
    subprocess.run(command, check=True, capture_output=True)
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


def test_oracle_file_holds_the_mean_over_test_frames(toy):
    scores = json.loads((toy / "oracle.json").read_text())
    assert set(scores) == {"s4", "ms3"} and all(0 < score["mJ"] <= 1 for score in scores.values())


def test_sounds_of_shapes_differ_in_their_spectra():
    rng = np.random.default_rng(0)
    spectra = []
    for shape in prepare_toy.OUTLINES:
        spectrum = np.abs(np.fft.rfft(prepare_toy.shape_sound(shape, rng)[:16000])).reshape(-1)[:8000]
        bands = np.sqrt((spectrum.reshape(80, 100) ** 2).sum(1))
        spectra.append(bands / np.linalg.norm(bands))
    similarity = np.array(spectra) @ np.array(spectra).T
    assert similarity[~np.eye(5, dtype=bool)].max() < 0.75


def test_hidden_part_of_an_object_is_not_visible():
    behind, front = _square_sprite(colour=(255, 0, 0)), _square_sprite(colour=(0, 255, 0))
    motions = [_still(30, 30), _still(40, 30)]
    frame, visible, shares = compose(np.zeros((64, 64, 3), np.uint8), 0.5, [behind, front], motions)
    assert visible.sum((1, 2)).tolist() == [10 * 20, 20 * 20]
    assert not (visible[0] & visible[1]).any()
    assert shares.tolist() == [0.5, 1.0]
    assert (frame[visible[0]] == (255, 0, 0)).all() and (frame[visible[1]] == (0, 255, 0)).all()


def test_part_outside_the_frame_counts_as_hidden():
    _, visible, shares = compose(np.zeros((64, 64, 3), np.uint8), 0.5, [_square_sprite()], [_still(0, 32)])
    assert visible[0].sum() == 10 * 20 and shares[0] == 0.5


def test_a_scene_moves_from_its_first_moment_to_its_last_at_any_size():
    motion = Motion(x=(16, 48), y=(32, 32), scale=(1, 0.5), angle=(0, 0), flip=False)
    scene = Scene(_Black(), [_square_sprite()], [motion])
    for size in (64, 192):
        zoom = size / 64
        for progress, x, side in ((0, 16, 20), (0.5, 32, 15), (1, 48, 10)):
            rows, columns = scene.draw(progress, size)[..., 0].nonzero()
            assert np.mean(rows) + 0.5 == pytest.approx(32 * zoom, abs=1)
            assert np.mean(columns) + 0.5 == pytest.approx(x * zoom, abs=1)
            assert len(rows) == (side * zoom) ** 2


def test_a_larger_drawing_shows_an_objects_own_detail():
    original = Image.fromarray(np.indices((40, 40)).sum(0).astype(np.uint8) % 2 * 255).convert("RGBA")
    sprite = Sprite("board", original.resize((20, 20), Image.Resampling.BOX), np.zeros(8000, np.float32), original)
    scene = Scene(_Black(), [sprite], [_still(32, 32)])
    assert set(np.unique(scene.draw(0.5)[24:40, 24:40])) <= {127, 128}
    assert set(np.unique(scene.draw(0.5, 128)[48:80, 48:80])) == {0, 255}


@pytest.mark.parametrize("subset", ["s4", "ms3"])
def test_a_clips_scene_draws_its_frames_again_and_larger(subset):
    for index in range(3):
        clip = prepare_toy.ToyMaker(64).make_clip(clip_generator(0, subset, "test", index), subset, "test")
        for k, (frame, visible) in enumerate(zip(clip.frames, clip.visible)):
            assert np.array_equal(clip.scene.draw((k + 0.5) / 5), frame)
            larger = Image.fromarray(clip.scene.draw((k + 0.5) / 5, 256)).reduce(4)
            difference = np.abs(np.asarray(larger, int) - frame).mean(-1)
            assert np.median(difference[visible]) < 4  # edges differ, and the noise of the pattern
            assert difference[~visible].mean() < 12


@pytest.mark.parametrize("seed", range(4))  # with either object in front
def test_mask_holds_only_what_sounds_in_the_frames_second(seed):
    rng = np.random.default_rng(seed)
    sprites = [_square_sprite(colour=(255, 0, 0)), _square_sprite(colour=(0, 255, 0))]
    active = np.array([[1, 0, 1, 0, 0], [0, 1, 1, 0, 1]], dtype=bool)
    ranges = MotionRanges(area=(0.05, 0.1), max_angle=0, max_turn=0)
    clip = make_clip(rng, _Black(), sprites, active, ranges)
    red, green = clip.frames[..., 0] >= 128, clip.frames[..., 1] >= 128
    for t, (first, second) in enumerate(active.T):
        assert np.array_equal(clip.masks[t], (first & red[t]) | (second & green[t]))
    assert np.array_equal(clip.visible, red | green)


def test_oracle_of_an_empty_frame_is_the_share_left_empty():
    rng = np.random.default_rng(0)
    active = np.array([[1, 1, 1, 1, 0]], dtype=bool)
    ranges = MotionRanges(area=(0.1, 0.1))
    clip = make_clip(rng, _Black(), [_square_sprite()], active, ranges)
    assert oracle_scores(clip).tolist() == [1, 1, 1, 1, 1 - clip.visible[4].mean()]


def test_looped_sound_repeats_without_a_jump():
    sound = np.sin(np.arange(4000) * 0.05).astype(np.float32)
    looped = loop_sound(sound, 20000, offset=1234)
    assert np.abs(np.diff(looped)).max() < 0.06
    assert np.array_equal(looped[:3680], looped[3680 : 2 * 3680])


def test_mix_is_loud_only_in_active_seconds_and_never_clips():
    active = np.array([[1, 0, 1, 1, 0], [1, 0, 0, 1, 0]], dtype=bool)
    sounds = [_square_sprite().sound] * 2
    mixed = mix_sounds(np.random.default_rng(0), sounds, active)
    # The fades reach 10 ms over a second's border.
    inside = mixed.reshape(5, 16000)[:, 400:-400]
    assert (np.sqrt((inside**2).mean(1)) > 0.02).tolist() == active.any(0).tolist()
    assert np.abs(mixed).max() <= 0.99
