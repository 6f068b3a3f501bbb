"""The measures of semantic segmentation by sound: IoU and F of each class, as AVSBench's scorer defines them.

It takes maps of labels, 0 being the background and c + 1 class c. Of each frame and label it finds IoU and F, sums them
over the frames, and divides by the number of frames in which the label occurs, be it predicted or true. Pure functions
of tensors: a clip is scored alone, and the sums over clips are correctly rounded (`math.fsum`), so that no result
depends on batch size, on the order of the clips or on the number of processes. Every score is a fraction in [0, 1].
docs/METRICS.md tells what the published scorer does differently from what one would expect.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypedDict

import torch
from torch import Tensor

from .metrics import f_score

PUBLISHED_FRAMES = 10  # of a clip in AVSBench's scorer; a shorter one gets frames in which all is background


class ClassScores(TypedDict):
    """What `class_scores` finds in a clip, and all that the scores of a dataset are made of; on the CPU."""

    iou_sum: Tensor  # float64 [L], over the clip's frames
    f_sum: Tensor  # float64 [L]
    num_frames: Tensor  # int64 [L], the frames in which the label is predicted or true
    num_padded_frames: int  # that the published scorer adds
    cells: Tensor  # int64 [k]: true label * L + predicted label, of the pairs that occur
    pixels: Tensor  # int64 [k]: how many pixels each of these pairs has


@dataclass(frozen=True)
class LabelScores:
    """A dataset's scores of one label, over the annotated frames.

    Args:
        iou (float), f (float): the means over the frames in which the label occurs; 0 where there is none.
        num_frames (int): those frames.
    """

    iou: float
    f: float
    num_frames: int


def confusion(prediction: Tensor, truth: Tensor, num_labels: int) -> Tensor:
    """Counts the pixels of each pair of labels, in one pass.

    Args:
        prediction, truth (Tensor): uint8 [F, H, W], labels below num_labels.

    Returns:
        Tensor: int64 [F, L, L]; the true label comes first.

    Raises:
        ValueError: the shapes differ or have no pixels, or a label is too high.
    """
    if prediction.shape != truth.shape or prediction.dim() != 3 or not prediction.numel():
        raise ValueError(
            f"prediction and truth must be [F, H, W] of one shape with pixels, got {list(prediction.shape)} and "
            f"{list(truth.shape)}"
        )
    highest = max(int(prediction.max()), int(truth.max()))
    if highest >= num_labels:
        raise ValueError(f"labels must be below {num_labels}, got {highest}")
    cells = truth.to(torch.int32) * num_labels + prediction
    counts = [torch.bincount(frame.flatten(), minlength=num_labels**2) for frame in cells]
    return torch.stack(counts).view(-1, num_labels, num_labels)


def class_scores(
    prediction: Tensor, truth: Tensor, num_labels: int, beta_squared: float = 0.3, num_padded_frames: int = 0
) -> ClassScores:
    """Scores one clip.

    Args:
        prediction, truth (Tensor): uint8 [F, H, W], labels of the annotated frames.
        num_labels (int): L, with the background.
        beta_squared (float): weight of recall against precision in F (eq. 17).
        num_padded_frames (int): that the published scorer adds to the clip.

    Raises:
        ValueError: as `confusion`.
    """
    counts = confusion(prediction.cpu(), truth.cpu(), num_labels)
    both, predicted, true = counts.diagonal(dim1=1, dim2=2), counts.sum(1), counts.sum(2)  # F L each
    either = predicted + true - both
    pairs = counts.sum(0).flatten()
    cells = pairs.nonzero()[:, 0]
    return {
        "iou_sum": (both.double() / either.clamp(min=1)).sum(0),
        "f_sum": f_score(both, predicted, true, beta_squared).sum(0),
        "num_frames": (either > 0).sum(0),
        "num_padded_frames": num_padded_frames,
        "cells": cells,
        "pixels": pairs[cells],
    }


def label_scores(clips: Sequence[ClassScores], padded: bool = False) -> list[LabelScores]:
    """The scores of each label.

    Args:
        clips (sequence[ClassScores]): at least one, in any order.
        padded (bool): count the frames that the published scorer adds: all is background in them, and predicted to be.
    """
    added = sum(clip["num_padded_frames"] for clip in clips) if padded else 0
    ious, fs = (torch.stack([clip[key] for clip in clips], 1).tolist() for key in ("iou_sum", "f_sum"))  # L, clips
    frames = torch.stack([clip["num_frames"] for clip in clips]).sum(0).tolist()
    found = []
    for label, count in enumerate(frames):
        more = added if label == 0 else 0
        iou, f = ((math.fsum(sums[label]) + more) / max(count + more, 1) for sums in (ious, fs))
        found.append(LabelScores(iou, f, count + more))
    return found


def total_confusion(clips: Sequence[ClassScores]) -> Tensor:
    """The pixels of each pair of labels in all annotated frames: int64 [L, L], the true label first."""
    num_labels = len(clips[0]["num_frames"])
    pairs = torch.zeros(num_labels**2, dtype=torch.int64)
    for clip in clips:
        pairs[clip["cells"]] += clip["pixels"]
    return pairs.view(num_labels, num_labels)


def summarize_classes(clips: Sequence[ClassScores]) -> dict[str, float]:
    """The scores of a dataset.

    Args:
        clips (sequence[ClassScores]): at least one, in any order.

    Returns:
        dict[str, float]: as published `mIoU`, `mF`, the means over all labels, and `mIoU_noBg`, `mF_noBg`, which leave
        out the last label; and, of the annotated frames alone, `mIoU_classes` and `mF_classes`, the means over the
        classes that occur, without the background.
    """
    published = label_scores(clips, padded=True)
    occurring = [label for label in label_scores(clips)[1:] if label.num_frames]
    return {
        "mIoU": _mean([label.iou for label in published]),
        "mF": _mean([label.f for label in published]),
        "mIoU_noBg": _mean([label.iou for label in published[:-1]]),
        "mF_noBg": _mean([label.f for label in published[:-1]]),
        "mIoU_classes": _mean([label.iou for label in occurring]),
        "mF_classes": _mean([label.f for label in occurring]),
    }


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else 0.0
