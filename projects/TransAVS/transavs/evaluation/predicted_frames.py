"""A clip's predicted frames beside their ground truth, checked against each other."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.errors import AVSDatasetError

Json = dict[str, Any]
ReadTruth = Callable[[str], NDArray[Any]]


@dataclass(frozen=True)
class PredictedFrames:
    """What a model found in F frames of a clip, and the truth of A of them.

    Args:
        clip (dict): as the mapper gives it.
        output (dict): the model's.
        soft_map (Tensor): its `sem_seg`, floating [F, NUM_CLASSES, H, W].
        frame_indices (list[int]): which of the clip's frames each of the F is.
        truth (Tensor): [A, H, W], on the CPU.
        annotated (list[int]): which of the F frames those are.
    """

    clip: Json
    output: Json
    soft_map: Tensor
    frame_indices: list[int]
    truth: Tensor
    annotated: list[int]


def read_predicted_frames(clip: Json, output: Json, read_truth: ReadTruth) -> PredictedFrames:
    """
    Args:
        clip, output (dict): as `AVSEvaluator.process` takes them.
        read_truth (callable): reads a file of `sem_seg_file_names`, [H, W].

    Raises:
        AVSDatasetError: a file is missing, unreadable or of another size; it is named. Or no frame is annotated.
        ValueError: the output does not fit the clip.
    """
    soft_map = output["sem_seg"].detach()
    if soft_map.dim() != 4:
        raise ValueError(
            f"clip {clip['video_id']}: `sem_seg` must be [F, NUM_CLASSES, H, W], got {list(soft_map.shape)}"
        )
    frame_indices = _frame_indices(clip, len(soft_map))
    truth, annotated = _read_truths(clip, frame_indices, soft_map.shape[-2:], read_truth)
    return PredictedFrames(clip, output, soft_map, frame_indices, truth, annotated)


def _frame_indices(clip: Json, num_frames: int) -> list[int]:
    """Which of the clip's T frames each of the F outputs shows: list of F int."""
    num_listed = len(clip["sem_seg_file_names"])
    indices = [int(index) for index in clip.get("frame_indices", range(num_listed))]
    if len(indices) != num_frames or not all(0 <= index < num_listed for index in indices):
        raise ValueError(
            f"clip {clip['video_id']}: {num_frames} predicted frames for frame indices {indices} of {num_listed} frames"
        )
    return indices


def _read_truths(
    clip: Json, frame_indices: Sequence[int], size: Sequence[int], read_truth: ReadTruth
) -> tuple[Tensor, list[int]]:
    """Returns: [A, H, W], the truth of the A annotated frames, and their positions in `frame_indices`."""
    truths, annotated = [], []
    for position, index in enumerate(frame_indices):
        path = clip["sem_seg_file_names"][index]
        if path is None:
            continue
        truth = read_truth(path)
        if truth.shape != tuple(size):
            raise AVSDatasetError(
                f"{path}: mask has {truth.shape[0]} x {truth.shape[1]} pixels (height x width), "
                f"the prediction {size[0]} x {size[1]}"
            )
        truths.append(torch.from_numpy(np.ascontiguousarray(truth)))
        annotated.append(position)
    if not truths:
        raise AVSDatasetError(
            f"clip {clip['video_id']}: none of the frames {frame_indices} has a mask to score against"
        )
    return torch.stack(truths), annotated
