"""Pictures of what was predicted for a dataset, from the file that `AVSEvaluator` writes."""

import json
import os
from collections.abc import Sequence
from typing import Any

import torch
from detectron2.data import DatasetCatalog

from ..data.audio import read_waveform
from ..data.avis import union_mask
from ..data.images import read_frame, read_mask
from ..data.registration import registered_datasets
from ..evaluation.avs_evaluator import decode_mask
from ..evaluation.metrics import jaccard
from .clips import ClipPicture

Clips = dict[str, dict[str, Any]]  # a dataset's dicts, by video_id
Predictions = dict[str, list[dict[str, Any]]]  # a clip's frames as the file has them, by video_id


class PredictionsError(ValueError):
    """What was asked for cannot be drawn; the message is one line that says why."""


def load_dataset(name: str) -> Clips:
    """The clips of a registered dataset."""
    if name not in DatasetCatalog.list():
        raise PredictionsError(f"dataset {name}: not registered; expected one of {', '.join(registered_datasets())}")
    return {clip["video_id"]: clip for clip in DatasetCatalog.get(name)}


def load_predictions(path: str | os.PathLike[str]) -> Predictions:
    """What `AVSEvaluator` wrote as predictions.json."""
    if not os.path.isfile(path):
        raise PredictionsError(
            f"predictions {path}: no such file; an evaluation writes it (tools/train_net.py --eval-only)"
        )
    try:
        with open(path) as file:
            return {clip["video_id"]: clip["frames"] for clip in json.load(file)["clips"]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise PredictionsError(f"predictions {path}: not a predictions.json of AVSEvaluator ({error!r})") from error


def choose_clips(
    clips: Clips, predictions: Predictions, num_clips: int, video_ids: Sequence[str] | None = None
) -> list[str]:
    """The ids to draw: `video_ids` where there are any, else `num_clips` spread over the clips that were predicted."""
    for video_id in video_ids or ():
        if video_id not in clips:
            raise PredictionsError(f"clip {video_id}: no such clip in the dataset")
        if video_id not in predictions:
            raise PredictionsError(f"clip {video_id}: has no prediction")
    if video_ids:
        return list(video_ids)
    predicted = [video_id for video_id in clips if video_id in predictions]
    if not predicted:
        raise PredictionsError(f"the predictions have none of the dataset's {len(clips)} clips")
    count = min(num_clips, len(predicted))
    return [predicted[index * len(predicted) // count] for index in range(count)]


def make_picture(clip: dict[str, Any], predicted_frames: list[dict[str, Any]]) -> ClipPicture:
    """Reads a clip's frames, masks and sound; its J is computed from the predicted masks."""
    decoded = {frame["frame_index"]: decode_mask(frame["segmentation"]) for frame in predicted_frames}
    predictions = [decoded.get(index) for index in range(len(clip["file_names"]))]
    for prediction in decoded.values():
        if prediction.shape != (clip["height"], clip["width"]):
            raise PredictionsError(
                f"clip {clip['video_id']}: predicted masks are {list(prediction.shape)}, its frames "
                f"{[clip['height'], clip['width']]}; are the predictions of another dataset?"
            )
    masks: list[Any] = (
        [union_mask(frame, clip["height"], clip["width"]) for frame in clip["annotations"]]
        if "annotations" in clip
        else [None if path is None else read_mask(path) for path in clip["sem_seg_file_names"]]
    )
    scores = [
        float(jaccard(torch.from_numpy(prediction), torch.from_numpy(mask)))
        for prediction, mask in zip(predictions, masks)
        if prediction is not None and mask is not None
    ]
    # AVSBench's own files may hold the sound as a log-mel alone, which has no waveform.
    pickled = clip["audio_file_name"].endswith(".pkl")
    waveform, rate = (None, 1) if pickled else read_waveform(clip["audio_file_name"])
    return ClipPicture(
        frames=[read_frame(path, "RGB") for path in clip["file_names"]],
        masks=masks,
        predictions=predictions,
        waveform=waveform,
        rate=rate,
        title=clip["video_id"],
        subtitle=clip.get("category", ""),
        jaccard=sum(scores) / len(scores) if scores else None,
    )
