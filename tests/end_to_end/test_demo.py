"""tools/demo.py on small videos; in this process, where it is no matter."""

import json
from pathlib import Path

import demo
import numpy as np
import pytest
import torch
from detectron2.modeling import build_model
from PIL import Image

from transavs.data.palette import read_label_map
from transavs.evaluation.avs_evaluator import decode_mask
from transavs.video import VideoReader
from transavs.video.files import output_names

ROOT = Path(__file__).resolve().parents[2]


def seconds_of_sound(path):
    waveform, rate = VideoReader(path).read_audio()
    return len(waveform) / rate


def test_a_folder_with_a_broken_file_is_done_but_for_that(model_arguments, videos, tmp_path, capsys):
    config, overrides = model_arguments
    output = tmp_path / "out"
    status = demo.main([*config, "--input", str(videos), "--output", str(output), "--masks", "--json", *overrides])
    printed = capsys.readouterr()
    assert status == 1 and printed.out.strip().endswith("2 of 3 videos done, 1 failed")
    assert f"Failed: {videos}/broken.mp4: not a readable video" in printed.err and "Traceback" not in printed.err
    assert sorted(path.name for path in output.iterdir()) == [
        "bell_masks",
        "bell_sounding.json",
        "bell_sounding.mp4",
        "drum_masks",
        "drum_sounding.json",
        "drum_sounding.mp4",
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


def test_a_model_of_several_classes_tells_them(small_cfg, small_overrides, videos, tmp_path):
    names = ["bell", "cow", "dog"]
    several = ["MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3", "MODEL.CLASS_NAMES", str(names), "INPUT.MIN_SIZE_TEST", "48"]
    model = build_model(small_cfg(*several))
    model.mask_head.classifier.bias.data = torch.tensor([0.0, 0.0, 9.0, 0.0])
    torch.save({"model": model.state_dict()}, tmp_path / "model.pth")
    arguments = ["--input", str(videos / "bell.mp4"), "--output", str(tmp_path), "--masks", "--json", "--fps", "1"]
    config = ["--config-file", str(ROOT / "configs/toy/toy_s4_R18.yaml")]
    overrides = [
        *small_overrides,
        *several,
        "MODEL.WEIGHTS",
        str(tmp_path / "model.pth"),
        "TEST.MASK_THRESHOLD",
        "0.45",
    ]
    assert demo.main([*config, *arguments, "--colors", "class", *overrides]) == 0
    description = json.loads((tmp_path / "bell_sounding.json").read_text())
    assert description["categories"] == [{"id": c, "name": name} for c, name in enumerate(names)]
    first = description["frames"][0]
    assert {names[instance["category_id"]] for instance in first["instances"]} == {"dog"}
    labels = read_label_map(tmp_path / "bell_masks/000000.png", 4)
    assert np.array_equal(labels, 3 * decode_mask(first["segmentation"])) and labels.any()


def test_nothing_stays_of_a_video_whose_json_cannot_be_written(model_arguments, videos, tmp_path, monkeypatch, capsys):
    config, overrides = model_arguments

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    status = demo.main(
        [
            *config,
            "--input",
            str(videos / "bell.mp4"),
            "--output",
            str(tmp_path),
            "--masks",
            "--json",
            "--fps",
            "1",
            *overrides,
        ]
    )
    expected = f"Failed: {tmp_path}/bell_sounding.json: cannot be written (No space left on device)"
    assert status == 1 and expected in capsys.readouterr().err and list(tmp_path.iterdir()) == []


def test_the_masks_are_drawn_beside_the_original(model_arguments, videos, tmp_path):
    config, overrides = model_arguments
    output = tmp_path / "out"
    status = demo.main(
        [
            *config,
            "--input",
            str(videos / "b*l.mp4"),
            str(videos / "bell.mp4"),
            "--output",
            str(output),
            "--fps",
            "1",
            "--side-by-side",
            *overrides,
        ]
    )
    assert status == 0 and [path.name for path in output.iterdir()] == ["bell_sounding.mp4"]
    written, source = VideoReader(output / "bell_sounding.mp4"), VideoReader(videos / "bell.mp4")
    assert (written.height, written.width) == (48, 128)
    (times, found), (_, expected) = zip(*written), zip(*source.sample(1))
    assert times == pytest.approx([0, 1])
    for frame, original in zip(found, expected):
        left, right = frame[:, :64].astype(int), frame[:, 64:].astype(int)
        assert np.abs(left - original).mean() < 12 < np.abs(right - original).mean()


def test_videos_of_one_name_do_not_overwrite_each_other():
    assert output_names(["a/bell.mp4", "b/bell.mov", "bell_2.mp4"]) == ["bell", "bell_2", "bell_2_2"]


@pytest.mark.parametrize(
    "inputs, overrides, message",
    [
        (["empty"], [], "holds no video"),
        (["bell.mp4"], ["MODEL.WEIGHTS", "missing.pth"], "MODEL.WEIGHTS is 'missing.pth': expected"),
        (["bell.mp4"], ["MODEL.NOTHING", "1"], "the config cannot be read"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(tmp_path, capsys, inputs, overrides, message):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit) as error:
        demo.main(
            [
                "--config-file",
                str(ROOT / "configs/toy/toy_s4_R18.yaml"),
                "--input",
                *(str(tmp_path / name) for name in inputs),
                "--output",
                str(tmp_path / "out"),
                *overrides,
            ]
        )
    assert error.value.code == 2 and message in capsys.readouterr().err.splitlines()[-1]


def test_the_script_tells_of_a_wrong_rate(run_script):
    done = run_script("tools/demo.py", "--config-file", "none.yaml", "--input", "a", "--output", "b", "--fps", "0")
    assert done.returncode == 2 and "'0': expected a positive number or 'source'" in done.stdout
