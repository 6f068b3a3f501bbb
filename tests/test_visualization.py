"""Pictures: what is drawn where, in which colours, at which size; and the tool that draws an evaluation's results."""

import json
import re
import zlib

import numpy as np
import pytest
import soundfile
import torch
import visualize_results
from detectron2.data import DatasetCatalog, MetadataCatalog
from detectron2.structures import Instances
from PIL import Image

from transavs import visualization
from transavs.evaluation import AVSEvaluator
from transavs.visualization import ClipPicture, clips
from transavs.visualization.canvas import GAP
from transavs.visualization.masks import INSTANCE_COLORS, instance_color

GREY = 120


@pytest.fixture
def frame():
    return np.full((20, 30, 3), GREY, dtype=np.uint8)


@pytest.fixture
def mask():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:15, 10:25] = True
    return mask


def picture(num_frames=3, size=24, **changes):
    frames = [np.full((size, size, 3), 60 + 10 * k, dtype=np.uint8) for k in range(num_frames)]
    masks = [np.zeros((size, size), dtype=bool) for _ in range(num_frames)]
    for mask in masks:
        mask[4:16, 4:16] = True
    waveform = np.sin(np.arange(num_frames * 800) / 5).astype(np.float32)
    return ClipPicture(
        **{**dict(frames=frames, masks=masks, predictions=masks, waveform=waveform, rate=800), **changes}
    )


def texts_of(pdf):
    """What a PDF writes as text, a string for each piece."""
    streams = re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    page = next(stream for stream in map(zlib.decompress, streams) if b"\nBT\n" in stream)
    pieces = [b"".join(re.findall(rb"\((.*?)\)", shown)) for shown in re.findall(rb"\nBT\n(.*?)\nET\n", page, re.S)]
    return [piece.decode("utf-16-be") for piece in pieces]


def instances_of(*masks, queries=None, scores=None):
    fields = {"pred_masks": torch.stack(masks), "scores": torch.tensor(scores or [0.9] * len(masks))}
    return Instances(tuple(masks[0].shape), query_index=torch.tensor(queries or range(len(masks))), **fields)


def has_color(image, color, tolerance=0):
    return bool((np.abs(image.astype(int) - color).max(axis=-1) <= tolerance).any())


def test_overlay_blends_the_colour_inside_and_leaves_the_outside(frame, mask):
    image = visualization.overlay(frame, mask, contour=False, color=(255, 0, 0), opacity=0.4)
    assert image.dtype == np.uint8 and image.shape == frame.shape
    assert (image[mask] == [174, 72, 72]).all()  # 0.6 * 120 + 0.4 * (255, 0, 0)
    assert (image[~mask] == GREY).all()
    assert (frame == GREY).all()


def test_contour_runs_along_both_sides_of_the_masks_border(frame, mask):
    color = visualization.PREDICTION_COLOR
    image = visualization.overlay(frame, mask)
    inner = mask.copy()
    inner[6:14, 11:24] = False
    around = np.zeros_like(mask)
    around[4:16, 9:26] = True
    assert np.array_equal((image == color).all(axis=-1), inner)
    assert np.array_equal((image == visualization.RIM_COLOR).all(axis=-1), around & ~mask)
    assert (image[~around] == GREY).all()


def test_the_images_edge_is_no_border_of_a_mask(frame):
    everywhere = np.ones((20, 30), dtype=bool)
    assert not visualization.inner_border(everywhere).any()
    blended = visualization.overlay(frame, everywhere)
    assert (blended == blended[0, 0]).all()


def test_an_empty_mask_leaves_the_frame_as_it_is(frame):
    assert np.array_equal(visualization.overlay(frame, np.zeros((20, 30), dtype=bool)), frame)


def test_probabilities_colour_by_their_height_and_are_outlined_above_one_half(frame):
    probability = np.zeros((20, 30), dtype=np.float32)
    probability[:, 10:20], probability[:, 20:] = 0.25, 1.0
    plain = visualization.overlay(frame, probability, contour=False, color=(240, 0, 0), opacity=0.5)
    assert plain[0, 0].tolist() == [120, 120, 120]
    assert plain[0, 15].tolist() == [135, 105, 105]
    assert plain[0, 25].tolist() == [180, 60, 60]
    outlined = visualization.overlay(frame, probability)
    assert (outlined[:, 20] == visualization.PREDICTION_COLOR).all()
    assert (outlined[:, 19] == visualization.RIM_COLOR).all()


@pytest.mark.parametrize(
    ("frame_", "mask_", "message"),
    [
        (np.zeros((4, 4, 3), dtype=np.float32), np.zeros((4, 4)), r"uint8 \[H, W, 3\], got float32 \[4, 4, 3\]"),
        (np.zeros((4, 4), dtype=np.uint8), np.zeros((4, 4)), r"got uint8 \[4, 4\]"),
        (np.zeros((4, 5, 3), dtype=np.uint8), np.zeros((4, 4)), r"mask must be \[4, 5\] as its frame, got \[4, 4\]"),
    ],
)
def test_overlay_says_what_does_not_fit(frame_, mask_, message):
    with pytest.raises(ValueError, match=message):
        visualization.overlay(frame_, mask_)


def test_waveform_has_the_size_asked_for_and_is_tall_where_it_is_loud():
    rate = 1000
    waveform = np.zeros(2 * rate, dtype=np.float32)
    waveform[rate:] = np.sin(np.arange(rate))
    image = visualization.draw_waveform(waveform, rate, 200, 60)
    assert image.shape == (60, 200, 3)
    dark = (image < 128).all(axis=-1).sum(axis=0)
    assert dark[5:95].max() <= 2 and dark[105:195].min() > 40


def test_a_sound_shorter_than_the_clip_ends_in_silence():
    image = visualization.draw_waveform(np.tile(np.float32([1, -1]), 500), 1000, 200, 60, seconds=2)
    dark = (image < 128).all(axis=-1).sum(axis=0)
    assert dark[5:95].min() > 40 and dark[105:195].max() <= 2


def test_clip_figure_shows_truth_and_prediction_in_their_colours():
    image = visualization.figure_to_array(visualization.clip_figure(picture(), cell=96))
    assert has_color(image, visualization.GROUND_TRUTH_COLOR) and has_color(image, visualization.PREDICTION_COLOR)
    without = picture(predictions=[np.zeros((24, 24), dtype=bool)] * 3)
    image = visualization.figure_to_array(visualization.clip_figure(without, cell=96))
    assert has_color(image, visualization.GROUND_TRUTH_COLOR) and not has_color(image, visualization.PREDICTION_COLOR)


def test_clip_figure_widens_with_the_frames_and_shrinks_without_sound():
    shape = visualization.figure_to_array(visualization.clip_figure(picture(), cell=96)).shape
    longer = visualization.figure_to_array(visualization.clip_figure(picture(num_frames=5), cell=96)).shape
    assert longer == (shape[0], shape[1] + 2 * (96 + GAP), 3)
    silent = visualization.figure_to_array(visualization.clip_figure(picture(waveform=None), cell=96)).shape
    assert silent[0] < shape[0] and silent[1] == shape[1]


def test_frames_without_ground_truth_are_faded():
    clip = picture(masks=[None] * 3)
    image = visualization.figure_to_array(visualization.clip_figure(clip, cell=96))
    assert not has_color(image, visualization.GROUND_TRUTH_COLOR)
    assert has_color(image, [206, 206, 206])  # 0.25 * 60 + 0.75 * 255


def test_frames_of_any_size_and_shape_fit_the_cells():
    for height, width in ((16, 16), (64, 128), (300, 200)):
        frames = [np.zeros((height, width, 3), dtype=np.uint8)] * 2
        masks = [np.ones((height, width), dtype=bool)] * 2
        clip = ClipPicture(frames, masks, masks)
        expected = 2 * round(width * 80 / height) + GAP
        assert clips._strips(clip, 80)[0].shape == (80, expected, 3)


def test_results_sheet_has_a_block_for_each_clip():
    one = visualization.figure_to_array(visualization.results_sheet([picture()]))
    three = visualization.figure_to_array(visualization.results_sheet([picture(title="a $ sign", jaccard=0.5)] * 3))
    four = visualization.figure_to_array(visualization.results_sheet([picture()] * 4))
    assert three.shape[1] == four.shape[1] == one.shape[1]
    assert (four.shape[0] - three.shape[0]) * 2 == three.shape[0] - one.shape[0] > 200


def test_qualitative_figure_puts_clips_side_by_side():
    one = visualization.figure_to_array(visualization.clip_figure(picture(), cell=80))
    two = visualization.figure_to_array(visualization.qualitative_figure([picture(), picture(num_frames=2)], cell=80))
    assert two.shape[0] == one.shape[0]
    assert np.array_equal(two[:, : one.shape[1] - 30], one[:, :-30])  # the first clip stands where it stands alone
    assert two.shape[1] - one.shape[1] == 30 + 2 * 80 + GAP
    assert has_color(two[:, one.shape[1] :], visualization.PREDICTION_COLOR)


def test_a_pdf_has_its_text_as_text_and_is_the_same_each_time(tmp_path):
    figure = visualization.clip_figure(picture(title="clip $7", subtitle="guitar", jaccard=0.5), cell=40, detail=2)
    for name in ("a.pdf", "b.pdf"):
        visualization.save_figure(figure, tmp_path / name)
    written = (tmp_path / "a.pdf").read_bytes()
    assert written.startswith(b"%PDF") and written == (tmp_path / "b.pdf").read_bytes()
    texts = texts_of(written)
    assert {"frame", "ground truth", "prediction", "sound", "clip $7", "guitar  ·  J 50.0", "0 s", "3 s"} <= set(texts)
    assert b"/FontFile2" in written  # TrueType, not the Type 3 that conferences refuse
    # Rows of frames, with twice the pixels that they take at 100 a inch.
    assert len(re.findall(rb"/Subtype /Image\b", written)) == 3
    assert len(re.findall(rb"/Height 80\b", written)) == 3


def test_a_png_has_the_pixels_of_the_figure(tmp_path):
    figure = visualization.clip_figure(picture(), cell=40)
    visualization.save_figure(figure, tmp_path / "a.png")
    written = np.asarray(Image.open(tmp_path / "a.png").convert("RGB"))
    assert np.array_equal(written, visualization.figure_to_array(figure))


def test_pictures_need_clips_and_as_many_masks_as_frames():
    with pytest.raises(ValueError, match="at least one clip"):
        visualization.results_sheet([])
    with pytest.raises(ValueError, match="qualitative_figure needs at least one clip"):
        visualization.qualitative_figure([])
    with pytest.raises(ValueError, match=r"clip 'odd': .* got \[3, 1, 3\]"):
        picture(title="odd", masks=[None])


# Instances


def ring():
    """A square of 40 pixels with a hole of 20 in a frame of 64: bool [64, 64]."""
    mask = torch.zeros(64, 64, dtype=torch.bool)
    mask[20:60, 12:52] = True
    mask[30:50, 22:42] = False
    return mask


def test_instances_are_coloured_inside_and_outlined_and_their_holes_stay_free():
    frame = np.full((64, 64, 3), GREY, dtype=np.uint8)
    image = visualization.draw_instances(frame, instances_of(ring()), scale=4)
    assert image.shape == (256, 256, 3)
    blended = np.float32(INSTANCE_COLORS[0]) * 0.5 + GREY * 0.5
    assert np.abs(image[4 * 55, 4 * 16 : 4 * 20] - blended).max() <= 1
    assert (image[4 * 40, 4 * 25 : 4 * 40] == GREY).all()  # the hole
    assert (image[4 * 61 :] == GREY).all() and (image[:, : 4 * 11] == GREY).all()
    for row, columns in ((4 * 56, slice(4 * 12, 4 * 13)), (4 * 40, slice(4 * 21, 4 * 23))):  # outer and inner border
        assert np.abs(image[row, columns].astype(int) - INSTANCE_COLORS[0]).max(axis=-1).min() < 40


def test_an_instances_colour_goes_by_its_query():
    left, right = torch.zeros(64, 64, dtype=torch.bool), torch.zeros(64, 64, dtype=torch.bool)
    left[30:60, 4:28], right[30:60, 36:60] = True, True
    frame = np.zeros((64, 64, 3), dtype=np.uint8)
    image = visualization.draw_instances(frame, instances_of(left, right, queries=[3, 8]), scale=1)
    for column, query in ((15, 3), (48, 8)):
        assert np.abs(image[50, column] - np.float32(instance_color(query)) / 2).max() <= 2
    assert instance_color(3) != instance_color(8) and instance_color(8) == instance_color(1)


def test_an_instances_score_is_written_above_its_largest_part():
    frame = np.full((64, 64, 3), GREY, dtype=np.uint8)
    mask = ring()
    mask[2:4, 60:62] = True  # a speck elsewhere
    images = [
        visualization.draw_instances(frame, instances_of(mask, scores=[score]), scale=4) for score in (0.87, 0.11)
    ]
    changed = (images[0] != images[1]).any(axis=-1)
    assert changed[4 * 10 : 4 * 22, 4 * 20 : 4 * 44].any()
    changed[4 * 10 : 4 * 22, 4 * 20 : 4 * 44] = False
    assert not changed.any()


def test_classes_are_named_where_there_are_several():
    frame, found = np.full((64, 64, 3), GREY, dtype=np.uint8), instances_of(ring())
    found.pred_classes = torch.tensor([1])
    metadata = MetadataCatalog.get("__visualization_classes").set(thing_classes=["sounding"])
    plain = visualization.draw_instances(frame, found)
    assert plain.shape == (320, 320, 3)  # small frames are enlarged until their text can be read
    found.pred_classes = torch.tensor([0])
    assert np.array_equal(visualization.draw_instances(frame, found, metadata), plain)
    MetadataCatalog.remove("__visualization_classes")
    metadata = MetadataCatalog.get("__visualization_classes").set(thing_classes=["dog", "drum"])
    assert not np.array_equal(visualization.draw_instances(frame, found, metadata), plain)
    MetadataCatalog.remove("__visualization_classes")


def test_a_frame_without_instances_stays_as_it_is():
    frame = np.arange(64 * 64 * 3, dtype=np.uint8).reshape(64, 64, 3)
    assert np.array_equal(visualization.draw_instances(frame, instances_of(ring())[[]], scale=1), frame)
    with pytest.raises(ValueError, match=r"mask must be \[32, 32\] as its frame, got \[64, 64\]"):
        visualization.draw_instances(frame[:32, :32], instances_of(ring()))


# The tool


@pytest.fixture
def evaluated(tmp_path):
    """A registered dataset of three clips and the predictions of an evaluation: (name, predictions.json)."""
    clips = [_write_clip(tmp_path, f"clip{k}") for k in range(3)]
    name = f"visualization_test_{tmp_path.name}"
    DatasetCatalog.register(name, lambda: clips)
    MetadataCatalog.get(name).set(evaluator_type="avs")
    evaluator = AVSEvaluator(name, output_dir=str(tmp_path / "inference"))
    evaluator.process(clips, [{"sem_seg": torch.eye(16).expand(2, 1, 16, 16)}] * 3)
    evaluator.evaluate()
    yield name, tmp_path / "inference" / "predictions.json"
    DatasetCatalog.remove(name)
    MetadataCatalog.remove(name)


def _write_clip(folder, video_id):
    frames = [str(folder / f"{video_id}_{k}.png") for k in range(2)]
    masks = [str(folder / f"{video_id}_mask_{k}.png") for k in range(2)]
    for frame, mask in zip(frames, masks):
        Image.new("RGB", (16, 16), (40, 90, 60)).save(frame)
        Image.fromarray(np.eye(16, dtype=np.uint8) * 255).save(mask)
    soundfile.write(folder / f"{video_id}.wav", np.zeros(3200, dtype=np.float32), 1600)
    return {
        "video_id": video_id,
        "file_names": frames,
        "sem_seg_file_names": masks,
        "audio_file_name": str(folder / f"{video_id}.wav"),
        "height": 16,
        "width": 16,
    }


def test_tool_draws_each_clip_and_one_sheet(evaluated, tmp_path, capsys):
    name, predictions = evaluated
    output = tmp_path / "pictures"
    arguments = ["--dataset", name, "--predictions", str(predictions), "--output", str(output)]
    visualize_results.main([*arguments, "--num-clips", "2"])
    assert sorted(path.name for path in output.iterdir()) == [
        "clip0.png",
        "clip1.png",
        "qualitative.png",
        "results.png",
    ]
    assert "results.png" in capsys.readouterr().out
    visualize_results.main([*arguments, "--video-id", "clip2", "--format", "pdf"])
    for figure in ("clip2.pdf", "qualitative.pdf", "results.pdf"):
        assert "clip2" in texts_of((output / figure).read_bytes())
    assert not (output / "clip2.png").exists()


def test_tool_computes_the_clips_jaccard_from_the_file(evaluated):
    name, predictions = evaluated
    clip = visualize_results.load_dataset(name)["clip1"]
    assert (
        visualize_results.make_picture(clip, visualize_results.load_predictions(str(predictions))["clip1"]).jaccard
        == 1.0
    )


def test_tool_says_in_one_line_what_is_wrong(evaluated, tmp_path):
    name, predictions = evaluated
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"clips": [{"video_id": "clip0"}]}))

    def run(dataset=name, file=predictions, *more):
        visualize_results.main(
            ["--dataset", dataset, "--predictions", str(file), "--output", str(tmp_path / "out"), *more]
        )

    with pytest.raises(
        visualize_results.UsageError, match="--dataset nowhere: not registered; expected one of .*avsbench_s4_test"
    ):
        run("nowhere")
    with pytest.raises(visualize_results.UsageError, match="absent.json: no such file"):
        run(name, tmp_path / "absent.json")
    with pytest.raises(visualize_results.UsageError, match="other.json: not a predictions.json of AVSEvaluator"):
        run(name, other)
    with pytest.raises(visualize_results.UsageError, match="--video-id clip9: no such clip in"):
        run(name, predictions, "--video-id", "clip9")
    with pytest.raises(visualize_results.UsageError, match="--num-clips 0"):
        run(name, predictions, "--num-clips", "0")


def test_tool_refuses_predictions_of_another_size(evaluated):
    name, predictions = evaluated
    clip = {**visualize_results.load_dataset(name)["clip0"], "height": 17}
    with pytest.raises(
        visualize_results.UsageError, match=r"clip clip0: predicted masks are \[16, 16\], its frames \[17, 16\]"
    ):
        visualize_results.make_picture(clip, visualize_results.load_predictions(str(predictions))["clip0"])
