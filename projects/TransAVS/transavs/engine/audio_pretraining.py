"""Teaching the audio backbone to name sounds before it learns, with the rest of the model, where they come from."""

import json
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from detectron2.config import CfgNode
from detectron2.modeling import build_model
from tabulate import tabulate
from torch import Tensor, nn

from ..data.audio import SpecAugment
from ..data.sound import AudioAugment
from ..data.synthetic.sound_naming import HELD_OUT_MIN_SECONDS, SoundMixtures, Waveform, hold_out
from ..modeling.audio import AudioBackbone, build_audio_backbone
from ..weights.initializing import initialize_parts

logger = logging.getLogger(__name__)

# KEY, VALUE, ... that the command sets before the user's own; docs/RESULTS.md tells what is known of them.
CONFIG_CHANGES = (
    *("MODEL.AUDIO_BACKBONE.FREEZE", "False"),
    *("INPUT.AUDIO.GAIN", "[-12, 6]"),
    *("INPUT.AUDIO.NOISE", "[-80, -30]"),
)
CLIPS_PER_BATCH = 16  # 80 examples: enough for batch norm, and a quarter of a second on one core
LEARNING_RATE = 2e-3  # AdamW's, for a small backbone with batch norm
WEIGHT_DECAY = 0.02
WARMUP_ITERATIONS = 100
LOG_EVERY = 50  # iterations
RARE = -3.0  # the classifier's first bias: of dozens of sounds, one or two are heard

WEIGHTS_FILE, SCORES_FILE = "audio_backbone.safetensors", "scores.json"
SCORED_BATCHES = 10
SCORE_SEED = 7  # every model is scored on the same clips
SCORED_AUGMENT = AudioAugment(gain=(-12, 6), noise=(-80, -30))

Scores = dict[str, float]  # percent, by name


class SoundNamer(nn.Module):
    """An audio backbone with a linear classifier on its features.

    Args:
        audio_backbone: its classifier has as many inputs as it has features.
        num_sounds: to tell apart.
        bfloat16: compute the backbone so.
    """

    def __init__(self, audio_backbone: AudioBackbone, num_sounds: int, bfloat16: bool = False):
        super().__init__()
        self.audio_backbone = audio_backbone
        self.classifier = nn.Linear(audio_backbone.output_dim, num_sounds)
        nn.init.constant_(self.classifier.bias, RARE)
        self.in_bfloat16 = bfloat16

    def forward(self, log_mel: Tensor) -> Tensor:
        """Args: float32 [M, 1, 96, 64]. Returns: logits, float32 [M, sounds]"""
        log_mel = log_mel.to(self.classifier.weight.device, memory_format=torch.channels_last)
        with torch.autocast(log_mel.device.type, torch.bfloat16, enabled=self.in_bfloat16):
            features = self.audio_backbone(log_mel)
        return self.classifier(features.float())


def build_namer(cfg: CfgNode, num_sounds: int) -> SoundNamer:
    """MODEL.AUDIO_BACKBONE, with its WEIGHTS if there are any, and a new classifier; bfloat16 with SOLVER.AMP.ENABLED.

    Raises:
        WeightsError: MODEL.AUDIO_BACKBONE.WEIGHTS cannot be had, read or used.
    """
    if cfg.MODEL.AUDIO_BACKBONE.WEIGHTS:
        model = build_model(cfg)
        initialize_parts(model, cfg, leave={"backbone"})
        audio_backbone = model.audio_backbone
    else:
        audio_backbone = build_audio_backbone(cfg)
    namer = SoundNamer(audio_backbone, num_sounds, cfg.SOLVER.AMP.ENABLED)
    # Convolutions of few channels are nearly twice as fast so on a CPU.
    return namer.to(cfg.MODEL.DEVICE, memory_format=torch.channels_last)  # type: ignore[call-overload]


def pretrain(
    cfg: CfgNode,
    sounds: Sequence[Waveform],
    iterations: int,
    seed: int,
    most_sounds: int = 3,
    learning_rate: float = LEARNING_RATE,
) -> tuple[SoundNamer, float]:
    """Trains MODEL.AUDIO_BACKBONE to tell which of the sounds are heard in each second of a mixture.

    The loss is the binary cross-entropy of each sound. INPUT.AUDIO.GAIN, NOISE, FREQUENCY_MASK and TIME_MASK augment.

    Args:
        cfg: of the model that the backbone is for.
        sounds: float32 [samples] at 16 kHz.
        iterations: of CLIPS_PER_BATCH clips.
        seed: of the random weights and of all that is drawn.
        most_sounds: of a clip.

    Returns:
        SoundNamer, in evaluation mode; minutes of processor time that training took.

    Raises:
        ValueError: settings that make no sense.
        WeightsError: see `build_namer`.
    """
    audio = cfg.INPUT.AUDIO
    mixtures = SoundMixtures(sounds, range(1, most_sounds + 1), augment=AudioAugment(audio.GAIN, audio.NOISE))
    mask = SpecAugment(audio.FREQUENCY_MASK, audio.TIME_MASK)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    namer = build_namer(cfg, len(sounds)).train()
    trained = [parameter for parameter in namer.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, learning_rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share_of_rate(step, iterations))
    recent: list[tuple[float, float]] = []
    start = time.process_time()
    for iteration in range(1, iterations + 1):
        log_mel, heard = mixtures.batch(rng, CLIPS_PER_BATCH)
        logits = namer(mask(log_mel))
        heard = heard.to(logits.device)
        loss = F.binary_cross_entropy_with_logits(logits, heard, reduction="sum") / len(heard)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent.append((loss.item(), _exact_share(logits, heard)))
        if iteration % LOG_EVERY == 0 or iteration == iterations:
            mean_loss, mean_exact = np.mean(recent, axis=0)
            minutes = (time.process_time() - start) / 60
            logger.info(
                "iteration %d  loss %.3f  exact set %.1f %%  %.1f minutes", iteration, mean_loss, mean_exact, minutes
            )
            recent.clear()
    return namer.eval(), (time.process_time() - start) / 60


def _share_of_rate(step: int, iterations: int) -> float:
    """Of the learning rate: rising, then falling to 0 a little slower than a straight line."""
    return min(1.0, (step + 1) / WARMUP_ITERATIONS) * (1 - step / iterations) ** 0.9


def _exact_share(logits: Tensor, heard: Tensor) -> float:
    """Percentage of examples in which all that is heard, and nothing else, has a probability above 0.5."""
    return 100 * ((logits > 0) == heard.bool()).all(1).float().mean().item()


def _found_share(logits: Tensor, heard: Tensor) -> float:
    """Percentage of what is heard that is among as many of the highest logits."""
    num_heard = heard.sum(1, keepdim=True)
    ranks = logits.argsort(1, descending=True).argsort(1)
    return (100 * (heard.bool() & (ranks < num_heard)).sum() / num_heard.sum()).item()


@torch.no_grad()
def score_naming(namer: SoundNamer, sounds: Sequence[Waveform | None]) -> Scores:
    """How well sounds are named, in percent.

    Args:
        namer: in evaluation mode.
        sounds: float32 [samples] at 16 kHz, in the order of the classifier's; None for one that is not scored.

    Returns:
        by name. `one`, `two`, `three`: so many sounds in every second; how many of them are the highest logits.
        `exact_set`: two or three sounds, that come and go; seconds in which those above 0.5 are exactly those heard.
        `exact_set_in_noise`: the same, over noise and at other levels. What takes more sounds than there are is left
        out.
    """
    scores: Scores = {}
    most = min(3, sum(sound is not None for sound in sounds))
    for name, count in (("one", 1), ("two", 2), ("three", 3)):
        if count <= most:
            scores[name] = _score(namer, SoundMixtures(sounds, [count], throughout=1), _found_share)
    several = range(min(2, most), most + 1)
    scores["exact_set"] = _score(namer, SoundMixtures(sounds, several), _exact_share)
    in_noise = SoundMixtures(sounds, several, augment=SCORED_AUGMENT)
    scores["exact_set_in_noise"] = _score(namer, in_noise, _exact_share)
    return {name: round(value, 1) for name, value in scores.items()}


def _score(namer: SoundNamer, mixtures: SoundMixtures, share: Callable[[Tensor, Tensor], float]) -> float:
    rng = np.random.default_rng(SCORE_SEED)
    batches = [mixtures.batch(rng, CLIPS_PER_BATCH) for _ in range(SCORED_BATCHES)]
    logits = torch.cat([namer(log_mel).cpu() for log_mel, _ in batches])
    return share(logits, torch.cat([heard for _, heard in batches]))


def pretrain_and_write(
    cfg: CfgNode,
    sounds: Sequence[Waveform],
    folder: Path,
    iterations: int,
    seed: int = 0,
    held_out: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """`pretrain`, and writes what it taught.

    Args:
        cfg, sounds, iterations, seed: as `pretrain`'s.
        folder: gets WEIGHTS_FILE, which MODEL.AUDIO_BACKBONE.WEIGHTS takes, and SCORES_FILE.
        held_out: keep the end of each sound for testing, and score it as well.
        options: `pretrain`'s others.

    Returns:
        what SCORES_FILE holds.

    Raises:
        ValueError: no sound is long enough to be divided; and as `pretrain`.
    """
    train, test = hold_out(sounds) if held_out else (list(sounds), None)
    if test is not None and all(sound is None for sound in test):
        raise ValueError(f"no sound is as long as {HELD_OUT_MIN_SECONDS} s, so that nothing can be kept for testing")
    namer, minutes = pretrain(cfg, train, iterations, seed, **options)
    results: dict[str, Any] = {
        "num_sounds": len(sounds),
        "num_weights": sum(weight.numel() for weight in namer.audio_backbone.parameters()),
        "iterations": iterations,
        "seed": seed,
        "cpu_minutes": round(minutes, 2),
        "train": score_naming(namer, train),
    }
    if test is not None:
        results["num_test_sounds"] = sum(sound is not None for sound in test)
        results["test"] = score_naming(namer, test)
    weights = {name: value.cpu().contiguous() for name, value in namer.audio_backbone.state_dict().items()}
    safetensors.torch.save_file(weights, folder / WEIGHTS_FILE)
    (folder / SCORES_FILE).write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    return results


def scores_table(results: dict[str, Any]) -> str:
    """GitHub Markdown of the scores that `pretrain_and_write` returns."""
    pieces = [name for name in ("train", "test") if name in results]
    rows = [[piece, *(f"{value:.1f}" for value in results[piece].values())] for piece in pieces]
    headers = ["%", *(name.replace("_", " ") for name in results["train"])]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)
