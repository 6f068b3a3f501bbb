"""The evaluator of audio-visual segmentation: mJ and mF of a dataset, in Detectron2's manner."""

import itertools
import json
import logging
import os
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar, TypedDict

import numpy as np
from detectron2.evaluation import DatasetEvaluator
from detectron2.structures import Instances
from detectron2.utils import comm
from pycocotools import mask as coco_mask
from tabulate import tabulate
from torch import Tensor

from ..data.images import read_mask
from ..data.rle import encode
from . import metrics
from .predicted_frames import Json, PredictedFrames, read_predicted_frames

RESULTS_FILE = "results.json"
PREDICTIONS_FILE = "predictions.json"

Results = OrderedDict[str, dict[str, float]]


class ScoredClip(TypedDict):
    """What is kept of a clip: its names, its scores and its encoded frames; no pixels, nothing on a GPU."""

    video_id: str
    category: str | None
    scores: metrics.ClipScores
    frames: list[Json]


class AVSEvaluator(DatasetEvaluator):
    """Scores the predicted masks of clips by J and F (eq. 16-17, `transavs.evaluation.metrics`).

    Frames without annotation are predicted and written, but not scored. Where the model knows several sounding classes,
    a pixel's probability to sound is the highest of theirs. A clip that comes twice, as some distributed samplers pad
    their share, counts once.

    Args:
        dataset_name (str): stands in the files and the table.
        output_dir (str): folder for `results.json` and `predictions.json`; None writes neither.
        threshold (float): a pixel is in the mask where its probability exceeds this (cfg.TEST.MASK_THRESHOLD).
        beta_squared (float): of the F-score (cfg.TEST.F_BETA_SQUARED).
        own_audio (bool): False where the model hears another sound than the clip's own (cfg.TEST.AUDIO): every
            segmented pixel is then a false positive. J and F compare with the masks all the same.
        distributed (bool): gather the clips of all processes; False scores this process's alone.
    """

    main_score: ClassVar = "avs/mJ"  # of `evaluate`, by whose best value a checkpoint is chosen

    def __init__(
        self,
        dataset_name: str,
        output_dir: str | None = None,
        threshold: float = 0.5,
        beta_squared: float = 0.3,
        own_audio: bool = True,
        distributed: bool = True,
    ):
        self.dataset_name = dataset_name
        self.output_dir = output_dir
        self.threshold = threshold
        self.beta_squared = beta_squared
        self.own_audio = own_audio
        self.distributed = distributed
        self._logger = logging.getLogger(__name__)
        self.reset()

    def reset(self) -> None:
        self._clips: dict[str, ScoredClip] = {}  # by their video_id

    def process(self, inputs: Iterable[Json], outputs: Iterable[Json]) -> None:
        """
        Args:
            inputs (list[dict]): clips as the mapper gives them: `video_id`, `file_names` and `sem_seg_file_names`
                (T paths, None where a frame has no annotation), `frame_indices` [F] (default: all T), `category` where
                there is one.
            outputs (list[dict]): the model's: `sem_seg` floating [F, NUM_CLASSES, H, W], probabilities at the masks'
                size, and, where there are any, `instances`, F `Instances` with `scores`.

        Raises:
            AVSDatasetError: a mask is missing, unreadable or of another size; it is named. Or no frame is annotated.
            ValueError: the output does not fit the clip.
        """
        for clip, output in zip(inputs, outputs, strict=True):
            self._clips[clip["video_id"]] = self._score(self._read_frames(clip, output))

    def evaluate(self) -> Results:
        """Gathers all clips, prints the table and writes the files; on the main process alone.

        Returns:
            OrderedDict: {"avs": {"mJ", "mF", "mF_dataset", "mF@<threshold>", "FPR_pixel", "FPR_frame"}}, fractions in
            [0, 1]; {} on other processes.

        Raises:
            ValueError: if no clip was processed.
        """
        clips = self._gather()
        if clips is None:
            return OrderedDict()
        if not clips:
            raise ValueError(f"no clip of {self.dataset_name} was evaluated: the dataset or its loader gave none")
        return self._conclude(clips)

    def _conclude(self, clips: Sequence[ScoredClip]) -> Results:
        """What `evaluate` gives for all clips, having printed the table and written the files."""
        scores = metrics.summarize([clip["scores"] for clip in clips])
        categories = self._score_categories(clips)
        self._logger.info("Evaluation of %s (percent):\n%s", self.dataset_name, _table(scores, categories, clips))
        if self.output_dir:
            os.makedirs(self.output_dir, exist_ok=True)
            self._write(self.output_dir, RESULTS_FILE, self._results(scores, categories, clips))
            self._write(self.output_dir, PREDICTIONS_FILE, self._predictions(clips))
        return OrderedDict(avs=scores)

    def _read_frames(self, clip: Json, output: Json) -> PredictedFrames:
        """A clip's frames with their ground truth, bool [A, H, W]."""
        return read_predicted_frames(clip, output, read_mask)

    def _score(self, found: PredictedFrames) -> ScoredClip:
        probabilities = found.soft_map.amax(dim=1)  # that a pixel sounds: F H W
        try:
            scores = metrics.clip_scores(
                probabilities[found.annotated],
                found.truth.to(probabilities.device) > 0,
                self.threshold,
                self.beta_squared,
                self.own_audio,
            )
        except ValueError as error:
            raise ValueError(f"clip {found.clip['video_id']}: {error}") from error
        return {
            "video_id": found.clip["video_id"],
            "category": found.clip.get("category"),
            "scores": scores,
            "frames": self._encode_frames(found, probabilities),
        }

    def _encode_frames(self, found: PredictedFrames, probabilities: Tensor) -> list[Json]:
        instances: Sequence[Instances] | None = found.output.get("instances")
        frames = []
        for position, index in enumerate(found.frame_indices):
            probability = probabilities[position]
            # The frame's confidence: its best instance's, or its best pixel's where the model gives no instance.
            scores = instances[position].scores if instances is not None and len(instances[position]) else probability
            frames.append(
                {
                    "frame_index": index,
                    "file_name": found.clip["file_names"][index],
                    "segmentation": encode_mask(probability > self.threshold),
                    "score": float(scores.max()),
                }
            )
        return frames

    def _gather(self) -> list[ScoredClip] | None:
        """Returns: the clips of all processes in the order of their `video_id`; None on other than the main process."""
        parts = [self._clips]
        if self.distributed:
            comm.synchronize()
            parts = comm.gather(self._clips, dst=0)
            if not comm.is_main_process():
                return None
        clips = dict(itertools.chain.from_iterable(part.items() for part in parts))
        return [clips[video_id] for video_id in sorted(clips)]

    def _score_categories(self, clips: Sequence[ScoredClip]) -> dict[str, dict[str, float]]:
        groups: defaultdict[str, list[metrics.ClipScores]] = defaultdict(list)
        for clip in clips:
            if clip["category"] is not None:
                groups[clip["category"]].append(clip["scores"])
        return {name: {**metrics.summarize(group), "num_clips": len(group)} for name, group in sorted(groups.items())}

    def _results(
        self, scores: dict[str, float], categories: dict[str, dict[str, float]], clips: Sequence[ScoredClip]
    ) -> Json:
        return {
            "dataset": self.dataset_name,
            "threshold": self.threshold,
            "beta_squared": self.beta_squared,
            "own_audio": self.own_audio,
            "num_clips": len(clips),
            "num_frames": sum(len(clip["scores"]["jaccard"]) for clip in clips),
            "num_sounding_frames": sum(clip["scores"]["num_sounding_frames"] for clip in clips),
            "num_silent_frames": sum(clip["scores"]["num_silent_frames"] for clip in clips),
            "scores": scores,
            "categories": categories,
            "clips": [_clip_results(clip) for clip in clips],
        }

    def _predictions(self, clips: Sequence[ScoredClip]) -> Json:
        return {
            "dataset": self.dataset_name,
            "threshold": self.threshold,
            "clips": [
                {"video_id": clip["video_id"], "category": clip["category"], "frames": clip["frames"]} for clip in clips
            ],
        }

    def _write(self, folder: str, name: str, content: Json) -> None:
        path = os.path.join(folder, name)
        with open(path, "w") as file:
            json.dump(content, file, indent=1, allow_nan=False)
        self._logger.info("Wrote %s", path)


def encode_mask(mask: Tensor) -> Json:
    """COCO's compressed RLE of a bool [H, W] tensor: {"size": [H, W], "counts": ASCII str}, ready for JSON."""
    return encode(mask.cpu().numpy())


def decode_mask(segmentation: Json) -> np.ndarray:
    """The bool [H, W] array that `encode_mask` encoded."""
    return coco_mask.decode(segmentation).astype(bool)


def _clip_results(clip: ScoredClip) -> Json:
    scores = clip["scores"]
    return {
        "video_id": clip["video_id"],
        "category": clip["category"],
        "mJ": metrics.mean_jaccard([scores]),
        "F": scores["f"],
        f"F@{scores['threshold']:g}": scores["f_at_threshold"],
        "jaccard": scores["jaccard"],
        "num_sounding_frames": scores["num_sounding_frames"],
        "false_positive_rate": scores["false_positive_rate"],
    }


def _table(scores: dict[str, float], categories: dict[str, dict[str, float]], clips: Sequence[ScoredClip]) -> str:
    """The scores in percent, a row for each category (where there are any) and one for all clips."""
    rows = [[name, *_percent(row, scores), row["num_clips"]] for name, row in categories.items()]
    rows.append(["all", *_percent(scores, scores), len(clips)])
    headers = ["category", *scores, "clips"]
    return tabulate(rows, headers=headers, tablefmt="github", floatfmt=".2f", disable_numparse=[0])


def _percent(row: Mapping[str, float], names: Iterable[str]) -> list[float]:
    return [100 * row[name] for name in names]
