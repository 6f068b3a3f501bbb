#!/usr/bin/env python3
"""Parts of the method, each timed side by side with a plain reference, in one run.

    tools/benchmark_parts.py

Candidate and reference take turns, so that a machine's moods meet both; medians are printed. The references are
torchvggish's NumPy code for the log-mel, a loop over the 255 thresholds for the metrics, `grid_sample` level by level for
deformable attention's sampling, and a loop over all pairs of masks for AQML, whose autograd graph is large: it is left
out beyond --all-pairs queries.
"""

import argparse

import numpy as np
import torch
from measuring import DEVICE, device_name, extra_memory, in_turn
from tabulate import tabulate
from torch.nn import functional as F

from transavs.data.audio import SAMPLE_RATE, log_mel_examples
from transavs.evaluation.metrics import clip_scores, f_thresholds
from transavs.losses import audio_query_distance_loss, audio_query_mask_loss
from transavs.modeling.pixel_decoder.deformable_attention import sample_and_weigh

CLIP_SECONDS, CLIP_FRAMES = 5, 5
QUERY_DIM = 256
SAMPLING_HEADS, SAMPLING_CHANNELS, SAMPLING_POINTS = 8, 32, 4  # as in Mask2Former
DISTANCE_THRESHOLD = 1e6  # every pair counts: the most work


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5, help="timed runs of each, after one that is not counted")
    parser.add_argument("--sounds", type=int, default=256, help="clips of 5 s for the log-mel")
    parser.add_argument("--clips", type=int, default=4, help="clips of 5 frames for the metrics")
    parser.add_argument("--side", type=int, default=224, help="pixels of a frame's and a mask's side")
    parser.add_argument("--queries", type=int, nargs="+", default=[75, 150, 300], help="confident queries of a frame")
    parser.add_argument("--all-pairs", type=int, default=75, help="most queries that the pairwise AQML is run with")
    return parser.parse_args()


def compare(name, runs, ours, reference):
    """A row of the table; `ours` and `reference` return tensors of one shape."""
    difference = (ours().cpu() - reference().cpu()).abs().max().item()
    our_seconds, reference_seconds = in_turn(runs, ours, reference)
    ratio = reference_seconds / our_seconds
    return [name, f"{our_seconds:.4f}", f"{reference_seconds:.4f}", f"{ratio:.1f}", f"{difference:.1e}"]


def benchmark_log_mel(runs, num_sounds):
    from torchvggish import vggish_input

    generator = np.random.default_rng(0)
    sounds = generator.uniform(-1, 1, (num_sounds, CLIP_SECONDS * SAMPLE_RATE)).astype(np.float32)
    num_examples = len(vggish_input.waveform_to_examples(sounds[0], SAMPLE_RATE, return_tensor=False))
    waveforms = torch.from_numpy(sounds).to(DEVICE)

    def reference():
        arrays = [vggish_input.waveform_to_examples(sound, SAMPLE_RATE, return_tensor=False) for sound in sounds]
        return torch.from_numpy(np.stack(arrays)).unsqueeze(2)

    return compare(
        f"log-mel, {num_sounds} sounds of {CLIP_SECONDS} s",
        runs,
        lambda: log_mel_examples(waveforms, SAMPLE_RATE, num_examples),
        reference,
    )


def f_by_loop(probabilities, masks, beta_squared=0.3):
    """The best F of a clip's curve, one threshold after the other: (1 + b^2) P R / (b^2 P + R)."""
    curves = []
    for probability, mask in zip(probabilities, masks):
        curve = []
        for threshold in f_thresholds().tolist():
            prediction = (probability >= threshold).float()
            true_positive = (prediction * mask).sum()
            precision = true_positive / (prediction.sum() + 1e-20)
            recall = true_positive / (mask.sum() + 1e-20)
            f = (1 + beta_squared) * precision * recall / (beta_squared * precision + recall)
            curve.append(f.nan_to_num())
        curves.append(torch.stack(curve))
    return torch.stack(curves).mean(0).max()


def benchmark_metrics(runs, num_clips, side):
    probabilities = torch.rand(num_clips, CLIP_FRAMES, side, side, device=DEVICE)
    masks = torch.zeros_like(probabilities, dtype=torch.bool)
    masks[..., side // 4 : side // 2, side // 4 : side // 2] = True
    probabilities[masks] = probabilities[masks].sqrt()  # better than chance
    return compare(
        f"metrics, {num_clips} clips of {CLIP_FRAMES} x {side} x {side}",
        runs,
        lambda: torch.tensor([clip_scores(*clip)["f"] for clip in zip(probabilities, masks)]),
        lambda: torch.stack([f_by_loop(*clip) for clip in zip(probabilities, masks)]),
    )


def all_pairs_mask_loss(masks):
    """AQML as eq. 11 and 12 write it, pair by pair."""
    n, binary, masks = len(masks), (masks > 0.5).float().unbind(), masks.unbind()
    total = sum(((binary[i] * masks[j] + masks[i] * binary[j]) / 2).mean() for i in range(n) for j in range(i + 1, n))
    return total * 2 / (n * (n + 1))


def benchmark_loss(name, runs, loss, leaf, reference=None):
    """A row: seconds and extra memory of forward and backward, and the reference's."""

    def step(function):
        value = function(leaf)
        (leaf.grad,) = torch.autograd.grad(value, leaf)
        return value.detach()

    candidates = [loss] + ([reference] if reference else [])
    times = in_turn(runs, *(lambda function=function: step(function) for function in candidates))
    memory = []
    for function in candidates:
        leaf.grad = None
        memory.append(extra_memory(lambda: step(function)))
    row = [name, f"{times[0]:.4f}", f"{memory[0]:.0f}"]
    if reference:
        difference = (step(loss) - step(reference)).abs().item()
        row += [f"{times[1]:.4f}", f"{memory[1]:.0f}", f"{difference:.1e}"]
    return row


def stacked_sampling(values, spatial_shapes, sampling_locations, attention_weights):
    """`sample_and_weigh` as Deformable DETR and its descendants write it in PyTorch: every sample, stacked."""
    frames, _, heads, channels = values.shape
    queries = sampling_locations.shape[1]
    grids = 2 * sampling_locations - 1
    samples = []
    levels = values.split([height * width for height, width in spatial_shapes], dim=1)
    for number, (level, (height, width)) in enumerate(zip(levels, spatial_shapes)):
        level = level.flatten(2).transpose(1, 2).reshape(frames * heads, channels, height, width)
        grid = grids[:, :, :, number].transpose(1, 2).flatten(0, 1)
        samples.append(F.grid_sample(level, grid, align_corners=False))  # F.heads c N points
    weights = attention_weights.transpose(1, 2).reshape(frames * heads, 1, queries, -1)
    total = (torch.stack(samples, dim=-2).flatten(-2) * weights).sum(-1)
    return total.view(frames, heads * channels, queries).transpose(1, 2).contiguous()


def sampling_inputs(frames, side, strides=(32, 16, 8)):
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


def benchmark_sampling(runs, frames, side):
    """Two rows, forward alone and forward and backward: seconds and extra memory, and the reference's."""
    (values, *rest), shapes = sampling_inputs(frames, side)

    def forward(function):
        with torch.no_grad():
            return function(values, shapes, *rest)

    def step(function):
        return torch.autograd.grad(function(values, shapes, *rest).square().sum(), [values, *rest])

    with torch.no_grad():  # of the outputs: gradients of places jump where a cell begins, as rounding has it
        outputs = [function(values, shapes, *rest) for function in (sample_and_weigh, stacked_sampling)]
    difference = (outputs[0] - outputs[1]).abs().max().item()
    rows = []
    for name, run in (("forward", forward), ("forward and backward", step)):
        candidates = [lambda: run(sample_and_weigh), lambda: run(stacked_sampling)]
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


def main():
    args = parse_arguments()
    torch.manual_seed(0)
    print(f"Median seconds of {args.runs} runs, PyTorch {torch.__version__}, {device_name()}")

    rows = []
    try:
        rows.append(benchmark_log_mel(args.runs, args.sounds))
    except ModuleNotFoundError as error:
        print(f"log-mel left out: {error}; pip install torchvggish")
    rows.append(benchmark_metrics(args.runs, args.clips, args.side))
    print(tabulate(rows, ["part", "ours (s)", "reference (s)", "ratio", "difference"], disable_numparse=True))

    rows = []
    for n in args.queries:
        masks = torch.rand(n, args.side, args.side, device=DEVICE, requires_grad=True)
        reference = all_pairs_mask_loss if n <= args.all_pairs else None
        rows.append(benchmark_loss(f"AQML, n = {n}", args.runs, audio_query_mask_loss, masks, reference))
    for n in args.queries:
        queries = torch.randn(n, QUERY_DIM, device=DEVICE, requires_grad=True)
        loss = lambda queries: audio_query_distance_loss(queries, DISTANCE_THRESHOLD)
        rows.append(benchmark_loss(f"AQDL, n = {n}, d = {QUERY_DIM}", args.runs, loss, queries))
    headers = ["part", "ours (s)", "extra (MiB)", "grid_sample (s)", "extra (MiB)", "ratio", "difference"]
    print("\n" + tabulate(benchmark_sampling(args.runs, CLIP_FRAMES, args.side), headers, disable_numparse=True))

    headers = ["forward and backward", "ours (s)", "extra (MiB)", "all pairs (s)", "extra (MiB)", "difference"]
    print("\n" + tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    main()
