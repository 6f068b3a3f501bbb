"""Parts of the method, each timed side by side with a plain reference: `tools/benchmark_parts.py`."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.audio import SAMPLE_RATE, log_mel_examples
from ..data.palette import encode_labels
from ..evaluation import SemanticEvaluator
from ..evaluation.metrics import clip_scores
from ..losses import audio_query_distance_loss, audio_query_mask_loss
from ..modeling.pixel_decoder.deformable_attention import sample_and_weigh
from .measuring import DEVICE, extra_memory, in_turn
from .references import all_pairs_mask_loss, best_f_by_loop, class_scores_by_loop, stacked_sampling

CLIP_SECONDS, CLIP_FRAMES = 5, 5
SEMANTIC_FRAMES, SEMANTIC_CLASSES = 10, 70  # of AVSBench-semantic
MASK_THRESHOLD = 0.5
QUERY_DIM = 256
SAMPLING_HEADS, SAMPLING_CHANNELS, SAMPLING_POINTS = 8, 32, 4  # as in Mask2Former
DISTANCE_THRESHOLD = 1e6  # every pair counts: the most work
COMPARED_HEADERS = ["part", "ours (s)", "reference (s)", "ratio", "difference"]
SAMPLING_HEADERS = ["part", "ours (s)", "extra (MiB)", "grid_sample (s)", "extra (MiB)", "ratio", "difference"]
LOSS_HEADERS = ["forward and backward", "ours (s)", "extra (MiB)", "all pairs (s)", "extra (MiB)", "difference"]
Row = list[Any]
Loss = Callable[[torch.Tensor], torch.Tensor]


def compare(name: str, runs: int, ours: Callable[[], torch.Tensor], reference: Callable[[], torch.Tensor]) -> Row:
    """A row of the table; `ours` and `reference` return tensors of one shape."""
    difference = (ours().cpu() - reference().cpu()).abs().max().item()
    our_seconds, reference_seconds = in_turn(runs, ours, reference)
    ratio = reference_seconds / our_seconds
    return [name, f"{our_seconds:.4f}", f"{reference_seconds:.4f}", f"{ratio:.1f}", f"{difference:.1e}"]


def benchmark_log_mel(runs: int, num_sounds: int) -> Row:
    """A row. Raises: ModuleNotFoundError, where torchvggish is not installed."""
    from torchvggish import vggish_input  # the reference, needed for nothing else

    generator = np.random.default_rng(0)
    sounds = generator.uniform(-1, 1, (num_sounds, CLIP_SECONDS * SAMPLE_RATE)).astype(np.float32)
    num_examples = len(vggish_input.waveform_to_examples(sounds[0], SAMPLE_RATE, return_tensor=False))
    waveforms = torch.from_numpy(sounds).to(DEVICE)

    def reference() -> torch.Tensor:
        arrays = [vggish_input.waveform_to_examples(sound, SAMPLE_RATE, return_tensor=False) for sound in sounds]
        return torch.from_numpy(np.stack(arrays)).unsqueeze(2)

    return compare(
        f"log-mel, {num_sounds} sounds of {CLIP_SECONDS} s",
        runs,
        lambda: log_mel_examples(waveforms, SAMPLE_RATE, num_examples),
        reference,
    )


def benchmark_metrics(runs: int, num_clips: int, side: int) -> Row:
    """A row: the best F of clips."""
    probabilities = torch.rand(num_clips, CLIP_FRAMES, side, side, device=DEVICE)
    masks = torch.zeros_like(probabilities, dtype=torch.bool)
    masks[..., side // 4 : side // 2, side // 4 : side // 2] = True
    probabilities[masks] = probabilities[masks].sqrt()  # better than chance
    return compare(
        f"metrics, {num_clips} clips of {CLIP_FRAMES} x {side} x {side}",
        runs,
        lambda: torch.tensor([clip_scores(*clip)["f"] for clip in zip(probabilities, masks)]),
        lambda: torch.stack([best_f_by_loop(*clip) for clip in zip(probabilities, masks)]),
    )


def benchmark_classes(runs: int, num_clips: int, side: int) -> Row:
    """A row: the evaluation of clips with AVSBench-semantic's classes, from the model's maps and from files.

    Each frame has two objects, and half of each is found. The reference takes the truth from memory, and no more than
    mIoU and mF.
    """
    soft_map = torch.zeros(SEMANTIC_FRAMES, SEMANTIC_CLASSES, side, side, device=DEVICE)
    truth = torch.zeros(SEMANTIC_FRAMES, side, side, dtype=torch.uint8)
    half, quarter = side // 2, side // 4
    for frame, (labels, channels) in enumerate(zip(truth, soft_map)):
        for place, label in enumerate((1 + frame, SEMANTIC_CLASSES - frame)):
            rows, left = slice(quarter, side - quarter), place * half
            labels[rows, left : left + half] = label
            channels[label - 1, rows, left + quarter : left + half + quarter] = 0.9
    with TemporaryDirectory() as folder:
        paths = [str(Path(folder, f"{frame}.png")) for frame in range(SEMANTIC_FRAMES)]
        for path, labels in zip(paths, truth):
            Image.fromarray(encode_labels(labels.numpy())).save(path)

        def evaluate() -> torch.Tensor:
            evaluator = SemanticEvaluator("avsbench_ss_test")
            for clip in range(num_clips):
                files = {"file_names": paths, "sem_seg_file_names": paths}
                evaluator.process(
                    [{"video_id": str(clip), "num_labels": SEMANTIC_CLASSES + 1, **files}], [{"sem_seg": soft_map}]
                )
            scores = evaluator.evaluate()["avss"]
            return torch.tensor([scores["mIoU"], scores["mF"]], dtype=torch.float64)

        def reference() -> torch.Tensor:
            found = [class_scores_by_loop(soft_map, truth.to(DEVICE), MASK_THRESHOLD) for _ in range(num_clips)]
            return torch.stack(found).mean(0)

        name = f"classes, {num_clips} clips of {SEMANTIC_FRAMES} x {side} x {side}"
        return compare(name, runs, evaluate, reference)


def benchmark_loss(name: str, runs: int, loss: Loss, leaf: torch.Tensor, reference: Loss | None = None) -> Row:
    """A row: seconds and extra memory of forward and backward, and the reference's."""

    def step(function: Loss) -> torch.Tensor:
        value = function(leaf)
        (leaf.grad,) = torch.autograd.grad(value, leaf)
        return value.detach()

    candidates = [loss] + ([reference] if reference else [])
    times = in_turn(runs, *(partial(step, function) for function in candidates))
    memory = []
    for function in candidates:
        leaf.grad = None
        memory.append(extra_memory(partial(step, function)))
    row = [name, f"{times[0]:.4f}", f"{memory[0]:.0f}"]
    if reference:
        difference = (step(loss) - step(reference)).abs().item()
        row += [f"{times[1]:.4f}", f"{memory[1]:.0f}", f"{difference:.1e}"]
    return row


def sampling_inputs(
    frames: int, side: int, strides: tuple[int, ...] = (32, 16, 8)
) -> tuple[list[torch.Tensor], list[tuple[int, int]]]:
    """What a layer of the pixel decoder hands to its sampling: each cell looks a few cells around itself."""
    shapes = [(side // stride, side // stride) for stride in strides]
    cells = sum(height * width for height, width in shapes)
    sizes = torch.tensor(shapes, device=DEVICE)[:, None].flip(-1)
    places = torch.cat(
        [torch.cartesian_prod((torch.arange(h) + 0.5) / h, (torch.arange(w) + 0.5) / w).flip(-1) for h, w in shapes]
    ).to(DEVICE)
    offsets = 2.5 * torch.randn(frames, cells, SAMPLING_HEADS, len(shapes), SAMPLING_POINTS, 2, device=DEVICE)
    weights = torch.randn(frames, cells, SAMPLING_HEADS, len(shapes) * SAMPLING_POINTS, device=DEVICE).softmax(-1)
    leaves = [
        torch.randn(frames, cells, SAMPLING_HEADS, SAMPLING_CHANNELS, device=DEVICE),
        places[:, None, None, None] + offsets / sizes,
        weights.unflatten(-1, (len(shapes), SAMPLING_POINTS)),
    ]
    return [leaf.requires_grad_() for leaf in leaves], shapes


def benchmark_sampling(runs: int, frames: int, side: int) -> list[Row]:
    """Two rows, forward alone and forward and backward: seconds and extra memory, and the reference's."""
    (values, *rest), shapes = sampling_inputs(frames, side)

    def forward(function: Callable[..., torch.Tensor]) -> torch.Tensor:
        with torch.no_grad():
            return function(values, shapes, *rest)

    def step(function: Callable[..., torch.Tensor]) -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(function(values, shapes, *rest).square().sum(), [values, *rest])

    with torch.no_grad():  # of the outputs: gradients of places jump where a cell begins, as rounding has it
        outputs = [function(values, shapes, *rest) for function in (sample_and_weigh, stacked_sampling)]
    difference = (outputs[0] - outputs[1]).abs().max().item()
    rows = []
    for name, run in (("forward", forward), ("forward and backward", step)):
        candidates = [partial(run, sample_and_weigh), partial(run, stacked_sampling)]
        ours, reference = in_turn(runs, *candidates)
        memory = [extra_memory(candidate) for candidate in candidates]
        rows.append(
            [
                f"sampling, {frames} x {side} x {side}, {name}",
                f"{ours:.4f}",
                f"{memory[0]:.0f}",
                f"{reference:.4f}",
                f"{memory[1]:.0f}",
                f"{reference / ours:.1f}",
                f"{difference:.1e}",
            ]
        )
    return rows


def benchmark_losses(runs: int, numbers: list[int], side: int, most_pairs: int) -> list[Row]:
    """A row for each loss and number of queries; AQML beside all pairs up to `most_pairs` queries."""
    rows = []
    for n in numbers:
        masks = torch.rand(n, side, side, device=DEVICE, requires_grad=True)
        reference = all_pairs_mask_loss if n <= most_pairs else None
        rows.append(benchmark_loss(f"AQML, n = {n}", runs, audio_query_mask_loss, masks, reference))
    for n in numbers:
        queries = torch.randn(n, QUERY_DIM, device=DEVICE, requires_grad=True)
        loss = partial(audio_query_distance_loss, distance_threshold=DISTANCE_THRESHOLD)
        rows.append(benchmark_loss(f"AQDL, n = {n}, d = {QUERY_DIM}", runs, loss, queries))
    return rows
