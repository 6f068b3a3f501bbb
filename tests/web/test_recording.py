import numpy as np
import pytest
import torch
from detectron2.structures import Instances

from transavs.engine.predictor import FrameResult
from transavs.inference import class_map
from transavs.web.recording import Recording

SIZE = (12, 16)
LEAST = 0.05


class Frames:
    """In place of a VideoReader: two grey frames, a second apart."""

    def sample(self, fps):
        return [(second, np.full((*SIZE, 3), 50 + second, np.uint8)) for second in range(2)]


def results():
    """Two frames of two objects each, over random maps in which the first object owns the left half."""
    generator = torch.Generator().manual_seed(0)
    for second, frame in Frames().sample(1):
        sem_seg = torch.rand(1, *SIZE, generator=generator)
        sem_seg[0, 0, :4] = torch.tensor([0.0, 0.05, 0.3, 0.7])  # what lies on a threshold is not above it
        left = torch.arange(SIZE[1]) < 8
        found = Instances(
            SIZE,
            pred_masks=torch.stack([left & (sem_seg[0] > LEAST), ~left & (sem_seg[0] > LEAST)]),
            scores=torch.tensor([0.9, 0.6 + 0.1 * second]),
            pred_classes=torch.tensor([0, 0]),
            query_index=torch.tensor([7, 31]),
            object_number=torch.tensor([0, 4]),
        )
        yield FrameResult(float(second), frame, sem_seg, found)


@pytest.fixture
def recording(tmp_path):
    recording = Recording(tmp_path / "maps", Frames(), 1, LEAST)
    for result in results():
        recording.add(result)
    return recording


@pytest.mark.parametrize("threshold", [0.05, 0.3, 0.57, 0.7, 0.95])
def test_a_replay_is_what_the_model_would_have_found(recording, threshold):
    for replayed, original in zip(recording.replay(threshold, 0), results(), strict=True):
        assert replayed.time == original.time and np.array_equal(replayed.frame, original.frame)
        sounding = original.sem_seg > threshold
        assert torch.equal(replayed.sem_seg > threshold, sounding)
        masks = original.instances.pred_masks & sounding
        kept = masks.flatten(1).any(1)
        assert torch.equal(replayed.instances.pred_masks, masks[kept])
        for field in ("scores", "pred_classes", "query_index", "object_number"):
            assert torch.equal(replayed.instances.get(field), original.instances.get(field)[kept])


def test_each_pixel_keeps_its_likeliest_class(tmp_path):
    recording = Recording(tmp_path / "maps", Frames(), 1, LEAST)
    result = next(results())
    result.sem_seg = torch.cat([result.sem_seg, torch.rand(2, *SIZE, generator=torch.Generator().manual_seed(1))])
    recording.add(result)
    (replayed,) = recording.replay(0.3, 0)
    assert torch.equal(class_map(replayed.sem_seg, 0.3), class_map(result.sem_seg, 0.3))
    assert (replayed.sem_seg > 0).sum(0).max() == 1


def test_less_sure_objects_are_left_out_with_their_pixels(recording):
    first, second = recording.replay(0.3, 0.65)
    assert first.instances.object_number.tolist() == [0] and second.instances.object_number.tolist() == [0, 4]
    assert first.sem_seg[0, :, 8:].max() < 0.3 < second.sem_seg[0, :, 8:].max()
    assert all(len(result.instances) == 0 and result.sem_seg.max() < 0.3 for result in recording.replay(0.3, 1))


def test_a_pixel_of_no_object_goes_when_objects_must_be_sure(tmp_path):
    recording = Recording(tmp_path / "maps", Frames(), 1, LEAST)
    result = next(results())
    result.instances.pred_masks[:, 5] = False  # as where windows overlap
    recording.add(result)
    (everything,), (sure,) = recording.replay(0.3, 0), recording.replay(0.3, 0.5)
    assert (everything.sem_seg[0, 5] > 0.3).any() and not (sure.sem_seg[0, 5] > 0.3).any()
    assert (sure.sem_seg[0, 6] > 0.3).any()


def test_a_threshold_that_was_not_recorded_is_refused(recording):
    with pytest.raises(ValueError, match="threshold 0.01, expected at least the model's 0.05"):
        next(recording.replay(0.01, 0))
