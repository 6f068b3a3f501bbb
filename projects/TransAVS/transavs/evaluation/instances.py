"""How well instances are found, in each frame by itself and over time: pure functions; masks are COCO's RLE."""

import contextlib
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

OVERLAPS = np.arange(0.05, 0.99, 0.05)  # 19 thresholds of IoU, as HOTA and FSLA take them
SOURCES = ("n", "s", "m")  # frames with no, a single and multiple sources

Json = dict[str, Any]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """The instances of a frame: annotated ones, or predicted ones.

    Args:
        identities: int64 [n], which of the video's objects each is, no two the same.
        classes: int64 [n].
        masks: n RLEs.
        scores: float64 [n], of predictions.
    """

    identities: Ints
    classes: Ints
    masks: Sequence[Json]
    scores: Floats


@dataclass(frozen=True)
class Video:
    """What is annotated and what was predicted, for each frame of a video in order."""

    truth: Sequence[Frame]
    found: Sequence[Frame]


def overlaps(truth: Frame, found: Frame) -> Floats:
    """IoU of each annotated with each predicted mask: float64 [n, m]."""
    if not truth.masks or not found.masks:
        return np.zeros((len(truth.masks), len(found.masks)))
    return np.asarray(coco_mask.iou(list(truth.masks), list(found.masks), [0] * len(found.masks)))


def average_precision(videos: Sequence[Video]) -> dict[str, float]:
    """COCO's AP of masks, by pycocotools; each frame is an image.

    Returns:
        dict: `AP` (the mean over IoU 0.50 to 0.95), `AP50` and `AP75`; 0 where nothing is annotated or predicted.
    """
    frames = [pair for video in videos for pair in zip(video.truth, video.found)]
    truth = [entry for image, (frame, _) in enumerate(frames) for entry in _coco_entries(frame, image)]
    found = [entry for image, (_, frame) in enumerate(frames) for entry in _coco_entries(frame, image)]
    if not truth or not found:
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}
    for number, entry in enumerate(truth, start=1):
        entry |= {"id": number, "iscrowd": 0, "area": float(coco_mask.area(entry["segmentation"]))}
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [_coco_image(pair, image) for image, pair in enumerate(frames)],
            "annotations": truth,
            "categories": [{"id": number} for number in sorted({entry["category_id"] for entry in (*truth, *found)})],
        }
        coco.createIndex()
        scorer = COCOeval(coco, coco.loadRes(found), "segm")
        scorer.evaluate()
        scorer.accumulate()
        scorer.summarize()
    return {name: float(score) for name, score in zip(("AP", "AP50", "AP75"), scorer.stats)}


def _coco_image(pair: tuple[Frame, Frame], image: int) -> Json:
    height, width = next((mask["size"] for frame in pair for mask in frame.masks), (0, 0))
    return {"id": image, "height": height, "width": width}


def _coco_entries(frame: Frame, image: int) -> Iterator[Json]:
    for category, mask, score in zip(frame.classes, frame.masks, frame.scores):
        yield {"image_id": image, "category_id": int(category), "segmentation": mask, "score": float(score)}


def tracking_scores(videos: Sequence[Video]) -> dict[str, float]:
    """How well instances keep their identities, by TrackEval: the mean over the classes that occur.

    Returns:
        dict: `HOTA`, `DetA` and `AssA` (Luiten et al., IJCV 2021), means over the thresholds OVERLAPS; `IDF1` at an IoU
        of 0.5. 0 where nothing is annotated or predicted.
    """
    try:
        from trackeval.metrics import HOTA, Identity  # takes a second to import, and other datasets do not need it
    except ImportError as error:
        raise ImportError("scores of instances need TrackEval: pip install --no-deps trackeval==1.3.0") from error

    hota, identity = HOTA(), Identity({"PRINT_CONFIG": False})
    frames = [frame for video in videos for frame in (*video.truth, *video.found)]
    classes = sorted({int(number) for frame in frames for number in frame.classes})
    if not classes:
        return {"HOTA": 0.0, "DetA": 0.0, "AssA": 0.0, "IDF1": 0.0}
    tracks = {number: [_track_data(video, number) for video in videos] for number in classes}
    scores: Json = {}
    for measure in (hota, identity):
        of_classes = {
            number: measure.combine_sequences(dict(enumerate(map(measure.eval_sequence, of_class))))
            for number, of_class in tracks.items()
        }
        scores |= measure.combine_classes_class_averaged(of_classes)
    return {name: float(np.mean(scores[name])) for name in ("HOTA", "DetA", "AssA", "IDF1")}


def _track_data(video: Video, number: int) -> Json:
    """A video's instances of one class, as TrackEval takes them."""
    truth = [_of_class(frame, number) for frame in video.truth]
    found = [_of_class(frame, number) for frame in video.found]
    truth_of, found_of = _numbering(truth), _numbering(found)
    return {
        "num_gt_ids": len(truth_of),
        "num_tracker_ids": len(found_of),
        "num_gt_dets": sum(len(frame.masks) for frame in truth),
        "num_tracker_dets": sum(len(frame.masks) for frame in found),
        "gt_ids": [_numbers(frame, truth_of) for frame in truth],
        "tracker_ids": [_numbers(frame, found_of) for frame in found],
        "similarity_scores": [overlaps(*pair) for pair in zip(truth, found)],
    }


def _of_class(frame: Frame, number: int) -> Frame:
    chosen = frame.classes == number
    masks = [mask for mask, wanted in zip(frame.masks, chosen) if wanted]
    return Frame(frame.identities[chosen], frame.classes[chosen], masks, frame.scores[chosen])


def _numbering(frames: Sequence[Frame]) -> dict[int, int]:
    """A number from 0 on for each identity."""
    return {identity: number for number, identity in enumerate(sorted({int(i) for f in frames for i in f.identities}))}


def _numbers(frame: Frame, numbering: dict[int, int]) -> Ints:
    return np.array([numbering[int(identity)] for identity in frame.identities], dtype=np.int64)


def frame_accuracy(videos: Sequence[Video]) -> dict[str, float]:
    """The share of frames that are exactly right: AVISeg's FSLA (arXiv 2412.03069).

    A frame is right at a threshold of IoU if as many instances are predicted as are annotated, of the same classes, and
    each one's mask overlaps that of its partner by more than the threshold. An object's partner is a predicted one, the
    same in the whole video: those whose masks agree the most.

    Returns:
        dict: `FSLA`, the mean over the thresholds OVERLAPS; `FSLAn`, `FSLAs` and `FSLAm` of frames with no, a single
        and multiple sources alone, 0 where there are none.
    """
    counts = dict.fromkeys(SOURCES, 0)
    right = {source: np.zeros(len(OVERLAPS), dtype=np.int64) for source in SOURCES}
    for video in videos:
        partners = _partners(video)
        for truth, found in zip(video.truth, video.found):
            source = SOURCES[min(len(truth.masks), 2)]
            counts[source] += 1
            right[source] += _is_right(truth, found, partners)
    shares = {source: float(right[source].mean()) / max(counts[source], 1) for source in SOURCES}
    all_right = math.fsum(shares[source] * counts[source] for source in SOURCES)
    return {
        "FSLA": all_right / max(sum(counts.values()), 1),
        **{f"FSLA{source}": shares[source] for source in SOURCES},
    }


def _partners(video: Video) -> dict[int, int]:
    """The predicted object of each annotated one: the pairs of the greatest agreement over the video, as HOTA's."""
    truth_of, found_of = _numbering(video.truth), _numbering(video.found)
    common = np.zeros((len(truth_of), len(found_of)))
    lengths = np.zeros((len(truth_of), 1)), np.zeros((1, len(found_of)))
    for truth, found in zip(video.truth, video.found):
        rows, columns = _numbers(truth, truth_of), _numbers(found, found_of)
        iou = overlaps(truth, found)
        joint = iou.sum(0, keepdims=True) + iou.sum(1, keepdims=True) - iou
        common[np.ix_(rows, columns)] += np.divide(iou, joint, out=np.zeros_like(iou), where=joint > 0)
        lengths[0][rows] += 1
        lengths[1][:, columns] += 1
    agreement = common / np.maximum(lengths[0] + lengths[1] - common, 1)
    pairs = zip(*linear_sum_assignment(agreement, maximize=True))
    truths, founds = list(truth_of), list(found_of)
    return {truths[row]: founds[column] for row, column in pairs}


def _is_right(truth: Frame, found: Frame, partners: dict[int, int]) -> NDArray[np.bool_]:
    """Whether a frame is right at each of OVERLAPS: bool [19]."""
    if sorted(truth.classes) != sorted(found.classes):
        return np.zeros(len(OVERLAPS), dtype=bool)
    columns = {int(identity): column for column, identity in enumerate(found.identities)}
    iou, least = overlaps(truth, found), 1.0
    for row, identity in enumerate(truth.identities.tolist()):
        column = columns.get(partners.get(identity, -1))
        same = column is not None and truth.classes[row] == found.classes[column]
        least = min(least, float(iou[row, column]) if same else 0.0)
    return np.asarray(least > OVERLAPS)
