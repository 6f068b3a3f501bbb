"""Focal, dice and BCE against loops over classes and pixels."""

import pytest
import torch

from transavs.losses.supervised_losses import dice_loss, mask_bce_loss, softmax_focal_loss

WEIGHTS = torch.tensor([1.0, 0.7, 0.1], dtype=torch.float64)


def random_labels():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 5, 3, dtype=torch.float64, generator=generator)
    return logits, torch.randint(3, (2, 5), generator=generator)


def random_masks():
    generator = torch.Generator().manual_seed(0)
    mask_logits = 2 * torch.randn(3, 4, 5, dtype=torch.float64, generator=generator)
    return mask_logits, (torch.rand(3, 4, 5, generator=generator) > 0.6).double()


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0, 3.5])
def test_focal_loss_of_each_label(naive, gamma):
    logits, labels = random_labels()
    found = softmax_focal_loss(logits, labels, gamma, WEIGHTS)
    expected = [
        [naive.focal(logit, label, gamma, WEIGHTS.tolist()) for logit, label in zip(*rows)]
        for rows in zip(logits.tolist(), labels.tolist())
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_focal_loss_without_focus_is_weighted_cross_entropy():
    logits, labels = random_labels()
    found = softmax_focal_loss(logits, labels, 0.0, WEIGHTS)
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), WEIGHTS, reduction="none")
    torch.testing.assert_close(found.flatten(), expected)


@pytest.mark.parametrize("loss", ["dice", "bce"])
def test_mask_losses_of_each_object(naive, loss):
    mask_logits, masks = random_masks()
    found = {"dice": dice_loss, "bce": mask_bce_loss}[loss](mask_logits, masks)
    expected = [getattr(naive, loss)(*pair) for pair in zip(mask_logits.tolist(), masks.tolist())]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64))


def test_dice_by_hand():
    half = torch.tensor([[[9e3, 9e3, -9e3, -9e3]]])  # two of four pixels, one of them right
    assert dice_loss(half, torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])).item() == pytest.approx(1 - 3 / 4)


def test_gradients_are_those_of_finite_differences():
    (logits, labels), (mask_logits, masks) = random_labels(), random_masks()
    assert torch.autograd.gradcheck(lambda x: softmax_focal_loss(x, labels, 2.0, WEIGHTS), logits.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: dice_loss(x, masks), mask_logits.requires_grad_())
    assert torch.autograd.gradcheck(lambda x: mask_bce_loss(x, masks), mask_logits)


@pytest.mark.parametrize("label", [0, 1])
def test_a_certain_classifier_right_or_wrong_has_a_finite_gradient(label):
    logits = torch.tensor([[1e4, -1e4]], requires_grad=True)
    loss = softmax_focal_loss(logits, torch.tensor([label]), 2.0, torch.ones(2))
    loss.sum().backward()
    assert loss.item() == (0.0, 2e4)[label]
    assert torch.isfinite(logits.grad).all()
