"""Masks (eq. 7) and probabilities (eq. 8) against loops over queries, classes and pixels."""

import math

import pytest
import torch

from transavs.modeling.mask_head import PRIOR_PROBABILITY, MaskHead, mask_logits

FRAMES, N, D, VISUAL_DIM, HEIGHT, WIDTH = 2, 5, 4, 3, 3, 4


def make_head(num_classes=1):
    torch.manual_seed(0)
    head = MaskHead(dim=D, visual_dim=VISUAL_DIM, num_classes=num_classes).double()
    torch.nn.init.normal_(head.mask_projection.bias)
    fused = torch.randn(FRAMES, N, D, dtype=torch.float64)
    return head, fused, torch.randn(FRAMES, VISUAL_DIM, HEIGHT, WIDTH, dtype=torch.float64)


def test_masks_are_eq_7():
    head, fused, f4 = make_head()
    found = mask_logits(fused, head.project(f4)).sigmoid()
    assert found.shape == (FRAMES, N, HEIGHT, WIDTH)
    w2, bias = head.mask_projection.weight[:, :, 0, 0].tolist(), head.mask_projection.bias.tolist()
    places = torch.cartesian_prod(*map(torch.arange, (FRAMES, N, HEIGHT, WIDTH))).tolist()
    for frame, query, y, x in places:
        pixel = f4[frame, :, y, x].tolist()
        projected = [sum(w * p for w, p in zip(row, pixel)) + b for row, b in zip(w2, bias)]
        logit = sum(a * b for a, b in zip(fused[frame, query].tolist(), projected))
        assert found[frame, query, y, x].item() == pytest.approx(1 / (1 + math.exp(-logit)), rel=1e-12)


def test_masks_of_one_frame_are_those_of_all():
    head, fused, f4 = make_head()
    projected = head.project(f4)
    together, queries = mask_logits(fused, projected), torch.tensor([4, 1])
    for frame in range(FRAMES):
        alone = mask_logits(fused[frame, queries], projected[frame])
        torch.testing.assert_close(alone, together[frame, queries])


@pytest.mark.parametrize("num_classes", [1, 3])
def test_probabilities_are_eq_8(num_classes):
    head, fused, _ = make_head(num_classes)
    found = head.class_logits(fused).softmax(-1)
    g, bias = head.classifier.weight.tolist(), head.classifier.bias.tolist()
    for query, probabilities in zip(fused.flatten(0, 1).tolist(), found.flatten(0, 1).tolist()):
        powers = [math.exp(sum(w * x for w, x in zip(row, query)) + b) for row, b in zip(g, bias)]
        assert probabilities == pytest.approx([power / sum(powers) for power in powers], rel=1e-12)


def test_gradients_are_those_of_finite_differences():
    head, fused, f4 = make_head()

    def masks_and_probabilities(fused, f4):
        return mask_logits(fused, head.project(f4)).sigmoid(), head.class_logits(fused).softmax(-1)

    assert torch.autograd.gradcheck(masks_and_probabilities, (fused.requires_grad_(), f4.requires_grad_()))


@pytest.mark.parametrize("num_classes", [1, 70])
def test_an_untrained_query_gives_each_class_about_its_prior(num_classes):
    head = MaskHead(dim=4, visual_dim=3, num_classes=num_classes)
    probability = head.class_logits(torch.zeros(1, 4)).softmax(-1)[0]
    assert probability[:-1].tolist() == pytest.approx([PRIOR_PROBABILITY / num_classes] * num_classes)


def test_first_mask_logits_are_of_size_one():
    torch.manual_seed(0)
    head = MaskHead(dim=256, visual_dim=256, num_classes=1)
    logits = mask_logits(torch.randn(1, 50, 256), head.project(torch.randn(1, 256, 20, 20)))
    assert 0.5 < logits.std().item() < 2.0
