"""Inference (eq. 14, 15) against a loop over pixels and queries."""

import math

import pytest
import torch
from torch.nn import functional as F

from transavs import inference
from transavs.inference import FrameSizes, segment_frame, sounding_map

CONFIDENT, UNSURE = 4.0, -4.0


def naive_assignment(class_logits, mask_logits):
    """[y][x]: (p_i(c_i) m_i, c_i, i) of the pixel's query; (0, None, None) where no query sounds."""
    queries = []
    for i, logits in enumerate(class_logits.tolist()):
        powers = [math.exp(logit) for logit in logits]
        c = powers.index(max(powers))
        if c < len(logits) - 1:
            queries.append((powers[c] / sum(powers), c, i))

    def winner(y, x):
        pixels = [(p / (1 + math.exp(-mask_logits[i, y, x].item())), c, i) for p, c, i in queries]
        return max(pixels, key=lambda pixel: pixel[0], default=(0.0, None, None))

    return [[winner(y, x) for x in range(mask_logits.shape[2])] for y in range(mask_logits.shape[1])]


def naive_map(class_logits, mask_logits):
    result = torch.zeros(class_logits.shape[1] - 1, *mask_logits.shape[1:])
    for y, row in enumerate(naive_assignment(class_logits, mask_logits)):
        for x, (product, c, _) in enumerate(row):
            if c is not None:
                result[c, y, x] = product
    return result


def naive_resize(mask, size):
    """Bilinear, pixels being squares whose values stand at their centres: [h, w] -> [H, W]."""

    def weights(number, target, source):
        centre = min(max((number + 0.5) * source / target - 0.5, 0), source - 1)
        return torch.tensor([max(0.0, 1 - abs(centre - cell)) for cell in range(source)])

    rows = torch.stack([weights(y, size[0], mask.shape[0]) for y in range(size[0])])
    columns = torch.stack([weights(x, size[1], mask.shape[1]) for x in range(size[1])])
    return rows @ mask @ columns.T


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_map_is_the_winning_product_in_its_class(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    class_logits = 2 * torch.randn(7, num_classes + 1, generator=generator)
    mask_logits = 2 * torch.randn(7, 4, 5, generator=generator)
    torch.testing.assert_close(sounding_map(class_logits, mask_logits), naive_map(class_logits, mask_logits))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_map_is_made_in_single_precision(dtype):
    class_logits, mask_logits = torch.randn(5, 2).to(dtype), torch.randn(5, 3, 4).to(dtype)
    found = sounding_map(class_logits, mask_logits)
    assert torch.equal(found, sounding_map(class_logits.float(), mask_logits.float()))
    assert found.dtype == torch.float32


def test_nothing_sounds_where_every_query_prefers_no_object():
    result = sounding_map(torch.tensor([[UNSURE, CONFIDENT]] * 3), torch.full((3, 2, 2), CONFIDENT))
    assert torch.equal(result, torch.zeros(1, 2, 2))


def test_a_pixel_needs_both_factors_high():
    class_logits = torch.tensor([[CONFIDENT, 0.0], [0.2, 0.0]])
    mask_logits = torch.stack([torch.full((1, 1), UNSURE), torch.full((1, 1), 8.0)])
    assert sounding_map(class_logits, mask_logits).item() == pytest.approx(
        torch.sigmoid(torch.tensor(0.2)).item(), abs=1e-3
    )


def run_frame(class_logits, mask_logits, output_size=(4, 4), image_size=(4, 4), padded_size=(4, 4)):
    asked = []

    def masks_of(queries):
        asked.append(queries.tolist())
        return mask_logits[queries]

    soft_map, fields = segment_frame(class_logits, masks_of, FrameSizes(padded_size, image_size, output_size), 0.5)
    return soft_map, fields, asked


def test_only_masks_that_can_win_are_asked_for():
    class_logits = torch.tensor([[UNSURE, 0.0], [CONFIDENT, 0.0], [UNSURE, 0.0]])
    soft_map, _, asked = run_frame(class_logits, torch.randn(3, 4, 4))
    assert asked == [[1]]
    assert soft_map.shape == (1, 4, 4)


def test_instances_are_the_queries_that_own_pixels():
    class_logits = torch.tensor([[UNSURE, 0.0], [CONFIDENT, 0.0], [CONFIDENT - 1, 0.0], [CONFIDENT, 0.0]])
    mask_logits = torch.full((4, 4, 4), -8.0)
    mask_logits[1, :2], mask_logits[2, 2:] = 8.0, 8.0  # query 3 sounds, but owns nothing
    _, fields, _ = run_frame(class_logits, mask_logits)
    assert fields["query_index"].tolist() == [1, 2]
    assert fields["pred_classes"].tolist() == [0, 0]
    assert fields["scores"].tolist() == pytest.approx([torch.sigmoid(torch.tensor(s)).item() for s in (4.0, 3.0)])
    expected = torch.zeros(2, 4, 4, dtype=torch.bool)
    expected[0, :2], expected[1, 2:] = True, True
    assert torch.equal(fields["pred_masks"], expected)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("output_size", [(5, 7), (9, 4)])
def test_a_frame_of_any_size_is_assigned_pixel_by_pixel(output_size, num_classes):
    generator = torch.Generator().manual_seed(0)
    class_logits = 4 * torch.randn(8, num_classes + 1, generator=generator)
    mask_logits = 3 * torch.randn(8, 2, 3, generator=generator)
    soft_map, fields, _ = run_frame(class_logits, mask_logits, output_size, image_size=(5, 7), padded_size=(6, 9))
    masks = torch.stack([naive_resize(mask, (6, 9))[:5, :7] for mask in mask_logits])
    masks = torch.stack([naive_resize(mask, output_size) for mask in masks])
    torch.testing.assert_close(soft_map, naive_map(class_logits, masks), rtol=1e-5, atol=1e-6)

    owners = {}
    for y, row in enumerate(naive_assignment(class_logits, masks)):
        for x, (product, c, i) in enumerate(row):
            if product > 0.5:
                owners.setdefault(i, (c, set()))[1].add((y, x))
    found = {
        i: (c, {tuple(pixel) for pixel in mask.nonzero().tolist()})
        for i, c, mask in zip(fields["query_index"].tolist(), fields["pred_classes"].tolist(), fields["pred_masks"])
    }
    assert found == owners and len(owners) > 1


def test_a_pixel_at_exactly_the_mask_threshold_is_nobodys():
    _, fields, _ = run_frame(torch.tensor([[200.0, 0.0]]), torch.zeros(1, 4, 4))  # p = 1, m = 0.5
    assert len(fields["pred_masks"]) == 0


def test_a_frame_without_sounding_queries_has_an_empty_result_of_the_size_wanted():
    soft_map, fields, _ = run_frame(torch.tensor([[UNSURE, 0.0]]), torch.randn(1, 2, 2), output_size=(6, 7))
    assert torch.equal(soft_map, torch.zeros(1, 6, 7))
    assert fields["pred_masks"].shape == (0, 6, 7)


def test_padding_is_cut_before_resizing_to_the_frames_own_size():
    mask_logits = torch.full((1, 4, 4), -8.0)
    mask_logits[:, :2, :2] = 8.0  # the whole unpadded frame
    soft_map, _, _ = run_frame(torch.tensor([[9.0, 0.0]]), mask_logits, (6, 6), image_size=(2, 2), padded_size=(4, 4))
    assert (soft_map > 0.9).all()


def all_at_once(class_logits, mask_logits, padded_size, image_size, output_size, mask_threshold):
    """`segment_frame` with every sounding query's mask at the frame's size in memory."""
    probability, classes = class_logits.softmax(-1).max(-1)
    queries = (classes < class_logits.shape[-1] - 1).nonzero()[:, 0]
    scores, classes = probability[queries], classes[queries]
    soft_map = torch.zeros(class_logits.shape[-1] - 1, *output_size)
    pred_masks = torch.zeros(len(queries), *output_size, dtype=torch.bool)
    if len(queries):
        masks = F.interpolate(mask_logits[queries][None], padded_size, mode="bilinear", align_corners=False)
        masks = masks[..., : image_size[0], : image_size[1]]
        masks = F.interpolate(masks, output_size, mode="bilinear", align_corners=False)[0]
        product, owner = (scores[:, None, None] * masks.sigmoid()).max(0)
        soft_map.scatter_(0, classes[owner][None], product[None])
        pred_masks = (owner == torch.arange(len(queries))[:, None, None]) & (product > mask_threshold)
    owns = pred_masks.flatten(1).any(1)
    return soft_map, [pred_masks[owns], scores[owns], classes[owns], queries[owns]]


def queries_with_ties(num_sounding, num_classes, size):
    """Nine queries, four of them like four others; the first so many sound. Returns: class logits, mask logits."""
    generator = torch.Generator().manual_seed(num_sounding)
    class_logits = torch.randn(9, num_classes + 1, generator=generator)
    mask_logits = 3 * torch.randn(9, *size, generator=generator)
    class_logits[4:8], mask_logits[4:8] = class_logits[:4], mask_logits[:4]
    class_logits[:, -1] = torch.where(torch.arange(9) < num_sounding, UNSURE, CONFIDENT)
    return class_logits, mask_logits


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("num_sounding", [0, 1, 2, 5, 6, 9])
@pytest.mark.parametrize("masks_a_block", [0.5, 1, 2, 3, 6, 8, 9])
def test_masks_block_by_block_give_what_all_at_once_give(monkeypatch, masks_a_block, num_sounding, num_classes):
    size = 16, 24
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", round(masks_a_block * 16 * 24))
    class_logits, mask_logits = queries_with_ties(num_sounding, num_classes, size)
    soft_map, fields = segment_frame(class_logits, mask_logits.__getitem__, FrameSizes(size, size, size), 0.5)
    expected_map, expected = all_at_once(class_logits, mask_logits, size, size, size, 0.5)
    assert torch.equal(soft_map, expected_map)
    for name, value in zip(("pred_masks", "scores", "pred_classes", "query_index"), expected, strict=True):
        assert torch.equal(fields[name], value) and fields[name].dtype == value.dtype


@pytest.mark.parametrize("masks_a_block", [1, 2, 3, 8])
def test_masks_resized_block_by_block_give_what_all_at_once_give(monkeypatch, masks_a_block):
    sizes = FrameSizes(padded=(64, 96), image=(56, 90), output=(130, 200))
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", masks_a_block * 130 * 200)
    generator = torch.Generator().manual_seed(0)
    class_logits = torch.tensor([[CONFIDENT, 0.0]] * 8)
    mask_logits = 3 * torch.randn(8, 16, 24, generator=generator)
    soft_map, fields = segment_frame(class_logits, mask_logits.__getitem__, sizes, 0.5)
    expected_map, expected = all_at_once(class_logits, mask_logits, *sizes, 0.5)
    # PyTorch's resizing itself may round another way with another number of masks.
    torch.testing.assert_close(soft_map, expected_map, rtol=1e-5, atol=1e-6)
    assert torch.equal(fields["query_index"], expected[3]) and len(expected[3]) == 8
    assert (fields["pred_masks"] != expected[0]).float().mean() < 1e-4


@pytest.mark.parametrize("masks_a_block", [1, 2, 3, 6])
def test_of_equal_queries_the_first_owns_the_pixels(monkeypatch, masks_a_block):
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", masks_a_block * 4 * 4)
    _, fields, _ = run_frame(torch.tensor([[UNSURE, 0.0]] + [[CONFIDENT, 0.0]] * 5), torch.full((6, 4, 4), 8.0))
    assert fields["query_index"].tolist() == [1] and fields["pred_masks"].all()


def test_a_mask_that_is_not_a_number_is_not_taken_for_silence():
    mask_logits = torch.zeros(3, 4, 4)
    mask_logits[1, 0, 0] = math.nan
    soft_map, _, _ = run_frame(torch.tensor([[CONFIDENT, 0.0]] * 3), mask_logits)
    assert soft_map.isnan().any()


def test_no_more_masks_than_a_block_are_resized_at_once(monkeypatch):
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", 3 * 40 * 60)
    resized = []
    winners = inference.winners
    monkeypatch.setattr(
        inference, "winners", lambda scores, masks: resized.append(masks.shape) or winners(scores, masks)
    )
    run_frame(torch.tensor([[CONFIDENT, 0.0]] * 7), torch.randn(7, 4, 4), output_size=(40, 60))
    assert resized == [(3, 40, 60), (3, 40, 60), (1, 40, 60)]


@pytest.mark.parametrize("masks_a_block", [1, 5, 12])
@pytest.mark.parametrize("num_classes", [1, 4])
def test_the_map_over_all_queries_of_all_frames_is_that_of_those_that_sound(monkeypatch, num_classes, masks_a_block):
    sizes = FrameSizes(padded=(32, 48), image=(30, 44), output=(30, 44))
    monkeypatch.setattr(inference, "ELEMENTS_AT_ONCE", masks_a_block * 32 * 48)
    generator = torch.Generator().manual_seed(num_classes)
    class_logits = torch.randn(3, 12, num_classes + 1, generator=generator)
    class_logits[0, :, -1] += 10  # a frame in which nothing sounds
    mask_logits = torch.randn(3, 12, 16, 24, generator=generator)
    found = sounding_map(class_logits, mask_logits, sizes)
    frames = zip(class_logits, mask_logits)
    expected = torch.stack([segment_frame(logits, masks.__getitem__, sizes, 0.5)[0] for logits, masks in frames])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    assert found[0].max() == 0 and found[1:].max() > 0.5
