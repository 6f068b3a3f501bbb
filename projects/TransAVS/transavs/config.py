"""Every config key that TransAVS adds to Detectron2's, with its default, unit and source."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import yaml
from detectron2.config import CfgNode, get_cfg
from fvcore.common.config import BASE_KEY

MAX_FILE_BYTES = 1 << 18  # of a config; the longest that is shipped has a hundredth of it
MAX_FILES = 20  # that one config is read from: its own, and those that it builds on
MAX_VALUES = 10_000  # in a file, with what its aliases stand for: a few lines can stand for millions
# What YAML, Detectron2 and yacs raise for a file that is no config, or has keys or values that do not belong to one.
FAILURES = (OSError, KeyError, ValueError, TypeError, AttributeError, AssertionError, RecursionError, MemoryError)


class ConfigError(ValueError):
    """A config that cannot be read; the message is one line and names the file."""


def add_transavs_config(cfg: CfgNode) -> None:
    """Adds TransAVS's keys to a Detectron2 config, in place.

    The defaults train the paper's model (arXiv 2305.07223) with what it leaves open as PAPER.md tells; "sec." and
    "eq." below are the paper's.

    Args:
        cfg: as `detectron2.config.get_cfg()` returns it.
    """
    _add_model(cfg)
    _add_input(cfg)
    _add_solver(cfg)
    _add_datasets_and_test(cfg)
    # A config of an earlier version is refused with a word on what to write instead.
    for old in ("MODEL.TIMM.WEIGHTS", "MODEL.TIMM.PRETRAINED"):
        cfg.register_renamed_key(
            old, "MODEL.BACKBONE.WEIGHTS", message='PRETRAINED True is "timm:" there, False is "".'
        )


def read_config(path: str | os.PathLike[str], overrides: Iterable[Any] = ()) -> CfgNode:
    """A config file with all of TransAVS's keys.

    Args:
        path: the YAML file; of plain values, since YAML can also call Python, which is refused.
        overrides: KEY, VALUE, ..., as on a command line.

    Returns:
        CfgNode: not frozen.

    Raises:
        ConfigError: it, or a file that it builds on, is missing, no config, or too large; or a key or a value does not
            belong to a config.
    """
    path = os.fspath(path)
    _check_files(path)
    cfg = get_cfg()
    add_transavs_config(cfg)
    with _named(path):
        cfg.merge_from_file(path, allow_unsafe=False)
        cfg.merge_from_list(list(overrides))
    return cfg


def read_plain_yaml(path: str) -> dict[str, Any]:
    """A YAML file of keys and plain values. Raises: ConfigError: it is none, or larger than a config can be."""
    with _named(path):
        return _load(path)


def _check_files(path: str) -> None:
    """Reads a config and what it builds on, without doing anything with it. Raises: ConfigError: one cannot be read."""
    waiting: list[tuple[str, tuple[str, ...]]] = [(path, ())]  # a file, and those that build on it
    for _ in range(MAX_FILES):
        file, above = waiting.pop()
        with _named(path, file if above else ""):
            real = os.path.realpath(file)
            if real in above:
                raise ValueError(f"it builds on itself ({BASE_KEY})")
            bases = _load(file).get(BASE_KEY) or []
            for base in [bases] if isinstance(bases, str) else bases:
                waiting.append((os.path.join(os.path.dirname(file), os.path.expanduser(base)), (*above, real)))
        if not waiting:
            return
    raise ConfigError(f"{path}: the config cannot be read: it builds on {MAX_FILES} files and more ({BASE_KEY})")


def _load(path: str) -> dict[str, Any]:
    """Raises: one of FAILURES, or YAML's own, which do not name the file."""
    if not os.path.isfile(path):
        raise ValueError("no such file")
    if os.path.getsize(path) > MAX_FILE_BYTES:
        raise ValueError(f"it has {os.path.getsize(path)} bytes, expected at most {MAX_FILE_BYTES}")
    with open(path, encoding="utf-8") as file:
        content = yaml.safe_load(file)
    if not isinstance(content, dict):
        raise ValueError(f"it holds a {type(content).__name__}, expected keys and values")
    values: list[Any] = [content]
    num_values = 0
    while values and num_values + len(values) <= MAX_VALUES:
        value = values.pop()
        num_values += 1
        if isinstance(value, list):
            values += value
        elif isinstance(value, dict):
            if not all(isinstance(key, str) for key in value):
                raise ValueError(f"its keys {', '.join(map(repr, value))} are not all names")
            values += value.values()
    if values:
        raise ValueError(f"it has more than {MAX_VALUES} values, with what its aliases stand for")
    return content


@contextmanager
def _named(path: str, base: str = "") -> Iterator[None]:
    """Whatever is raised becomes a ConfigError that names the file, and the one that it builds on."""
    try:
        yield
    except (*FAILURES, yaml.YAMLError) as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        told = " ".join(str(reason).split()) or type(error).__name__
        where = f"{base}: " if base else ""
        raise ConfigError(f"{path}: the config cannot be read: {where}{told}") from error


def _add_model(cfg: CfgNode) -> None:
    cfg.MODEL.META_ARCHITECTURE = "TransAVS"
    # Training: each block's inner activations are computed again in the backward pass; less memory for more time.
    cfg.MODEL.GRADIENT_CHECKPOINTING = False

    # MODEL.WEIGHTS, Detectron2's own key, is a checkpoint of the whole model, or of a Mask2Former. Where it has nothing
    # for the visual backbone, a ResNet of Detectron2 or a timm model, training starts that from these weights: a path;
    # an address, with the file's SHA-256 behind #sha256= or in its name; or "timm:NAME", what timm publishes under a
    # name, by default MODEL.TIMM.NAME. "" starts from random weights.
    cfg.MODEL.BACKBONE.WEIGHTS = ""

    # The sound's features F_a. NAME is a key of AUDIO_BACKBONE_REGISTRY: "VGGish" (sec. 2.2.1) or
    # "TimmAudioBackbone", a small trainable one.
    cfg.MODEL.AUDIO_BACKBONE = CfgNode()
    cfg.MODEL.AUDIO_BACKBONE.NAME = "VGGish"
    # As MODEL.BACKBONE.WEIGHTS; for VGGish with torchvggish's keys. "timm:" is MODEL.AUDIO_BACKBONE.TIMM_MODEL.
    cfg.MODEL.AUDIO_BACKBONE.WEIGHTS = ""
    cfg.MODEL.AUDIO_BACKBONE.FREEZE = True
    # False: a training's checkpoints do without it (VGGish has 288 MB) and get it from WEIGHTS when they are read; it
    # must be frozen, and WEIGHTS still be there then.
    cfg.MODEL.AUDIO_BACKBONE.IN_CHECKPOINTS = True
    # The timm model that TimmAudioBackbone runs on log-mel patches.
    cfg.MODEL.AUDIO_BACKBONE.TIMM_MODEL = "resnet10t"

    # What MODEL.BACKBONE.NAME "build_timm_backbone" builds: a timm model with res2 .. res5 at strides 4, 8, 16 and 32.
    # MODEL.BACKBONE.FREEZE_AT freezes it as it does Detectron2's ResNets.
    cfg.MODEL.TIMM = CfgNode()
    cfg.MODEL.TIMM.NAME = "swin_base_patch4_window7_224.ms_in22k"  # with the tag of its weights, or without
    cfg.MODEL.TIMM.DROP_PATH_RATE = 0.0  # probability of stochastic depth at the last block; Mask2Former's Swin: 0.3
    cfg.MODEL.TIMM.OUTPUT_NORM = False  # a LayerNorm on each feature, as Mask2Former's Swin has

    # The pixel decoder stands behind Detectron2's own SEM_SEG_HEADS_REGISTRY and keys.
    cfg.MODEL.SEM_SEG_HEAD.NAME = "FPNPixelDecoder"
    cfg.MODEL.SEM_SEG_HEAD.IN_FEATURES = ["res2", "res3", "res4", "res5"]
    cfg.MODEL.SEM_SEG_HEAD.NUM_CLASSES = 1  # sounding; the no-object class comes on top: the paper's K = 2 (eq. 8)
    # What the classes are called; where it does not say, as DATASETS.TEST has it. tools/package_model.py writes it.
    cfg.MODEL.CLASS_NAMES = []
    cfg.MODEL.SEM_SEG_HEAD.CONVS_DIM = 256
    cfg.MODEL.SEM_SEG_HEAD.NORM = "GN"
    # Pixels of the frame per cell: of f1, f2, f3 for the decoder, and (COMMON_STRIDE) of f4 for the masks.
    cfg.MODEL.SEM_SEG_HEAD.LEVEL_STRIDES = [32, 16, 8]
    cfg.MODEL.SEM_SEG_HEAD.COMMON_STRIDE = 4
    # The transformer in "MSDeformAttnPixelDecoder", Mask2Former's; "FPNPixelDecoder" has none.
    cfg.MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS = 6
    cfg.MODEL.SEM_SEG_HEAD.TRANSFORMER_DIM_FEEDFORWARD = 1024
    cfg.MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_N_HEADS = 8
    cfg.MODEL.SEM_SEG_HEAD.DEFORMABLE_TRANSFORMER_ENCODER_N_POINTS = 4  # per query, head and level

    cfg.MODEL.TRANSAVS = CfgNode()
    cfg.MODEL.TRANSAVS.NUM_FRAMES = 5  # T: seconds of sound that a clip has at most (sec. 3.1)
    cfg.MODEL.TRANSAVS.NUM_QUERIES = 300  # N (Table 3)
    cfg.MODEL.TRANSAVS.HIDDEN_DIM = 256  # d
    cfg.MODEL.TRANSAVS.NHEADS = 8
    cfg.MODEL.TRANSAVS.DIM_FEEDFORWARD = 1024
    cfg.MODEL.TRANSAVS.DROPOUT = 0.0
    cfg.MODEL.TRANSAVS.AUDIO_QUERY_ENCODER = "AudioQueryEncoder"
    cfg.MODEL.TRANSAVS.ENC_LAYERS = 3  # N1
    # "clip": one set of queries a clip (eq. 1). "frame": W1 sees the sound relative to each frame's own second.
    cfg.MODEL.TRANSAVS.AUDIO_CONTEXT = "clip"
    cfg.MODEL.TRANSAVS.DECODER = "AudioVisualDecoder"
    cfg.MODEL.TRANSAVS.DEC_LAYERS = 6  # N2

    # Loss weights, lambda 1 to 4 (eq. 13, sec. 3.2); MASK_WEIGHT: a pixel-wise BCE that the paper does not have.
    cfg.MODEL.TRANSAVS.AQDL_WEIGHT = 2.0
    cfg.MODEL.TRANSAVS.AQML_WEIGHT = 2.0
    cfg.MODEL.TRANSAVS.CLASS_WEIGHT = 5.0
    cfg.MODEL.TRANSAVS.DICE_WEIGHT = 5.0
    cfg.MODEL.TRANSAVS.MASK_WEIGHT = 0.0
    cfg.MODEL.TRANSAVS.DEEP_SUPERVISION = True  # the losses on every decoder layer, not on the last one alone
    cfg.MODEL.TRANSAVS.FOCAL_GAMMA = 2.0
    cfg.MODEL.TRANSAVS.NO_OBJECT_WEIGHT = 0.1  # of the no-object class in the classification loss, as in Mask2Former
    cfg.MODEL.TRANSAVS.AQDL_DISTANCE_THRESHOLD = 1.0  # d0 (eq. 10), a squared distance of vectors of length 1
    # Confidence thresholds delta1, delta2 (eq. 18): start a, end b, and iterations per step. Equal ends fix one.
    cfg.MODEL.TRANSAVS.AQDL_CONFIDENCE = [0.55, 0.65]
    cfg.MODEL.TRANSAVS.AQML_CONFIDENCE = [0.55, 0.65]
    cfg.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS = 5000


def _add_input(cfg: CfgNode) -> None:
    cfg.INPUT.FORMAT = "RGB"
    cfg.MODEL.PIXEL_MEAN = [123.675, 116.280, 103.530]  # ImageNet's, RGB, of 255
    cfg.MODEL.PIXEL_STD = [58.395, 57.120, 57.375]
    cfg.INPUT.IMAGE_SIZE = 224  # side of the square that training sees, in pixels; AVSBench's frames are 224 x 224
    cfg.INPUT.MIN_SIZE_TEST = 224
    cfg.INPUT.MAX_SIZE_TEST = 448
    # Training: a frame is resized by a factor from this range (of IMAGE_SIZE), then cropped or padded to IMAGE_SIZE.
    cfg.INPUT.SCALE_RANGE = [0.8, 1.25]
    cfg.INPUT.COLOR_JITTER = True
    # Training: so many of a clip's annotated frames, at random, so that a batch holds more clips; 0 takes all of them.
    cfg.INPUT.MAX_FRAMES = 0
    # What a training frame's queries are matched to: "union", all that sounds as one mask, as AVSBench has it;
    # "instances", each object's own mask, from the folder gt_instances/ that prepare_stamps.py writes; or "classes",
    # all that sounds of a class as one mask, for MODEL.SEM_SEG_HEAD.NUM_CLASSES above 1.
    cfg.INPUT.TARGETS = "union"
    # Training (not the paper's): another clip's sounding object is pasted over a clip's frames, and the sound decides
    # what to segment. PROBABILITY: that a clip is mixed. SHARES: of the mixed clips, those that keep their own sound,
    # that take the other one's, that have both, and that have neither: silence, noise, or a third's that is not in the
    # picture.
    cfg.INPUT.MIXING = CfgNode()
    cfg.INPUT.MIXING.PROBABILITY = 0.0
    cfg.INPUT.MIXING.SHARES = [0.45, 0.30, 0.15, 0.10]
    cfg.INPUT.AUDIO = CfgNode()
    cfg.INPUT.AUDIO.RESAMPLER = "resampy"  # to 16 kHz, as VGGish's reference does; "torchaudio" is faster
    # A file of a frozen audio backbone's features, which tools/embed_audio.py wrote: for the sounds in it, training and
    # evaluation do without the audio backbone. "" is none.
    cfg.INPUT.AUDIO.EMBEDDINGS = ""
    # SpecAugment in training: the longest masks, in mel bands (of 64) and in frames (of 96, 10 ms each); 0 is off.
    cfg.INPUT.AUDIO.FREQUENCY_MASK = 0
    cfg.INPUT.AUDIO.TIME_MASK = 0
    # Training: the sound is amplified by GAIN, and coloured noise (from white to brown) of the level NOISE is added,
    # both drawn from a range of decibels, [least, most]. A level is the RMS, 0 being full scale. [0, 0] or [] is off.
    cfg.INPUT.AUDIO.GAIN = [0.0, 0.0]
    cfg.INPUT.AUDIO.NOISE = []
    # Training: a clip that cannot be read is logged and left out, and another is drawn in its place, as long as no more
    # than this share of the clips are so; 0: the first one ends the training. A file that is missing, or a picture
    # without a readable head, is found when the dataset is listed, and ends it in any case.
    cfg.DATALOADER.MAX_CORRUPT_SHARE = 0.0


def _add_solver(cfg: CfgNode) -> None:
    cfg.SOLVER.BASE_LR = 1e-4  # sec. 3.2
    cfg.SOLVER.BACKBONE_MULTIPLIER = 0.1  # of the learning rate, for the visual and the audio backbone (sec. 3.2)
    cfg.SOLVER.MAX_ITER = 90000  # sec. 3.2
    cfg.SOLVER.IMS_PER_BATCH = 8  # clips (sec. 3.2)
    cfg.SOLVER.AMP.PRECISION = "float16"  # or "bfloat16": what SOLVER.AMP.ENABLED computes in; losses stay in float32
    cfg.SOLVER.WEIGHT_DECAY = 0.05
    cfg.SOLVER.WEIGHT_DECAY_NORM = 0.0
    cfg.SOLVER.WEIGHT_DECAY_EMBED = 0.0
    cfg.SOLVER.LR_SCHEDULER_NAME = "WarmupPolyLR"
    cfg.SOLVER.POLY_LR_POWER = 0.9
    cfg.SOLVER.WARMUP_ITERS = 0
    cfg.SOLVER.CLIP_GRADIENTS.ENABLED = True
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_TYPE = "full_model"  # one norm over all parameters, as in Mask2Former
    cfg.SOLVER.CLIP_GRADIENTS.CLIP_VALUE = 0.01
    cfg.SOLVER.CLIP_GRADIENTS.NORM_TYPE = 2.0


def _add_datasets_and_test(cfg: CfgNode) -> None:
    # Scored every TEST.EVAL_PERIOD iterations; the checkpoint of the best mJ, or mIoU where there are classes, is kept
    # and scored on DATASETS.TEST at the end.
    cfg.DATASETS.VAL = ()
    cfg.TEST.MASK_THRESHOLD = 0.5  # a pixel sounds where p x m exceeds it (eq. 14)
    # A class's soft map: "argmax", p x m of the query that has the pixel (eq. 14), in the channel of its class; or
    # "sum", Mask2Former's, of p(class) x m over all queries.
    cfg.TEST.SEMANTIC_MAP = "argmax"
    cfg.TEST.F_BETA_SQUARED = 0.3  # of the F-score (eq. 17), as in AVSBench's scorer
    # Which sound a test clip gets: "original", "silence", "noise", "shuffled" (another clip's), or "offscreen" (of
    # objects that are not in the picture).
    cfg.TEST.AUDIO = "original"
    # Long videos are seen in windows of NUM_FRAMES seconds. Whole seconds that one shares with the next; there the maps
    # are averaged, all alike ("average") or those of seconds nearer a window's middle counting more ("triangle").
    cfg.TEST.WINDOW_OVERLAP = 0
    cfg.TEST.WINDOW_BLENDING = "average"
