"""The evaluator of semantic segmentation by sound: what sounds where, and what it is."""

import csv
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, ClassVar, cast

from detectron2.data import MetadataCatalog
from tabulate import tabulate

from ..data.palette import read_label_map
from ..data.semantic_layout import BACKGROUND
from ..inference import class_map
from .avs_evaluator import AVSEvaluator, Results, ScoredClip, encode_mask
from .predicted_frames import Json, PredictedFrames, read_predicted_frames
from .semantic_metrics import (
    PUBLISHED_FRAMES,
    ClassScores,
    LabelScores,
    class_scores,
    label_scores,
    summarize_classes,
    total_confusion,
)

CLASSES_FILE = "classes.csv"
CONFUSION_FILE = "confusion.csv"


class SemanticClip(ScoredClip):
    """What is kept of a clip in `SemanticEvaluator`."""

    class_scores: ClassScores


class SemanticEvaluator(AVSEvaluator):
    """Scores maps of classes by IoU and F of each class (`transavs.evaluation.semantic_metrics`).

    What sounds, whatever its class, is scored too, as `AVSEvaluator` does. The classes' names are those of the
    dataset's metadata. Beside that evaluator's files it writes `classes.csv`, the scores of each label, and
    `confusion.csv`, the pixels of each true label (a row) that each label was predicted for (a column).
    """

    main_score: ClassVar = "avss/mIoU"

    def _read_frames(self, clip: Json, output: Json) -> PredictedFrames:
        """A clip's frames with their ground truth, uint8 [A, H, W] of labels.

        Raises:
            ValueError: the model has not a class for each label but the background.
        """
        num_labels = clip["num_labels"]
        found = read_predicted_frames(clip, output, partial(read_label_map, num_labels=num_labels))
        if found.soft_map.shape[1] != num_labels - 1:
            raise ValueError(
                f"clip {clip['video_id']}: {self.dataset_name} has {num_labels - 1} classes, and the model "
                f"{found.soft_map.shape[1]} (MODEL.SEM_SEG_HEAD.NUM_CLASSES)"
            )
        return found

    def _score(self, found: PredictedFrames) -> SemanticClip:
        labels = class_map(found.soft_map, self.threshold).cpu()  # F H W
        scores = class_scores(
            labels[found.annotated],
            found.truth,
            found.clip["num_labels"],
            self.beta_squared,
            max(0, PUBLISHED_FRAMES - len(found.clip["file_names"])),
        )
        scored = super()._score(found)
        by_column = labels.mT.contiguous().mT  # in memory, which is how pycocotools reads masks
        for frame, predicted in zip(scored["frames"], by_column):
            frame["classes"] = [
                {"category_id": label - 1, "segmentation": encode_mask(predicted == label)}
                for label in predicted.unique().tolist()
                if label
            ]
        return {**scored, "class_scores": scores}

    def _conclude(self, clips: Sequence[ScoredClip]) -> Results:
        results = super()._conclude(clips)
        found = _class_scores(clips)
        scores, labels, names = summarize_classes(found), label_scores(found), self._label_names(found)
        self._logger.info("Classes of %s (percent):\n%s", self.dataset_name, _table(scores, names, labels))
        if self.output_dir:
            rows = [
                {"label": label, "name": name, "IoU": row.iou, "F": row.f, "frames": row.num_frames}
                for label, (name, row) in enumerate(zip(names, labels))
            ]
            self._write_table(self.output_dir, CLASSES_FILE, [list(rows[0]), *(list(row.values()) for row in rows)])
            pixels = total_confusion(found).tolist()
            table = [["true label", *names], *([name, *row] for name, row in zip(names, pixels))]
            self._write_table(self.output_dir, CONFUSION_FILE, table)
        return OrderedDict(avss=scores, **results)

    def _label_names(self, clips: Sequence[ClassScores]) -> list[str]:
        num_labels = len(clips[0]["num_frames"])
        names = MetadataCatalog.get(self.dataset_name).get("stuff_classes") or map(str, range(1, num_labels))
        return [BACKGROUND, *names]

    def _results(
        self, scores: dict[str, float], categories: dict[str, dict[str, float]], clips: Sequence[ScoredClip]
    ) -> Json:
        return {**super()._results(scores, categories, clips), "semantic": summarize_classes(_class_scores(clips))}

    def _predictions(self, clips: Sequence[ScoredClip]) -> Json:
        names = self._label_names(_class_scores(clips))
        categories = [{"id": c, "name": name} for c, name in enumerate(names[1:])]
        return {**super()._predictions(clips), "categories": categories}

    def _write_table(self, folder: str, name: str, rows: Iterable[Sequence[Any]]) -> None:
        path = os.path.join(folder, name)
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows(rows)
        self._logger.info("Wrote %s", path)


def _class_scores(clips: Sequence[ScoredClip]) -> list[ClassScores]:
    return [cast(SemanticClip, clip)["class_scores"] for clip in clips]


def _table(scores: dict[str, float], names: Sequence[str], labels: Sequence[LabelScores]) -> str:
    """Of each label that occurs, and the means, in percent."""
    rows = [
        [name, 100 * label.iou, 100 * label.f, label.num_frames]
        for name, label in zip(names, labels)
        if label.num_frames
    ]
    means = tabulate([[100 * value for value in scores.values()]], list(scores), tablefmt="github", floatfmt=".2f")
    table = tabulate(rows, ["class", "IoU", "F", "frames"], tablefmt="github", floatfmt=".2f", disable_numparse=[0])
    return f"{table}\n\n{means}"
