"""The scores of instances against plain loops over small masks."""

import itertools

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from transavs.evaluation.instances import Frame, Video, average_precision, frame_accuracy, overlaps, tracking_scores

SIZE = (24, 40)
ALPHAS = np.arange(0.05, 0.99, 0.05)
PERFECT = ("AP", "AP50", "AP75", "HOTA", "DetA", "AssA", "IDF1", "FSLA", "FSLAn", "FSLAs", "FSLAm")


def box(left, top, side=10):
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def make_frame(entries):
    """entries: (identity, class, mask, score)."""
    rle = [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for _, _, mask, _ in entries]
    columns = [np.array([entry[place] for entry in entries]) for place in (0, 1, 3)]
    return Frame(columns[0].astype(np.int64), columns[1].astype(np.int64), rle, columns[2].astype(np.float64))


def make_video(rng, num_frames=6, num_objects=3, num_classes=2):
    """Boxes that come and go; predictions that are shifted, swapped, left out, and one that is of nothing."""
    places = [(4 + 11 * number, int(rng.integers(0, 12)), number % num_classes) for number in range(num_objects)]
    truth, found = [], []
    for _ in range(num_frames):
        seen = [number for number in range(num_objects) if rng.random() < 0.6]
        truth.append(make_frame([(7 + number, places[number][2], box(*places[number][:2]), 1.0) for number in seen]))
        entries = []
        for number in seen:
            left, top, category = places[number]
            if rng.random() < 0.85:
                identity = (number + (rng.random() < 0.2)) % num_objects
                shifted = box(left + int(rng.integers(-4, 5)), max(0, top + int(rng.integers(-2, 3))))
                entries.append((identity, category, shifted, rng.random()))
        if rng.random() < 0.3:
            entries.append((20, 0, box(1, 1, 4), rng.random()))
        entries = list({entry[0]: entry for entry in entries}.values())  # an identity once a frame
        found.append(make_frame(entries))
    return Video(truth, found)


@pytest.fixture(params=range(4))
def videos(request):
    rng = np.random.default_rng(request.param)
    return [make_video(rng) for _ in range(5)]


def decode(frame):
    return [coco_mask.decode(mask).astype(bool) for mask in frame.masks]


def loop_iou(first, second):
    return (first & second).sum() / (first | second).sum()


def loop_average_precision(videos, category, threshold):
    """COCO's, from its definition: the envelope of precision, at 101 values of recall."""
    found, matched, total = [], {}, 0
    for image, (truth, predicted) in enumerate(pair for video in videos for pair in zip(video.truth, video.found)):
        matched[image] = [(mask, [False]) for mask, c in zip(decode(truth), truth.classes) if c == category]
        total += len(matched[image])
        for mask, c, score in zip(decode(predicted), predicted.classes, predicted.scores):
            if c == category:
                found.append((-score, image, mask))
    if not total:
        return None
    hits = []
    for _, image, mask in sorted(found, key=lambda entry: entry[:2]):
        free = [(loop_iou(mask, truth), taken) for truth, taken in matched[image] if not taken[0]]
        best = max(free, key=lambda pair: pair[0], default=(0, None))
        hits.append(best[0] >= threshold)
        if hits[-1]:
            best[1][0] = True
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    recall = np.cumsum(hits) / total
    return np.mean([max(precision[recall >= r], default=0) for r in np.linspace(0, 1, 101)])


def test_ap_is_that_of_a_loop(videos):
    scores = average_precision(videos)
    for name, thresholds in (("AP50", [0.5]), ("AP75", [0.75]), ("AP", np.linspace(0.5, 0.95, 10))):
        values = [loop_average_precision(videos, category, t) for category in (0, 1) for t in thresholds]
        assert scores[name] == pytest.approx(np.mean([value for value in values if value is not None]), abs=1e-9)


def of_class(frame, category):
    entries = zip(frame.identities.tolist(), frame.classes, decode(frame))
    return [(identity, mask) for identity, c, mask in entries if c == category]


def best_pairs(weights):
    """The one-to-one pairs of the greatest sum, of all there are."""
    rows, columns = weights.shape
    if rows > columns:
        return [(row, column) for column, row in best_pairs(weights.T)]
    options = itertools.permutations(range(columns), rows)
    best = max(options, key=lambda option: sum(weights[row, column] for row, column in enumerate(option)))
    return list(enumerate(best))


def loop_hota(videos, category):
    """{alpha: (DetA, AssA)} as the paper has it: matches, then for each the share of the two objects' time together."""
    hits, together = {alpha: [] for alpha in ALPHAS}, {}
    num_truth, num_found, length = 0, 0, {}
    for number, video in enumerate(videos):
        pairs, common = list(zip(video.truth, video.found)), {}
        for truth, found in pairs:
            truth, found = of_class(truth, category), of_class(found, category)
            num_truth, num_found = num_truth + len(truth), num_found + len(found)
            for kind, objects in (("truth", truth), ("found", found)):
                for identity, _ in objects:
                    length[number, kind, identity] = length.get((number, kind, identity), 0) + 1
            ious = {(a, b): loop_iou(m, n) for a, m in truth for b, n in found}
            for (a, b), iou in ious.items():
                joint = sum(v for (c, _), v in ious.items() if c == a) + sum(v for (_, d), v in ious.items() if d == b)
                common[a, b] = common.get((a, b), 0) + (iou / (joint - iou) if iou else 0)
        for truth, found in pairs:
            truth, found = of_class(truth, category), of_class(found, category)
            weights, ious = np.zeros((len(truth), len(found))), np.zeros((len(truth), len(found)))
            for (row, (a, m)), (column, (b, n)) in itertools.product(enumerate(truth), enumerate(found)):
                ious[row, column], c = loop_iou(m, n), common[a, b]
                lengths = length[number, "truth", a] + length[number, "found", b]
                weights[row, column] = ious[row, column] * c / (lengths - c)
            for row, column in best_pairs(weights):
                for alpha in ALPHAS:
                    if ious[row, column] >= alpha - 1e-15:
                        pair = number, truth[row][0], found[column][0]
                        hits[alpha].append(pair)
                        together[alpha, pair] = together.get((alpha, pair), 0) + 1
    scores = {}
    for alpha, matches in hits.items():
        joint = [
            together[alpha, (number, a, b)]
            / (length[number, "truth", a] + length[number, "found", b] - together[alpha, (number, a, b)])
            for number, a, b in matches
        ]
        detections = len(matches) / max(1, num_truth + num_found - len(matches))
        scores[alpha] = detections, sum(joint) / max(1, len(joint))
    return scores


def test_hota_and_its_parts_are_those_of_a_loop(videos):
    scores = tracking_scores(videos)
    loops = np.array([list(loop_hota(videos, category).values()) for category in (0, 1)])  # class, alpha, (DetA, AssA)
    assert scores["DetA"] == pytest.approx(loops[..., 0].mean(), abs=1e-9)
    assert scores["AssA"] == pytest.approx(loops[..., 1].mean(), abs=1e-9)
    assert scores["HOTA"] == pytest.approx(np.sqrt(loops.prod(-1)).mean(), abs=1e-9)


def loop_idf1(videos, category):
    """Of all ways to pair a video's objects, that with the most frames in which the pairs' masks agree."""
    hits, frames = 0, 0
    for video in videos:
        agree = {}
        for truth, found in zip(video.truth, video.found):
            truth, found = of_class(truth, category), of_class(found, category)
            frames += len(truth) + len(found)
            for (a, m), (b, n) in itertools.product(truth, found):
                agree[a, b] = agree.get((a, b), 0) + (loop_iou(m, n) >= 0.5)
        rows, columns = sorted({a for a, _ in agree}), sorted({b for _, b in agree})
        weights = np.array([[agree.get((a, b), 0) for b in columns] for a in rows]).reshape(len(rows), len(columns))
        hits += sum(weights[pair] for pair in best_pairs(weights))
    return 2 * hits / max(1, frames)


def test_idf1_is_that_of_a_loop(videos):
    expected = np.mean([loop_idf1(videos, category) for category in (0, 1)])
    assert tracking_scores(videos)["IDF1"] == pytest.approx(expected, abs=1e-9)


def frame(*entries):
    return make_frame([(identity, category, mask, 1.0) for identity, category, mask in entries])


def test_a_frame_is_right_if_all_its_objects_are():
    two = frame((1, 0, box(0, 0)), (2, 0, box(20, 0)))
    one = frame((1, 0, box(0, 0)))
    empty = frame()
    shifted = frame((1, 0, box(0, 0)), (2, 0, box(25, 0)))  # IoU 1/3
    assert frame_accuracy([Video([two, one, empty], [two, one, empty])]) == dict.fromkeys(PERFECT[7:], 1.0)
    scores = frame_accuracy([Video([two, one, empty, empty], [shifted, two, empty, one])])
    assert scores == pytest.approx({"FSLAm": 6 / 19, "FSLAs": 0, "FSLAn": 0.5, "FSLA": (6 / 19 + 1) / 4})


def test_a_frame_with_another_class_or_another_object_is_wrong():
    truth = [frame((1, 0, box(0, 0)))] * 3
    assert frame_accuracy([Video(truth, [frame((5, 1, box(0, 0)))] * 3)])["FSLA"] == 0
    switched = [frame((5, 0, box(0, 0)))] * 2 + [frame((6, 0, box(0, 0)))]
    assert frame_accuracy([Video(truth, switched)])["FSLA"] == pytest.approx(2 / 3)


def test_what_is_exactly_right_scores_one(videos):
    copies = [*(Video(video.truth, video.truth) for video in videos), Video([frame()], [frame()])]
    scores = {**average_precision(copies), **tracking_scores(copies), **frame_accuracy(copies)}
    assert scores == pytest.approx(dict.fromkeys(PERFECT, 1.0))


@pytest.mark.parametrize("which", ["truth", "found"])
def test_where_nothing_is_annotated_or_predicted_silent_frames_alone_score(videos, which):
    silent = [frame()] * 7
    seen = [frame(), *videos[0].truth]
    video = Video(silent, seen) if which == "truth" else Video(seen, silent)
    scores = {**average_precision([video]), **tracking_scores([video]), **frame_accuracy([video])}
    right = sum(not f.masks for f in seen) / 7
    assert scores.pop("FSLA") == pytest.approx(right)
    assert scores.pop("FSLAn") == pytest.approx(right if which == "truth" else 1)
    assert set(scores.values()) == {0}


def test_overlaps_are_annotated_by_predicted(videos):
    for video in videos:
        for truth, found in zip(video.truth, video.found):
            expected = [[loop_iou(m, n) for n in decode(found)] for m in decode(truth)]
            assert overlaps(truth, found) == pytest.approx(
                np.array(expected).reshape(len(truth.masks), len(found.masks))
            )
