"""Inference: from queries to a map of what sounds (eq. 14, 15)."""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Of resized masks: 16 MiB of float32, which glibc keeps from one block to the next. A larger mask is a block alone.
ELEMENTS_AT_ONCE = 1 << 22

Size = tuple[int, int]  # height and width, in pixels


class FrameSizes(NamedTuple):
    """The sizes that a frame goes through.

    Args:
        padded (Size): of the padded frame, which the model's masks cover.
        image (Size): of the frame as the model saw it, without padding.
        output (Size): wanted of the result.
    """

    padded: Size
    image: Size
    output: Size


class PixelAssignment(NamedTuple):
    """Whose the pixels of a frame are; leading axes stand for several frames.

    Args:
        soft_map (Tensor): each pixel's product p_i(c_i) m_i in the channel of its class, [..., num_classes, H, W].
        product (Tensor): the same without classes, [..., H, W].
        owner (Tensor): the query that has it, int64 [..., H, W]; of equals the first.
    """

    soft_map: Tensor
    product: Tensor
    owner: Tensor


def sounding_map(class_logits: Tensor, mask_logits: Tensor, sizes: FrameSizes | None = None) -> Tensor:
    """The soft map of a frame: each pixel's winning product p_i(c_i) m_i, in the channel of its class (eq. 14, 15).

    A pixel is high only where both factors are. It is 0 in every channel where no query sounds. The same steps are
    taken for any input, so that they can be traced.

    Args:
        class_logits (Tensor): [..., N, K], the last class being no object.
        mask_logits (Tensor): masks before the sigmoid, [N, H, W]; or [F, N, H, W] of F frames.
        sizes (FrameSizes): for masks at the model's size; None takes them as they are.

    Returns:
        Tensor: float32 [..., K - 1, H, W] in [0, 1].
    """
    scores, classes = score_queries(class_logits)
    return assign_pixels(scores, classes, mask_logits, class_logits.shape[-1] - 1, sizes).soft_map


def summed_map(class_logits: Tensor, mask_logits: Tensor, sizes: FrameSizes | None = None) -> Tensor:
    """Mask2Former's soft map: in each class's channel the sum of p_i(c) m_i over all queries, at most 1.

    Every query counts in every class, by the probability that it gives it, be it the likeliest or not. Arguments and
    result as of `sounding_map`.
    """
    probability = class_logits.float().softmax(-1)[..., :-1]  # ... N K-1
    size = _output_size(mask_logits, sizes)
    total = probability.new_zeros(*probability.shape[:-2], probability.shape[-1], *size)
    for block, masks in _resized_blocks(mask_logits, sizes):
        total += torch.einsum("...nc,...nhw->...chw", probability[..., block, :], masks.float().sigmoid())
    return total.clamp(max=1.0)


SEMANTIC_MAPS = {"argmax": sounding_map, "sum": summed_map}  # the values of TEST.SEMANTIC_MAP


def class_map(sem_seg: Tensor, threshold: float) -> Tensor:
    """The class of each pixel (eq. 14) as its label: that of the highest channel, where it exceeds the threshold.

    Args:
        sem_seg (Tensor): a soft map, [..., K, H, W] with K <= 255.
        threshold (float): not below 0.

    Returns:
        Tensor: uint8 [..., H, W]: 0 for the background, c + 1 for class c; of equal channels the first.
    """
    highest = torch.full_like(sem_seg[..., 0, :, :], threshold)
    labels = torch.zeros_like(highest, dtype=torch.uint8)
    seen = sem_seg.amax((-2, -1)).view(-1, sem_seg.shape[-3]).amax(0) > threshold
    for c in seen.nonzero()[:, 0].tolist():  # on a CPU many times as fast as an argmax over the channels
        channel = sem_seg[..., c, :, :]
        torch.maximum(labels, (channel > highest).view(torch.uint8) * (c + 1), out=labels)
        torch.maximum(highest, channel, out=highest)
    return labels


def segment_frame(
    class_logits: Tensor,
    mask_logits: Callable[[Tensor], Tensor],
    sizes: FrameSizes,
    mask_threshold: float,
    semantic_map: str = "argmax",
) -> tuple[Tensor, dict[str, Tensor]]:
    """The result of one frame at its own size: `sounding_map`, for which only masks that can win are made and resized.

    Args:
        class_logits (Tensor): [N, K], the last class being no object.
        mask_logits (callable): indices [k] -> those masks before the sigmoid, [k, h, w].
        sizes (FrameSizes): of the frame.
        mask_threshold (float): a pixel belongs to its query where p_i m_i exceeds it.
        semantic_map (str): "sum" gives `summed_map` as the soft map; the queries' own pixels are the same.

    Returns:
        tuple[Tensor, dict]: the soft map [K - 1, H, W], and the queries that own pixels: `pred_masks` bool [k, H, W],
        `scores` [k], `pred_classes` [k], `query_index` [k].
    """
    scores, classes = score_queries(class_logits)
    queries = scores.nonzero()[:, 0]  # no other can win a pixel
    scores, classes = scores[queries], classes[queries]
    soft_map, product, owner = assign_pixels(scores, classes, mask_logits(queries), class_logits.shape[-1] - 1, sizes)
    if semantic_map == "sum":
        every = torch.arange(len(class_logits), device=class_logits.device)
        soft_map = summed_map(class_logits, mask_logits(every), sizes)

    above = product > mask_threshold
    owners = torch.bincount(owner[above], minlength=len(queries)).nonzero()[:, 0]
    return soft_map, {
        "pred_masks": (owner == owners[:, None, None]).logical_and_(above),
        "scores": scores[owners],
        "pred_classes": classes[owners],
        "query_index": queries[owners],
    }


def score_queries(class_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest class of each query and its probability, which counts only if that class sounds (eq. 15).

    Args:
        class_logits (Tensor): [..., N, K], the last class being no object.

    Returns:
        tuple[Tensor, Tensor]: p_i(c_i), 0 where c_i is no object, float32 [..., N]; and c_i, int64 [..., N].
    """
    probability, classes = class_logits.float().softmax(-1).max(-1)
    return probability * (classes < class_logits.shape[-1] - 1), classes


def assign_pixels(
    scores: Tensor, classes: Tensor, mask_logits: Tensor, num_classes: int, sizes: FrameSizes | None = None
) -> PixelAssignment:
    """Gives each pixel to the query with the highest p_i(c_i) m_i (eq. 14).

    Masks are resized and compared a block at a time, so that memory does not grow with their number.

    Args:
        scores (Tensor), classes (Tensor): p_i(c_i) and c_i of k >= 0 queries, [..., k].
        mask_logits (Tensor): their masks before the sigmoid, [..., k, h, w].
        num_classes (int): classes that sound.
        sizes (FrameSizes): for masks at the model's size; None takes them as they are.

    Returns:
        PixelAssignment: at the size of the output; 0 everywhere where there is no query.
    """
    product = scores.new_zeros(*scores.shape[:-1], *_output_size(mask_logits, sizes))
    owner = torch.zeros_like(product, dtype=torch.int64)
    for block, masks in _resized_blocks(mask_logits, sizes):
        block_product, block_owner = winners(scores[..., block], masks)
        owner = torch.where(block_product > product, block_owner + block.start, owner)  # of equals, the first stays
        product = torch.maximum(product, block_product)
    return PixelAssignment(_in_channels(product, owner, classes, num_classes), product, owner)


def winners(scores: Tensor, mask_logits: Tensor) -> tuple[Tensor, Tensor]:
    """The highest p_i m_i of each pixel and whose it is: [..., k] and [..., k, H, W], k >= 1, to [..., H, W] each."""
    highest = (scores[..., None, None] * mask_logits.float().sigmoid()).max(-3)
    return highest.values, highest.indices


def resize(mask_logits: Tensor, sizes: FrameSizes) -> Tensor:
    """[..., k, h, w] -> [..., k, H, W]: up to the padded frame, the padding off, then to the size of the output."""
    frames = mask_logits.float() if mask_logits.dim() == 4 else mask_logits[None].float()
    frames = F.interpolate(frames, size=sizes.padded, mode="bilinear", align_corners=False)
    frames = frames[..., : sizes.image[0], : sizes.image[1]]
    if sizes.image != sizes.output:
        frames = F.interpolate(frames, size=sizes.output, mode="bilinear", align_corners=False)
    return frames if mask_logits.dim() == 4 else frames[0]


def _output_size(mask_logits: Tensor, sizes: FrameSizes | None) -> Size:
    return (mask_logits.shape[-2], mask_logits.shape[-1]) if sizes is None else sizes.output


def _resized_blocks(mask_logits: Tensor, sizes: FrameSizes | None) -> Iterator[tuple[slice, Tensor]]:
    """Which masks of [..., k, h, w] a block has, and these at the size of the output, before the sigmoid."""
    pixels = math.prod(_output_size(mask_logits, sizes))
    if sizes is not None:
        pixels = max(pixels, math.prod(sizes.padded))
    at_once = max(1, ELEMENTS_AT_ONCE // pixels)
    for start in range(0, mask_logits.shape[-3], at_once):
        masks = mask_logits[..., start : start + at_once, :, :]
        yield slice(start, start + at_once), masks if sizes is None else resize(masks, sizes)


def _in_channels(product: Tensor, owner: Tensor, classes: Tensor, num_classes: int) -> Tensor:
    """[..., H, W] -> [..., num_classes, H, W]: each pixel's product in the channel of its owner's class, else 0."""
    if classes.shape[-1] == 0:
        return product.new_zeros(*product.shape[:-2], num_classes, *product.shape[-2:])
    class_of_pixel = classes.gather(-1, owner.flatten(-2)).view_as(owner)
    channels = torch.arange(num_classes, device=classes.device)[:, None, None]
    return torch.where(class_of_pixel.unsqueeze(-3) == channels, product.unsqueeze(-3), 0.0)
