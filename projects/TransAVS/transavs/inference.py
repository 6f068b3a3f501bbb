"""From queries to a map of what sounds (eq. 14, 15)."""

import math

import torch
from torch.nn import functional as F

# Of resized masks, 16 MiB of float32, which glibc keeps from one block to the next; a larger mask is a block of its own.
ELEMENTS_AT_ONCE = 1 << 22


def sounding_queries(class_logits):
    """The queries whose likeliest class sounds (eq. 15); no other can win a pixel.

    Args:
        class_logits (Tensor): [N, K], the last class being no object.

    Returns:
        tuple[Tensor, Tensor, Tensor]: their indices, their probabilities p_i(c_i), their classes c_i, each [k].
    """
    probability, classes = class_logits.float().softmax(-1).max(-1)
    queries = (classes < class_logits.shape[-1] - 1).nonzero()[:, 0]
    return queries, probability[queries], classes[queries]


def assign_pixels(scores, mask_logits):
    """Gives each pixel to the query with the highest p_i(c_i) m_i (eq. 14).

    Args:
        scores (Tensor): p_i(c_i) of k >= 1 queries, [k].
        mask_logits (Tensor): their masks before the sigmoid, [k, H, W].

    Returns:
        tuple[Tensor, Tensor]: that highest product and whose it is (0 .. k - 1), each [H, W].
    """
    return (scores[:, None, None] * mask_logits.float().sigmoid()).max(0)


def sounding_map(class_logits, mask_logits):
    """The soft map of a frame: each pixel's winning product p_i(c_i) m_i, in the channel of its class (eq. 14, 15).

    A pixel is high only where both factors are. It is 0 in every channel where no query sounds.

    Args:
        class_logits (Tensor): [N, K], the last class being no object.
        mask_logits (Tensor): masks before the sigmoid, [N, H, W].

    Returns:
        Tensor: float32 [K - 1, H, W] in [0, 1].
    """
    queries, scores, classes = sounding_queries(class_logits)
    return _scatter(*_assigned(scores, mask_logits[queries]), classes, class_logits.shape[-1] - 1)


def segment_frame(class_logits, mask_logits, image_size, output_size, padded_size, mask_threshold):
    """The result of one frame at its own size, from masks at the model's; only masks that can win are resized.

    Args:
        class_logits (Tensor): [N, K], the last class being no object.
        mask_logits (callable): indices [k] -> those masks before the sigmoid, [k, h, w].
        image_size (tuple[int, int]): height and width of the frame as the model saw it, without padding.
        output_size (tuple[int, int]): height and width wanted.
        padded_size (tuple[int, int]): height and width of the padded frame that the masks cover.
        mask_threshold (float): a pixel belongs to its query where p_i m_i exceeds it.

    Returns:
        tuple[Tensor, dict]: the soft map [K - 1, H, W], and the queries that own pixels: `pred_masks` bool [k, H, W],
        `scores` [k], `pred_classes` [k], `query_index` [k].
    """
    queries, scores, classes = sounding_queries(class_logits)
    masks = mask_logits(queries)
    product, owner = _assigned_in_blocks(scores, masks, image_size, output_size, padded_size)
    soft_map = _scatter(product, owner, classes, class_logits.shape[-1] - 1)

    above = product > mask_threshold
    owners = torch.bincount(owner[above], minlength=len(queries)).nonzero()[:, 0]
    return soft_map, {
        "pred_masks": (owner == owners[:, None, None]).logical_and_(above),
        "scores": scores[owners],
        "pred_classes": classes[owners],
        "query_index": queries[owners],
    }


def _assigned(scores, masks):
    if len(scores) == 0:
        size = masks.shape[-2:]
        return scores.new_zeros(size), torch.zeros(size, dtype=torch.int64, device=scores.device)
    return assign_pixels(scores, masks)


def _assigned_in_blocks(scores, masks, image_size, output_size, padded_size):
    """`assign_pixels` of masks at the model's size, resized a block at a time: memory does not grow with their number.

    Args:
        scores (Tensor): [k], k >= 0.
        masks (Tensor): before the sigmoid, [k, h, w].
        image_size, output_size, padded_size (tuple[int, int]): as of `segment_frame`.

    Returns:
        tuple[Tensor, Tensor]: each pixel's highest product, 0 without masks, and the first mask that has it, [H, W].
    """
    product = masks.new_zeros(output_size, dtype=scores.dtype)
    owner = masks.new_zeros(output_size, dtype=torch.int64)
    pixels = max(math.prod(output_size), math.prod(padded_size))
    at_once = max(1, ELEMENTS_AT_ONCE // pixels)
    for start in range(0, len(scores), at_once):
        block = slice(start, start + at_once)
        resized = _to_output(masks[block], image_size, output_size, padded_size)
        block_product, block_owner = assign_pixels(scores[block], resized)
        owner = torch.where(block_product > product, block_owner + start, owner)  # of equals, the first stays
        product = torch.maximum(product, block_product)
    return product, owner


def _scatter(product, owner, classes, num_classes):
    soft_map = product.new_zeros(num_classes, *product.shape)
    if len(classes):
        soft_map.scatter_(0, classes[owner][None], product[None])
    return soft_map


def _to_output(masks, image_size, output_size, padded_size):
    """[k, h, w] -> [k, H, W]: up to the padded frame, the padding off, then to the size wanted."""
    masks = F.interpolate(masks[None].float(), size=padded_size, mode="bilinear", align_corners=False)
    masks = masks[..., : image_size[0], : image_size[1]]
    if tuple(image_size) != tuple(output_size):
        masks = F.interpolate(masks, size=output_size, mode="bilinear", align_corners=False)
    return masks[0]
