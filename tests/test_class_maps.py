"""From queries to classes: Mask2Former's sum over queries, and the class of each pixel, against loops."""

import math

import pytest
import torch

from transavs import inference
from transavs.export import ClipSegmenter
from transavs.inference import FrameSizes, class_map, segment_frame, sounding_map, summed_map


def naive_sum(class_logits, mask_logits):
    result = torch.zeros(class_logits.shape[1] - 1, *mask_logits.shape[1:], dtype=torch.float64)
    for logits, mask in zip(class_logits.tolist(), mask_logits.double()):
        powers = [math.exp(logit) for logit in logits]
        for c in range(len(result)):
            result[c] += powers[c] / sum(powers) / (1 + torch.exp(-mask))
    return result.clamp(max=1).float()


def naive_classes(sem_seg, threshold):
    """[y][x]: the label of each pixel."""

    def label(values):
        best = max(values)
        return values.index(best) + 1 if best > threshold else 0

    channels = sem_seg.tolist()
    return [[label([c[y][x] for c in channels]) for x in range(sem_seg.shape[2])] for y in range(sem_seg.shape[1])]


@pytest.mark.parametrize("num_classes", [1, 4])
def test_every_query_counts_in_every_class_of_the_sum(num_classes):
    class_logits, mask_logits = torch.randn(7, num_classes + 1), 2 * torch.randn(7, 4, 5)
    found = summed_map(class_logits, mask_logits)
    torch.testing.assert_close(found, naive_sum(class_logits, mask_logits))
    assert (found == 1).any()  # where the sum would be more


@pytest.mark.parametrize("masks_a_block", [1, 5, 12])
def test_the_sum_is_the_same_in_blocks_and_for_several_frames(monkeypatch, masks_a_block):
    sizes = FrameSizes(padded=(32, 48), image=(30, 44), output=(30, 44))
    class_logits, mask_logits = torch.randn(2, 12, 4), torch.randn(2, 12, 16, 24)
    expected = [naive_sum(c, inference.resize(m, sizes)) for c, m in zip(class_logits, mask_logits)]
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", masks_a_block * 32 * 48)
    torch.testing.assert_close(summed_map(class_logits, mask_logits, sizes), torch.stack(expected))
    one = segment_frame(class_logits[0], mask_logits[0].__getitem__, sizes, 0.5, "sum")
    torch.testing.assert_close(one[0], expected[0])
    other = segment_frame(class_logits[0], mask_logits[0].__getitem__, sizes, 0.5)[1]
    assert all(torch.equal(one[1][name], other[name]) for name in other)


@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9])
def test_a_pixel_has_the_class_of_its_highest_channel(num_classes, threshold):
    sem_seg = torch.randint(0, 8, (3, num_classes, 6, 5)) / 7  # with ties, and values that are a threshold
    found = class_map(sem_seg, threshold)
    assert found.tolist() == [naive_classes(frame, threshold) for frame in sem_seg]
    assert torch.equal(class_map(sem_seg[1], threshold), found[1])


def test_a_pixels_class_is_that_of_the_query_that_has_it():
    class_logits, mask_logits = 3 * torch.randn(9, 4), 4 * torch.randn(9, 8, 8)
    size = FrameSizes((8, 8), (8, 8), (8, 8))
    soft_map, fields = segment_frame(class_logits, mask_logits.__getitem__, size, 0.5)
    expected = torch.zeros(8, 8, dtype=torch.uint8)
    for mask, c in zip(fields["pred_masks"], fields["pred_classes"]):
        expected[mask] = c.item() + 1
    assert torch.equal(class_map(soft_map, 0.5), expected) and len(expected.unique()) > 2


def test_with_one_class_the_class_map_is_the_mask():
    soft_map = sounding_map(torch.randn(6, 2), torch.randn(6, 9, 9))
    assert torch.equal(class_map(soft_map, 0.5).bool(), soft_map[0] > 0.5)


def test_255_classes_fit():
    sem_seg = torch.zeros(255, 1, 2)
    sem_seg[254, 0, 1] = 0.8
    assert class_map(sem_seg, 0.5).tolist() == [[0, 255]]


def test_the_model_and_its_exported_graph_follow_the_key(small_model):
    model = small_model("TEST.SEMANTIC_MAP", "sum", "MODEL.SEM_SEG_HEAD.NUM_CLASSES", "3")
    images, sound = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8), torch.randn(5, 1, 96, 64)
    with torch.no_grad():
        found = model([{"images": images, "audio_log_mel": sound}])[0]["sem_seg"]
        torch.testing.assert_close(ClipSegmenter(model, (64, 64))(images, sound), found)
        model.semantic_map = "argmax"
        other = model([{"images": images, "audio_log_mel": sound}])[0]["sem_seg"]
    assert found.shape == (2, 3, 64, 64) and found.min() > 0
    assert not torch.equal(found, other)


def test_an_unknown_way_is_named(small_model):
    with pytest.raises(ValueError, match="TEST.SEMANTIC_MAP is 'max', expected one of: argmax, sum"):
        small_model("TEST.SEMANTIC_MAP", "max")
