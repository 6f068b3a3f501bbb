"""tools/visualize_data.py on a small Toy: run as a user runs it, and what it takes from the loaders."""

from pathlib import Path

import numpy as np
import pytest
import torch
import visualize_data
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from PIL import Image

from transavs import register_avs_dataset, visualization
from transavs.config import read_config
from transavs.data import AVSDatasetError
from transavs.data.audio import SILENCE
from transavs.data.mixing import MIXES
from transavs.engine.devices import fall_back_to_cpu
from transavs.engine.inputs import model_inputs
from transavs.visualization.canvas import GAP
from transavs.visualization.inputs import MIX_TITLES

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/toy/toy_s4_R18.yaml")
OPTS = ("MODEL.TRANSAVS.NUM_QUERIES", "4", "SOLVER.IMS_PER_BATCH", "2", "SEED", "3")


@pytest.fixture
def toy(run_script, tmp_path_factory):
    """Toy with three clips a split. Returns: the folder for DETECTRON2_DATASETS."""
    root = Path(tmp_path_factory.getbasetemp()) / "visualize_data"
    if not root.exists():
        made = run_script(
            "datasets/prepare_toy.py", "--subset", "s4", "--clips", 3, 1, 3, "--workers", 1, "--output", root / "toy"
        )
        assert made.returncode == 0, made.stdout
    return root


@pytest.fixture
def datasets(toy):
    """The same under names of this process. Returns: overrides of the config."""
    for split in ("train", "test"):
        register_avs_dataset(f"visualize_data_{split}", toy / "toy", "s4", split)
    yield ("DATASETS.TRAIN", "('visualize_data_train',)", "DATASETS.TEST", "('visualize_data_test',)")
    for split in ("train", "test"):
        DatasetCatalog.remove(f"visualize_data_{split}")
        MetadataCatalog.remove(f"visualize_data_{split}")


@pytest.fixture
def config(datasets):
    def make(opts=()):
        cfg = read_config(CONFIG, [*OPTS, *datasets, *opts])
        cfg.DATALOADER.NUM_WORKERS = 0
        fall_back_to_cpu(cfg)
        return cfg

    return make


def test_the_command_shows_the_first_clips_of_training(run_script, toy, tmp_path):
    done = run_script(
        "tools/visualize_data.py",
        "--config-file",
        CONFIG,
        "--output",
        tmp_path / "out",
        "--num-clips",
        2,
        *OPTS,
        DETECTRON2_DATASETS=str(toy),
    )
    assert done.returncode == 0, done.stdout[-3000:]
    pictures = list((tmp_path / "out").iterdir())
    assert len(pictures) == 2 and all(f"Wrote {picture}" in done.stdout for picture in pictures)
    for picture in pictures:
        assert picture.name.endswith("_input.png") and np.asarray(Image.open(picture)).std() > 10


def test_attention_of_saved_weights_is_drawn_as_pdf(config, datasets, tmp_path, capsys):
    cfg = config()
    torch.manual_seed(0)
    model = build_model(cfg)
    torch.nn.init.zeros_(model.mask_head.classifier.weight)
    model.mask_head.classifier.bias.data = torch.tensor([9.0, 0.0])  # every query sounds
    torch.save(model.state_dict(), tmp_path / "model.pth")
    visualize_data.main(
        [
            "--config-file",
            CONFIG,
            "--output",
            str(tmp_path),
            "--split",
            "test",
            "--num-clips",
            "1",
            "--attention",
            "--format",
            "pdf",
            *OPTS,
            *datasets,
            "MODEL.WEIGHTS",
            str(tmp_path / "model.pth"),
        ]
    )
    (picture,) = tmp_path.glob("*.pdf")
    assert picture.name.endswith("_attention.pdf") and str(picture) in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"%PDF")


def test_training_clips_are_augmented_and_only_their_annotated_frames_are_read(config):
    first, second = ([*model_inputs(config(), "train", 9)] for _ in range(2))
    assert len({clip["video_id"] for clip in first}) == len(first) == 3  # every clip once, as many as there are
    for one, other in zip(first, second):
        assert one["frame_indices"].tolist() == [0] and len(one["instances"]) == 1
        assert torch.equal(one["images"], other["images"])  # the seed's
    again = {clip["video_id"]: clip["images"] for clip in model_inputs(config(opts=("SEED", "4")), "train", 3)}
    assert any(not torch.equal(clip["images"], again[clip["video_id"]]) for clip in first)


def test_test_clips_are_spread_over_the_split_and_complete(config, datasets):
    ids = [clip["video_id"] for clip in DatasetCatalog.get("visualize_data_test")]
    found = list(model_inputs(config(), "test", 2))
    assert [clip["video_id"] for clip in found] == [ids[0], ids[1]]
    assert all(clip["frame_indices"].tolist() == [0, 1, 2, 3, 4] and "instances" not in clip for clip in found)


@pytest.mark.parametrize("split", ["train", "test"])
def test_clips_can_be_asked_for_by_name(config, split):
    wanted = DatasetCatalog.get(f"visualize_data_{split}")[2]["video_id"]
    assert [clip["video_id"] for clip in model_inputs(config(), split, 8, [wanted])] == [wanted]
    with pytest.raises(AVSDatasetError, match=f"nobody: no such clip in DATASETS.{split.upper()}, visualize_"):
        next(model_inputs(config(), split, 8, ["nobody"]))


def test_the_sound_is_the_one_that_the_config_gives_test_clips(config):
    own, silent = (
        next(model_inputs(config(opts=("TEST.AUDIO", sound)), "test", 1)) for sound in ("original", "silence")
    )
    assert own["audio_log_mel"].std() > 0.1 and silent["audio_log_mel"].std() < 1e-6


def test_what_is_wrong_is_one_line(config, capsys):
    with pytest.raises(AVSDatasetError, match="DATASETS.TEST: nobody not registered"):
        next(model_inputs(config(opts=("DATASETS.TEST", "('nobody',)")), "test", 1))
    for arguments, message in (
        (["--config-file", "none.yaml", "--output", "x"], "--config-file: no such file: 'none.yaml'"),
        (["--config-file", CONFIG, "--output", "x", "--num-clips", "0"], "--num-clips 0: must be at least 1"),
        (
            ["--config-file", CONFIG, "--output", "x", "--attention"],
            "MODEL.WEIGHTS is '': expected a trained model's file",
        ),
    ):
        with pytest.raises(SystemExit):
            visualize_data.main(arguments)
        assert message in capsys.readouterr().err


# The figure


def model_input(seconds=5, size=32):
    log_mel = torch.full((seconds, 1, 96, 64), SILENCE)
    log_mel[1, 0, 48:, :32] = 3.0  # the second second's later half sounds, low
    truth = torch.zeros(1, size, size, dtype=torch.bool)
    truth[0, 8:24, 8:24] = True
    instances = [Instances((size, size), gt_masks=BitMasks(masks)) for masks in (truth, truth[:0])]
    images = torch.stack([torch.full((3, size, size), value, dtype=torch.uint8) for value in (60, 200)])
    images[:, 2] = 0
    return {
        "video_id": "clip",
        "images": images,
        "frame_indices": torch.tensor([0, 3]),
        "audio_log_mel": log_mel,
        "instances": instances,
        "width": 64,
        "height": 48,
    }


def test_input_figure_puts_frames_at_their_seconds_and_masks_below():
    clip = model_input()
    image = visualization.figure_to_array(visualization.input_figure(clip, cell=32))
    columns = [84 + second * (32 + GAP) for second in range(5)]
    assert image.shape[1] == columns[-1] + 32 + 14
    for second, color in ((0, (60, 60, 0)), (3, (200, 200, 0))):
        assert (image[57:87, columns[second] + 1 : columns[second] + 31] == color).all()
    assert (image[57:87, columns[1] : columns[1] + 32] == 255).all()  # no frame of this second is loaded
    masks = image[56 + 32 + GAP :][:32]
    assert (masks[:, : columns[1]] == visualization.GROUND_TRUTH_COLOR).all(axis=-1).any()
    assert not (masks[:, columns[1] :] == visualization.GROUND_TRUTH_COLOR).all(axis=-1).any()
    swapped = visualization.figure_to_array(visualization.input_figure(clip, "BGR", cell=32))
    assert (swapped[70, columns[0] + 10] == (0, 60, 60)).all()


def test_input_figure_shows_log_mel_with_time_to_the_right_and_low_notes_below():
    clip = model_input()
    del clip["instances"]
    image = visualization.figure_to_array(visualization.input_figure(clip, cell=32)).astype(int).sum(axis=-1)
    x, y = 84 + 32 + GAP, 56 + 32 + GAP
    bright = image[y : y + 64, x : x + 32] > 600
    assert bright[33:63, 17:31].all() and not bright[:31].any() and not bright[:, :15].any()
    assert (image[y + 1 : y + 63, x - GAP - 31 : x - GAP - 1] < 60).all()  # silence


@pytest.mark.parametrize("mix", MIXES)
def test_input_figure_says_how_a_clip_is_mixed(mix):
    def texts(clip):
        return [text.get_text() for text in visualization.input_figure(clip, cell=32).texts]

    assert f"clip  ·  mixed: {MIX_TITLES[mix]}" in texts({**model_input(), "mix": mix})
    plain = texts({**model_input(), "mix": ""})
    assert "clip" in plain and not any("mixed" in text for text in plain)
