import pytest
import torch

from transavs.modeling.mask_head import PRIOR_PROBABILITY, MaskHead, mask_logits


def test_masks_are_the_queries_times_the_projected_features():
    torch.manual_seed(0)
    head = MaskHead(dim=4, visual_dim=3, num_classes=1)
    fused, f4 = torch.randn(2, 5, 4), torch.randn(2, 3, 6, 7)
    found = mask_logits(fused, head.project(f4))
    w2, bias = head.mask_projection.weight[:, :, 0, 0], head.mask_projection.bias
    for frame, query, y, x in [(0, 0, 0, 0), (1, 4, 5, 6), (0, 2, 3, 1)]:
        expected = fused[frame, query] @ (w2 @ f4[frame, :, y, x] + bias)
        assert found[frame, query, y, x].item() == pytest.approx(expected.item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("num_classes", [1, 70])
def test_an_untrained_query_gives_each_class_about_its_prior(num_classes):
    head = MaskHead(dim=4, visual_dim=3, num_classes=num_classes)
    probability = head.class_logits(torch.zeros(1, 4)).softmax(-1)[0]
    assert probability[:-1].sum().item() == pytest.approx(PRIOR_PROBABILITY)


def test_first_mask_logits_are_of_size_one():
    torch.manual_seed(0)
    head = MaskHead(dim=256, visual_dim=256, num_classes=1)
    logits = mask_logits(torch.randn(1, 50, 256), head.project(torch.randn(1, 256, 20, 20)))
    assert 0.5 < logits.std().item() < 2.0
