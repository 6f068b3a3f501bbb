#!/usr/bin/env python3
"""Parts of the method, each timed side by side with a plain reference, in one run.

    tools/benchmark_parts.py

Candidate and reference take turns, so that a machine's moods meet both; medians are printed. The references are
torchvggish's NumPy code for the log-mel, a loop over the 255 thresholds for the metrics, and a loop over all pairs of
masks for AQML, whose autograd graph is large: it is left out beyond --all-pairs queries.
"""
import argparse

import numpy as np
import torch
from tabulate import tabulate

from measuring import DEVICE, device_name, extra_memory, in_turn
from transavs.data.audio import SAMPLE_RATE, log_mel_examples
from transavs.evaluation.metrics import clip_scores, f_thresholds
from transavs.losses import audio_query_distance_loss, audio_query_mask_loss

CLIP_SECONDS, CLIP_FRAMES = 5, 5
QUERY_DIM = 256
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
        f"log-mel, {num_sounds} sounds of {CLIP_SECONDS} s", runs,
        lambda: log_mel_examples(waveforms, SAMPLE_RATE, num_examples), reference,
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
        f"metrics, {num_clips} clips of {CLIP_FRAMES} x {side} x {side}", runs,
        lambda: torch.tensor([clip_scores(*clip)["f"] for clip in zip(probabilities, masks)]),
        lambda: torch.stack([f_by_loop(*clip) for clip in zip(probabilities, masks)]),
    )


def all_pairs_mask_loss(masks):
    """AQML as eq. 11 and 12 write it, pair by pair."""
    n, binary, masks = len(masks), (masks > 0.5).float().unbind(), masks.unbind()
    total = sum(
        ((binary[i] * masks[j] + masks[i] * binary[j]) / 2).mean() for i in range(n) for j in range(i + 1, n)
    )
    return total * 2 / (n * (n + 1))


def benchmark_loss(name, runs, loss, leaf, reference=None):
    """A row: seconds and extra memory of forward and backward, and the reference's."""
    def step(function):
        value = function(leaf)
        leaf.grad, = torch.autograd.grad(value, leaf)
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
    headers = ["forward and backward", "ours (s)", "extra (MiB)", "all pairs (s)", "extra (MiB)", "difference"]
    print("\n" + tabulate(rows, headers, disable_numparse=True))


if __name__ == "__main__":
    main()
