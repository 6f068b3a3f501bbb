"""Inference (eq. 14, 15) against a loop over pixels and queries."""
import pytest
import torch

from transavs.inference import segment_frame, sounding_map

CONFIDENT, UNSURE = 4.0, -4.0


def naive_map(class_logits, mask_logits):
    probability, masks = class_logits.softmax(-1), mask_logits.sigmoid()
    num_classes = class_logits.shape[1] - 1
    result = torch.zeros(num_classes, *masks.shape[1:])
    for y in range(masks.shape[1]):
        for x in range(masks.shape[2]):
            best, best_class = 0.0, None
            for i in range(len(masks)):
                c = int(probability[i].argmax())
                product = float(probability[i, c] * masks[i, y, x])
                if c < num_classes and product > best:
                    best, best_class = product, c
            if best_class is not None:
                result[best_class, y, x] = best
    return result


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_the_map_is_the_winning_product_in_its_class(num_classes, seed):
    generator = torch.Generator().manual_seed(seed)
    class_logits = 2 * torch.randn(7, num_classes + 1, generator=generator)
    mask_logits = 2 * torch.randn(7, 4, 5, generator=generator)
    torch.testing.assert_close(sounding_map(class_logits, mask_logits), naive_map(class_logits, mask_logits))


def test_nothing_sounds_where_every_query_prefers_no_object():
    result = sounding_map(torch.tensor([[UNSURE, CONFIDENT]] * 3), torch.full((3, 2, 2), CONFIDENT))
    assert torch.equal(result, torch.zeros(1, 2, 2))


def test_a_pixel_needs_both_factors_high():
    class_logits = torch.tensor([[CONFIDENT, 0.0], [0.2, 0.0]])
    mask_logits = torch.stack([torch.full((1, 1), UNSURE), torch.full((1, 1), 8.0)])
    assert sounding_map(class_logits, mask_logits).item() == pytest.approx(torch.sigmoid(torch.tensor(0.2)).item(), abs=1e-3)


def run_frame(class_logits, mask_logits, output_size=(4, 4), image_size=(4, 4), padded_size=(4, 4)):
    asked = []

    def masks_of(queries):
        asked.append(queries.tolist())
        return mask_logits[queries]

    soft_map, fields = segment_frame(class_logits, masks_of, image_size, output_size, padded_size, 0.5)
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


def test_a_frame_without_sounding_queries_has_an_empty_result_of_the_size_wanted():
    soft_map, fields, _ = run_frame(torch.tensor([[UNSURE, 0.0]]), torch.randn(1, 2, 2), output_size=(6, 7))
    assert torch.equal(soft_map, torch.zeros(1, 6, 7))
    assert fields["pred_masks"].shape == (0, 6, 7)


def test_padding_is_cut_before_resizing_to_the_frames_own_size():
    mask_logits = torch.full((1, 4, 4), -8.0)
    mask_logits[:, :2, :2] = 8.0  # the whole unpadded frame
    soft_map, _, _ = run_frame(torch.tensor([[9.0, 0.0]]), mask_logits, (6, 6), image_size=(2, 2), padded_size=(4, 4))
    assert (soft_map > 0.9).all()
