"""tools/demo.py and tools/make_demo_video.py on small videos; in this process, where it is no matter."""
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from transavs.data import register_avs_dataset
from transavs.evaluation.avs_evaluator import decode_mask
from transavs.video import VideoReader, VideoWriter

ROOT = Path(__file__).resolve().parents[2]
RATE = 16000
SMALL = ["MODEL.DEVICE", "cpu", "MODEL.TRANSAVS.NUM_QUERIES", "6", "MODEL.TRANSAVS.HIDDEN_DIM", "32",
         "MODEL.SEM_SEG_HEAD.CONVS_DIM", "32", "MODEL.AUDIO_BACKBONE.TIMM_MODEL", "test_resnet",
         "INPUT.MIN_SIZE_TEST", "48"]


def load_tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / f"tools/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def demo():
    return load_tool("demo")


@pytest.fixture
def model_arguments(small_cfg, tmp_path):
    """What names a small model on the command line: the config first, the overrides last."""
    model = build_model(small_cfg("INPUT.MIN_SIZE_TEST", 48))
    model.mask_head.classifier.bias.data = torch.tensor([9.0, 0.0])  # untrained, it would find nothing
    folder = tmp_path / "model"
    folder.mkdir()
    DetectionCheckpointer(model, str(folder)).save("model")
    config = ["--config-file", str(ROOT / "configs/toy/toy_s4_R18.yaml")]
    return config, [*SMALL, "MODEL.WEIGHTS", str(folder / "model.pth"), "TEST.MASK_THRESHOLD", "0.45"]


@pytest.fixture
def videos(tmp_path):
    """A folder of two videos, 64 x 48, 2.4 s at 5 frames a second, and a file that is none."""
    folder = tmp_path / "videos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("bell", "drum"):
        sound = 0.2 * np.sin(2 * np.pi * 440 * np.arange(round(2.4 * RATE)) / RATE)
        with VideoWriter(folder / f"{name}.mp4", 48, 64, fps=5, audio=(sound, RATE)) as writer:
            for number in range(12):
                frame = np.kron(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
                writer.write(frame, number / 5, 0.2)
    (folder / "broken.mp4").write_text("not a video")
    (folder / "notes.txt").write_text("not even called one")
    return folder


def seconds_of_sound(path):
    waveform, rate = VideoReader(path).read_audio()
    return len(waveform) / rate


def test_a_folder_with_a_broken_file_is_done_but_for_that(demo, model_arguments, videos, tmp_path, capsys):
    config, overrides = model_arguments
    output = tmp_path / "out"
    status = demo.main([*config, "--input", str(videos), "--output", str(output), "--masks", "--json", *overrides])
    printed = capsys.readouterr()
    assert status == 1 and printed.out.strip().endswith("2 of 3 videos done, 1 failed")
    assert f"Failed: {videos}/broken.mp4: not a readable video" in printed.err and "Traceback" not in printed.err
    assert sorted(path.name for path in output.iterdir()) == [
        "bell_masks", "bell_sounding.json", "bell_sounding.mp4", "drum_masks", "drum_sounding.json", "drum_sounding.mp4"
    ]
    written, source = VideoReader(output / "bell_sounding.mp4"), VideoReader(videos / "bell.mp4")
    assert (written.height, written.width) == (48, 64)
    np.testing.assert_allclose([time for time, _ in written], [time for time, _ in source], atol=1e-3)
    assert seconds_of_sound(written.path) == pytest.approx(seconds_of_sound(source.path), abs=0.1)
    check_masks(output, source)


def check_masks(output, source):
    description = json.loads((output / "bell_sounding.json").read_text())
    assert (description["height"], description["width"], len(description["frames"])) == (48, 64, 12)
    assert description["video"] == source.path and description["fps"] == pytest.approx(5)
    areas = []
    for number, frame in enumerate(description["frames"]):
        mask = decode_mask(frame["segmentation"])
        image = np.asarray(Image.open(output / f"bell_masks/{number:06d}.png"))
        assert frame["time"] == pytest.approx(number / 5, abs=1e-3) and np.array_equal(image, mask * 255)
        objects = [decode_mask(instance["segmentation"]) for instance in frame["instances"]]
        assert np.array_equal(np.any([np.zeros_like(mask), *objects], axis=0), mask)
        assert all(0.45 < instance["score"] <= 1 for instance in frame["instances"])
        areas.append(mask.sum())
    assert sum(areas) > 0


def test_the_masks_are_drawn_beside_the_original(demo, model_arguments, videos, tmp_path):
    config, overrides = model_arguments
    output = tmp_path / "out"
    status = demo.main([*config, "--input", str(videos / "b*l.mp4"), str(videos / "bell.mp4"), "--output", str(output),
                        "--fps", "1", "--side-by-side", *overrides])
    assert status == 0 and [path.name for path in output.iterdir()] == ["bell_sounding.mp4"]
    written, source = VideoReader(output / "bell_sounding.mp4"), VideoReader(videos / "bell.mp4")
    assert (written.height, written.width) == (48, 128)
    (times, found), (_, expected) = zip(*written), zip(*source.sample(1))
    assert times == pytest.approx([0, 1])
    for frame, original in zip(found, expected):
        left, right = frame[:, :64].astype(int), frame[:, 64:].astype(int)
        assert np.abs(left - original).mean() < 12 < np.abs(right - original).mean()


def test_videos_of_one_name_do_not_overwrite_each_other(demo):
    assert demo.output_names(["a/bell.mp4", "b/bell.mov", "bell_2.mp4"]) == ["bell", "bell_2", "bell_2_2"]


@pytest.mark.parametrize(
    "inputs, overrides, message",
    [
        (["empty"], [], "holds no video"),
        (["bell.mp4"], ["MODEL.WEIGHTS", "missing.pth"], "MODEL.WEIGHTS is 'missing.pth': expected"),
        (["bell.mp4"], ["MODEL.NOTHING", "1"], "the config cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(demo, tmp_path, inputs, overrides, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(demo.UsageError, match=message):
        demo.main(["--config-file", str(ROOT / "configs/toy/toy_s4_R18.yaml"), "--input",
                   *(str(tmp_path / name) for name in inputs), "--output", str(tmp_path / "out"), *overrides])


def test_the_script_tells_of_a_wrong_rate(run_script):
    done = run_script("tools/demo.py", "--config-file", "none.yaml", "--input", "a", "--output", "b", "--fps", "0")
    assert done.returncode == 2 and "'0': expected a positive number or 'source'" in done.stdout


def test_a_demo_video_has_the_clips_frames_and_sound(tmp_path):
    root = write_clips(tmp_path / "clips")
    register_avs_dataset("demo_video_test", root, "s4", "test")
    tool = load_tool("make_demo_video")
    output = str(tmp_path / "demo.mp4")
    tool.main(["--dataset", "demo_video_test", "--output", output, "--num-clips", "2", "--fps", "4"])
    reader = VideoReader(tmp_path / "demo.mp4")
    frames = [frame for _, frame in reader]
    assert len(frames) == 40 and reader.duration == pytest.approx(10, abs=0.05)
    assert seconds_of_sound(reader.path) == pytest.approx(10, abs=0.1)
    for number, frame in enumerate(frames):
        assert abs(frame.mean() - 20 * (number // 4)) < 4
    with pytest.raises(tool.UsageError, match="has 2 clips"):
        tool.main(["--dataset", "demo_video_test", "--output", str(tmp_path / "more.mp4"), "--num-clips", "3"])


def write_clips(root):
    """Two clips of S4's layout, their ten frames ever lighter, and a sound shorter than they are. Returns: the root."""
    import soundfile

    from transavs.data.avsbench import ClipPaths

    table = root / "Single-source/s4_meta_data.csv"
    table.parent.mkdir(parents=True)
    table.write_text("name,split,category\nfirst,test,bell\nsecond,test,bell\n")
    for clip, name in enumerate(("first", "second")):
        paths = ClipPaths(root, "s4", "test", name, "bell")
        for k in range(1, 6):
            for path, value in ((paths.frame(k), 20 * (5 * clip + k - 1)), (paths.mask(k), 255)):
                Path(path).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.full((48, 64, 3), value, np.uint8)).save(path)
        Path(paths.wav).parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(paths.wav, np.zeros(4 * 22050), 22050)
    return root
