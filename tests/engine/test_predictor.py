import logging
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model

from transavs import AVSPredictor
from transavs.data.audio import log_mel_examples
from transavs.video import VideoError

RATE = 16000


@pytest.fixture(scope="module")
def model_file(small_cfg, tmp_path_factory):
    return save_model(small_cfg(), tmp_path_factory.mktemp("model"))


def save_model(cfg, folder):
    """The weights' path of a model that finds something."""
    torch.manual_seed(0)
    model = build_model(cfg)
    model.mask_head.classifier.bias.data = torch.tensor([3.0, 0.0])  # untrained, it would find nothing
    DetectionCheckpointer(model, str(folder)).save("model")
    return str(folder / "model.pth")


@pytest.fixture
def make_predictor(small_cfg, model_file):
    def make(*overrides):
        cfg = small_cfg("DATASETS.TEST", (), "INPUT.MIN_SIZE_TEST", 48, "MODEL.WEIGHTS", model_file, *overrides)
        cfg.MODEL.AUDIO_BACKBONE.WEIGHTS = "not/there.pth"  # what training started from is not needed any more
        return AVSPredictor(cfg)

    return make


@pytest.fixture
def predictor(make_predictor):
    return make_predictor()


@pytest.fixture
def make_clip():
    """Frames [48, 64, 3] and a sound for so many seconds, at 16 kHz; samples of 16 bits, as a file holds them."""

    def make(num_frames, seconds=None):
        rng = np.random.default_rng(0)
        frames = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) for _ in range(num_frames)]
        samples = (2000 * rng.normal(size=(seconds or num_frames) * RATE)).astype(np.int16)
        return frames, samples.astype(np.float32) / 32768

    return make


@pytest.fixture
def write_lossless(tmp_path):
    """Writes a video that gives back the very pixels and samples: FFV1 and PCM in Matroska."""

    def write(frames, waveform=None, fps=1):
        path = tmp_path / "lossless.mkv"
        with av.open(str(path), "w") as container:
            video = container.add_stream("ffv1", rate=fps)
            video.width, video.height, video.pix_fmt = frames[0].shape[1], frames[0].shape[0], "bgr0"
            audio = None
            if waveform is not None:
                audio = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
                samples = np.round(waveform * 32768).astype(np.int16)[None]
                piece = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = RATE, 0, Fraction(1, RATE)
                container.mux(audio.encode(piece))
            for frame in frames:
                container.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            for stream in filter(None, (video, audio)):
                container.mux(stream.encode(None))
        return path

    return write


@pytest.mark.parametrize("length, seconds, heard", [(5, 5, 5), (5, 3, 5), (10, 10, 10), (10, 7, 7), (10, 3, 5)])
def test_it_gives_what_the_model_gives_for_the_same_clip(
    small_cfg, make_predictor, make_clip, tmp_path, length, seconds, heard
):
    frames_key = ["MODEL.TRANSAVS.NUM_FRAMES", length]
    predictor = make_predictor(*frames_key, "MODEL.WEIGHTS", save_model(small_cfg(*frames_key), tmp_path))
    frames, waveform = make_clip(seconds)
    images = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames])
    log_mel = log_mel_examples(torch.from_numpy(waveform), RATE, heard)  # silence follows up to there, then nothing
    with torch.no_grad():
        (expected,) = predictor.model([{"images": images, "audio_log_mel": log_mel}])
    found = predictor(frames, waveform, RATE)
    torch.testing.assert_close(found["sem_seg"], expected["sem_seg"])
    assert found["sem_seg"].max() > 0 and len(found["instances"]) == seconds and found["times"] == [*range(seconds)]
    for instances, wanted in zip(found["instances"], expected["instances"]):
        assert torch.equal(instances.query_index, wanted.query_index)


def test_a_video_gives_what_its_frames_and_sound_give(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(5)
    found = predictor(write_lossless(frames, waveform))
    torch.testing.assert_close(found["sem_seg"], predictor(frames, waveform, RATE)["sem_seg"])
    assert found["sem_seg"].max() > 0


def test_without_overlap_a_long_video_is_its_windows_one_by_one(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(12)
    parts = [
        predictor(frames[start : start + 5], waveform[start * RATE : (start + 5) * RATE], RATE)["sem_seg"]
        for start in (0, 5, 10)
    ]
    for found in (predictor(frames, waveform, RATE), predictor(write_lossless(frames, waveform))):
        torch.testing.assert_close(found["sem_seg"], torch.cat(parts))
        assert found["times"] == list(range(12))


@pytest.mark.parametrize("blending, weights", [("average", (1, 1)), ("triangle", (1, 2))])
def test_overlapping_windows_are_blended(make_predictor, make_clip, blending, weights):
    predictor = make_predictor("TEST.WINDOW_OVERLAP", 2, "TEST.WINDOW_BLENDING", blending)
    frames, waveform = make_clip(8)
    found = predictor(frames, waveform, RATE)
    first = predictor(frames[:5], waveform[: 5 * RATE], RATE)
    second = predictor(frames[3:], waveform[3 * RATE :], RATE)
    near, far = weights  # of seconds 3 and 4, one from the end of the first window, and of the second
    blended = [
        (far * first["sem_seg"][3] + near * second["sem_seg"][0]) / (near + far),
        (near * first["sem_seg"][4] + far * second["sem_seg"][1]) / (near + far),
    ]
    expected = torch.stack([*first["sem_seg"][:3], *blended, *second["sem_seg"][2:]])
    torch.testing.assert_close(found["sem_seg"], expected)
    assert not torch.allclose(first["sem_seg"][3], second["sem_seg"][0], atol=1e-4)
    assert torch.equal(found["instances"][3].pred_masks, first["instances"][3].pred_masks)
    assert torch.equal(found["instances"][4].pred_masks, second["instances"][1].pred_masks)


def test_one_window_is_the_same_whatever_the_overlap(make_predictor, make_clip):
    frames, waveform = make_clip(5)
    predictor = make_predictor("TEST.WINDOW_OVERLAP", 4)
    overlapping = predictor(frames, waveform, RATE)["sem_seg"]
    predictor.cfg.TEST.WINDOW_OVERLAP = 0
    torch.testing.assert_close(overlapping, predictor(frames, waveform, RATE)["sem_seg"])


def test_a_stream_gives_frames_and_the_same_maps(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(7)
    path = write_lossless(frames, waveform)
    whole = predictor(path)
    for number, result in enumerate(predictor.stream(path)):
        assert result.time == number and np.array_equal(result.frame, frames[number])
        torch.testing.assert_close(result.sem_seg, whole["sem_seg"][number])
        assert torch.equal(result.instances.pred_masks, whole["instances"][number].pred_masks)
    assert number == 6


@pytest.mark.parametrize("overlap", [0, 2])
@pytest.mark.parametrize("frames_at_once", [0.5, 2, 3.5])
def test_large_frames_are_segmented_fewer_at_once_with_the_same_results(
    make_predictor, make_clip, monkeypatch, frames_at_once, overlap
):
    predictor = make_predictor("TEST.WINDOW_OVERLAP", overlap)
    frames, waveform = make_clip(13)
    expected = predictor(frames, waveform, RATE)
    counts, model = [], predictor.model
    monkeypatch.setattr("transavs.engine.windows.PIXELS_AT_ONCE", round(frames_at_once * 48 * 64))
    model.register_forward_pre_hook(lambda _, inputs: counts.append(len(inputs[0][0]["images"])))
    found = predictor(frames, waveform, RATE)
    assert max(counts) == max(1, int(frames_at_once))
    torch.testing.assert_close(found["sem_seg"], expected["sem_seg"])
    assert found["times"] == expected["times"] and found["sem_seg"].max() > 0.5
    for instances, wanted in zip(found["instances"], expected["instances"], strict=True):
        assert torch.equal(instances.query_index, wanted.query_index)


def test_every_frame_is_one_of_its_second(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(18, seconds=6)  # three frames a second
    path = write_lossless(frames, waveform, fps=3)
    found = predictor(path, fps="source")
    np.testing.assert_allclose(found["times"], np.arange(18) / 3, atol=1e-3)  # Matroska counts milliseconds
    torch.testing.assert_close(found["sem_seg"], predictor(frames, waveform, RATE, fps=3)["sem_seg"])
    middle = predictor(frames[1::3], waveform, RATE)["sem_seg"]  # of each second, one frame a second
    torch.testing.assert_close(found["sem_seg"][1::3], middle)
    torch.testing.assert_close(predictor(path)["sem_seg"], middle)


def test_a_sound_that_ends_early_goes_on_in_silence(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(12)
    padded = np.concatenate([waveform[: 3 * RATE], np.zeros(9 * RATE, np.float32)])
    expected = predictor(frames, padded, RATE)["sem_seg"]
    torch.testing.assert_close(predictor(frames, waveform[: 3 * RATE], RATE)["sem_seg"], expected)
    torch.testing.assert_close(predictor(write_lossless(frames, waveform[: 3 * RATE]))["sem_seg"], expected)


def test_a_sound_longer_than_the_pictures_is_cut(predictor, make_clip, write_lossless):
    frames, waveform = make_clip(3, seconds=9)
    found = predictor(write_lossless(frames, waveform))["sem_seg"]
    torch.testing.assert_close(found, predictor(frames, waveform[: 5 * RATE], RATE)["sem_seg"])
    assert len(found) == 3


def test_a_video_without_sound_is_silent_and_says_so_once(predictor, make_clip, write_lossless, caplog):
    frames, _ = make_clip(7)
    with caplog.at_level(logging.WARNING, "transavs"):
        found = predictor(write_lossless(frames))["sem_seg"]
    messages = [record.getMessage() for record in caplog.records if record.name.startswith("transavs")]
    assert len(messages) == 1 and "has no sound: it is taken as silence" in messages[0]
    torch.testing.assert_close(found, predictor(frames, np.zeros(7 * RATE, np.float32), RATE)["sem_seg"])


def test_a_model_of_bgr_frames_gets_them_from_rgb(predictor, make_clip):
    frames, waveform = make_clip(5)
    expected = predictor([frame[:, :, ::-1] for frame in frames], waveform, RATE)["sem_seg"]
    predictor.cfg.INPUT.FORMAT = "BGR"
    torch.testing.assert_close(predictor(frames, waveform, RATE)["sem_seg"], expected)


def test_masks_have_the_frames_own_size(predictor, make_clip):
    frames = [np.zeros((90, 160, 3), np.uint8)] * 2
    assert predictor(frames, make_clip(5)[1], RATE)["sem_seg"].shape == (2, 1, 90, 160)


def test_the_sound_is_heard_and_may_be_left_out(predictor, make_clip):
    frames, waveform = make_clip(5)
    loud, silent = predictor(frames, waveform, RATE)["sem_seg"], predictor(frames)["sem_seg"]
    assert not torch.allclose(loud, silent, atol=1e-4)


@pytest.mark.parametrize(
    "frames, waveform, rate, message",
    [
        ([], None, None, "1 or more frames.*found 0"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], None, None, r"\(8, 8, 3\), \(9, 8, 3\)"),
        ([np.zeros((8, 8), np.uint8)], None, None, r"\[H, W, 3\], found 1 of \[\(8, 8\)\]"),
        ([np.zeros((8, 8, 3), np.uint8)], np.zeros(10, np.float32), None, "needs its sample_rate"),
        ([np.zeros((8, 8, 3), np.uint8)], np.zeros((10, 2), np.float32), 16000, r"mono, \[samples\], found \[10, 2\]"),
        ("video.mp4", np.zeros(10, np.float32), 16000, "brings its own sound"),
    ],
)
def test_bad_input_says_what_was_found_and_expected(predictor, frames, waveform, rate, message):
    with pytest.raises(ValueError, match=message):
        predictor(frames, waveform, rate)


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("WINDOW_OVERLAP", 5, "WINDOW_OVERLAP is 5, expected whole seconds from 0 to 4"),
        ("WINDOW_BLENDING", "mean", "WINDOW_BLENDING is 'mean', expected one of average, triangle"),
    ],
)
def test_bad_windows_name_their_key(predictor, make_clip, key, value, message):
    predictor.cfg.TEST[key] = value
    with pytest.raises(ValueError, match=message):
        predictor(*make_clip(5), RATE)


def test_a_stream_tells_of_a_bad_file_before_its_first_frame(predictor, tmp_path):
    with pytest.raises(VideoError, match="missing.mp4: no such file"):
        predictor.stream(tmp_path / "missing.mp4")


@pytest.fixture
def small_gpu(predictor, monkeypatch):
    """Lets the predictor's model run out of memory with more frames at once than a number; keeps how many it saw."""
    seen, run = [], predictor.model.forward

    def have_room_for(number):
        def forward(clips):
            seen.append(len(clips[0]["images"]))
            if seen[-1] > number:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return run(clips)

        monkeypatch.setattr(predictor.model, "forward", forward)
        return seen

    return have_room_for


def test_without_the_memory_for_all_frames_one_at_a_time_is_tried(predictor, make_clip, small_gpu, caplog):
    frames, waveform = make_clip(5)
    expected = predictor(frames, waveform, RATE)
    seen = small_gpu(1)
    found = predictor(frames, waveform, RATE)
    assert seen == [5, 1, 1, 1, 1, 1]
    assert "5 frames at once are too many for the GPU's memory: one at a time is tried." in caplog.text
    torch.testing.assert_close(found["sem_seg"], expected["sem_seg"], rtol=1e-4, atol=1e-5)


def test_without_the_memory_for_one_frame_it_fails_as_pytorch_does(predictor, make_clip, small_gpu):
    seen = small_gpu(0)
    with pytest.raises(torch.OutOfMemoryError):
        predictor(*make_clip(5), RATE)
    assert seen == [5, 1]
