"""The evaluator of instances with identities: each object that sounds, in each frame and over time."""

from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar, cast

import numpy as np
import torch
from detectron2.data import MetadataCatalog
from detectron2.structures import Instances
from tabulate import tabulate

from ..data.avis import instance_classes, union_mask
from ..data.errors import AVSDatasetError
from ..tracking import ObjectTracker
from .avs_evaluator import AVSEvaluator, Results, ScoredClip, decode_mask, encode_mask
from .instances import Frame, Ints, Video, average_precision, frame_accuracy, tracking_scores
from .predicted_frames import Json, PredictedFrames

INSTANCES_FILE = "instances.json"


class InstanceClip(ScoredClip):
    """What is kept of a clip in `InstanceEvaluator`: of each frame, `truth` and `found` are as `instances.Frame` has
    them, but what was found has the numbers of the queries in place of identities."""

    video: int
    first_second: int
    truth: list[Frame]
    found: list[Frame]


class InstanceEvaluator(AVSEvaluator):
    """Scores instances by COCO's AP, HOTA and FSLA (`transavs.evaluation.instances`).

    What sounds, whichever object it is, is scored too, as `AVSEvaluator` does. With a model of one class, all annotated
    classes are one. The clips of a video are put together, and what is predicted is followed from frame to frame by
    `ObjectTracker`. Beside that evaluator's files it writes `instances.json`: the scores, and the predicted objects in
    the form of YouTube-VIS's results.
    """

    main_score: ClassVar = "instances/AP50"

    def _read_frames(self, clip: Json, output: Json) -> PredictedFrames:
        """A clip's frames with all that is annotated in each, bool [F, H, W].

        Raises:
            AVSDatasetError: the model has neither one class nor the dataset's.
            ValueError: the output does not fit the clip.
        """
        soft_map, annotations = output["sem_seg"].detach(), clip["annotations"]
        if soft_map.shape[1] not in (1, clip["num_labels"] - 1):
            raise AVSDatasetError(
                f"clip {clip['video_id']}: {self.dataset_name} has {clip['num_labels'] - 1} categories, and the model "
                f"{soft_map.shape[1]} classes (MODEL.SEM_SEG_HEAD.NUM_CLASSES), expected as many, or 1"
            )
        expected = (len(annotations), clip["height"], clip["width"])
        if (len(soft_map), *soft_map.shape[2:]) != expected or len(output["instances"]) != len(annotations):
            raise ValueError(f"clip {clip['video_id']}: `sem_seg` is {list(soft_map.shape)} for {expected} (F, H, W)")
        truth = np.stack([union_mask(frame, *expected[1:]) for frame in annotations])
        return PredictedFrames(
            clip, output, soft_map, list(range(len(truth))), torch.from_numpy(truth), list(range(len(truth)))
        )

    def _score(self, found: PredictedFrames) -> InstanceClip:
        several = found.soft_map.shape[1] > 1
        return {
            **super()._score(found),
            "video": found.clip["video"],
            "first_second": found.clip["first_second"],
            "truth": [_annotated(frame if self.own_audio else [], several) for frame in found.clip["annotations"]],
            "found": [_predicted(frame) for frame in found.output["instances"]],
        }

    def _conclude(self, clips: Sequence[ScoredClip]) -> Results:
        results = super()._conclude(clips)
        videos = _videos(cast(Sequence[InstanceClip], clips))
        each = list(videos.values())
        scores = {**average_precision(each), **tracking_scores(each), **frame_accuracy(each)}
        self._logger.info("Instances of %s (percent):\n%s", self.dataset_name, _table(scores))
        if self.output_dir:
            tracks = [track for identity, video in videos.items() for track in self._tracks(identity, video)]
            content = {"dataset": self.dataset_name, **_counts(each), "scores": scores, "tracks": tracks}
            self._write(self.output_dir, INSTANCES_FILE, content)
        return OrderedDict(instances=scores, **results)

    def _tracks(self, video: int, frames: Video) -> Iterator[Json]:
        """A video's predicted objects."""
        known = MetadataCatalog.get(self.dataset_name).get("thing_dataset_id_to_contiguous_id", {})
        category_ids = {number: identity for identity, number in known.items()}
        places: defaultdict[int, dict[int, int]] = defaultdict(dict)  # of each object: by the second, its place there
        for second, frame in enumerate(frames.found):
            for place, identity in enumerate(frame.identities.tolist()):
                places[identity][second] = place
        for seen in places.values():
            first, place = next(iter(seen.items()))
            number = int(frames.found[first].classes[place])
            yield {
                "video_id": video,
                "category_id": category_ids.get(number, number),
                "score": float(np.mean([frames.found[second].scores[place] for second, place in seen.items()])),
                "segmentations": [
                    frame.masks[seen[second]] if second in seen else None for second, frame in enumerate(frames.found)
                ],
            }


def _annotated(annotations: Sequence[Json], several: bool) -> Frame:
    """A frame's annotated instances; `several`: whether classes are told apart."""
    return Frame(
        identities=_ints([annotation["id"] for annotation in annotations]),
        classes=instance_classes(annotations, several),
        masks=[annotation["segmentation"] for annotation in annotations],
        scores=np.ones(len(annotations)),
    )


def _predicted(instances: Instances) -> Frame:
    return Frame(
        identities=_ints(instances.query_index.tolist()),
        classes=_ints(instances.pred_classes.tolist()),
        masks=[encode_mask(mask) for mask in instances.pred_masks],
        scores=np.array(instances.scores.tolist(), dtype=np.float64),
    )


def _ints(values: Sequence[int]) -> Ints:
    return np.array(values, dtype=np.int64)


def _videos(clips: Sequence[InstanceClip]) -> dict[int, Video]:
    """The videos of all clips, in the order of their ids, the predicted objects with their identities."""
    parts: defaultdict[int, list[InstanceClip]] = defaultdict(list)
    for clip in sorted(clips, key=lambda clip: (clip["video"], clip["first_second"])):
        parts[clip["video"]].append(clip)
    return {
        identity: Video(
            [frame for clip in of_video for frame in clip["truth"]],
            _followed([frame for clip in of_video for frame in clip["found"]]),
        )
        for identity, of_video in parts.items()
    }


def _followed(frames: Sequence[Frame]) -> list[Frame]:
    """A video's predicted frames, one a second, with identities in place of queries."""
    tracker, followed = ObjectTracker(), []
    for second, frame in enumerate(frames):
        masks = torch.from_numpy(np.array([decode_mask(mask) for mask in frame.masks], dtype=bool))
        numbers = tracker.update(second, masks, torch.from_numpy(frame.classes), torch.from_numpy(frame.identities))
        followed.append(Frame(numbers.numpy(), frame.classes, frame.masks, frame.scores))
    return followed


def _counts(videos: Sequence[Video]) -> dict[str, int]:
    pairs = [pair for video in videos for pair in zip(video.truth, video.found)]
    return {
        "num_videos": len(videos),
        "num_frames": len(pairs),
        "num_silent_frames": sum(not truth.masks for truth, _ in pairs),
        "num_instances": sum(len(truth.masks) for truth, _ in pairs),
        "num_predicted": sum(len(found.masks) for _, found in pairs),
    }


def _table(scores: dict[str, float]) -> str:
    return tabulate([[100 * score for score in scores.values()]], list(scores), tablefmt="github", floatfmt=".2f")
