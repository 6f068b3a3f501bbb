import numpy as np
import pytest
import torch

from detectron2.checkpoint import DetectionCheckpointer
from detectron2.modeling import build_model
from transavs import AVSPredictor
from transavs.data.audio import log_mel_examples


@pytest.fixture
def predictor(small_cfg, tmp_path):
    cfg = small_cfg("DATASETS.TEST", ())
    model = build_model(cfg)
    model.mask_head.classifier.bias.data = torch.tensor([3.0, 0.0])  # untrained, it would find nothing
    DetectionCheckpointer(model, str(tmp_path)).save("model")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    cfg.MODEL.AUDIO_BACKBONE.WEIGHTS = "not/there.pth"  # what training started from is not needed any more
    return AVSPredictor(cfg)


@pytest.fixture
def clip():
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for _ in range(5)]
    return frames, rng.normal(0, 0.1, 5 * 16000).astype(np.float32)


def test_it_gives_what_the_model_gives_for_the_same_clip(predictor, clip):
    frames, waveform = clip
    images = torch.stack([torch.from_numpy(frame).permute(2, 0, 1) for frame in frames])
    with torch.no_grad():
        expected = predictor.model([{"images": images, "frame_indices": torch.arange(5), "height": 64, "width": 64,
                                     "audio_log_mel": log_mel_examples(torch.from_numpy(waveform), 16000, 5)}])[0]
    found = predictor(frames, waveform, 16000)
    torch.testing.assert_close(found["sem_seg"], expected["sem_seg"])
    assert found["sem_seg"].max() > 0 and len(found["instances"]) == 5


def test_a_model_of_bgr_frames_gets_them_from_rgb(predictor, clip):
    frames, waveform = clip
    expected = predictor([frame[:, :, ::-1] for frame in frames], waveform, 16000)["sem_seg"]
    predictor.cfg.INPUT.FORMAT = "BGR"
    torch.testing.assert_close(predictor(frames, waveform, 16000)["sem_seg"], expected)


def test_masks_have_the_frames_own_size(predictor, clip):
    frames = [np.zeros((90, 160, 3), np.uint8)] * 2
    assert predictor(frames, clip[1], 16000)["sem_seg"].shape == (2, 1, 90, 160)


def test_the_sound_is_heard_and_may_be_left_out(predictor, clip):
    frames, waveform = clip
    loud, silent = predictor(frames, waveform, 16000)["sem_seg"], predictor(frames)["sem_seg"]
    assert not torch.allclose(loud, silent, atol=1e-4)


@pytest.mark.parametrize(
    "frames, waveform, message",
    [
        ([], None, "1 to 5 frames.*found 0"),
        ([np.zeros((8, 8, 3), np.uint8)] * 6, None, "1 to 5 frames.*found 6"),
        ([np.zeros((8, 8, 3), np.uint8), np.zeros((9, 8, 3), np.uint8)], None, r"\(8, 8, 3\), \(9, 8, 3\)"),
        ([np.zeros((8, 8), np.uint8)], None, r"\[H, W, 3\], found 1 of \[\(8, 8\)\]"),
        ([np.zeros((8, 8, 3), np.uint8)], np.zeros(10, np.float32), "needs its sample_rate"),
    ],
)
def test_bad_input_says_what_was_found_and_expected(predictor, frames, waveform, message):
    with pytest.raises(ValueError, match=message):
        predictor(frames, waveform)
