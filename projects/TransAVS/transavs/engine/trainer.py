"""Training and evaluation by Detectron2's DefaultTrainer, with what TransAVS does differently in its hooks."""

import logging
import weakref
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    build_detection_train_loader,
    get_detection_dataset_dicts,
)
from detectron2.engine import DefaultTrainer, SimpleTrainer, TrainerBase, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.solver import LRMultiplier, WarmupParamScheduler, get_default_optimizer_params
from detectron2.utils import comm
from fvcore.common.param_scheduler import PolynomialDecayParamScheduler
from torch import nn
from torch.nn.utils import clip_grad_norm_, clip_grad_value_
from torch.utils.data import DataLoader

from ..data.audio_modes import replace_audio
from ..data.avsbench import AVSDatasetError
from ..data.mapper import AVSDatasetMapper
from ..data.reading import annotated_seconds
from ..evaluation import AVSEvaluator
from ..weights.checkpointer import AVSCheckpointer
from ..weights.initializing import initialize_parts
from .amp import PRECISIONS, AMPTrainer
from .processes import AverageBatchStatistics, agree, share_training, take_weights_of_main

BEST_CHECKPOINT = "model_best"


class AVSTrainer(DefaultTrainer):
    """DefaultTrainer for clips.

    DATASETS.VAL is scored every TEST.EVAL_PERIOD iterations, and the checkpoint of the best mJ is kept as
    `model_best.pth`; DATASETS.TEST is for the end. With SOLVER.AMP.ENABLED it computes in SOLVER.AMP.PRECISION.
    """

    def __init__(self, cfg: CfgNode) -> None:
        amp = cfg.SOLVER.AMP
        if amp.PRECISION not in PRECISIONS:
            raise ValueError(f"SOLVER.AMP.PRECISION is {amp.PRECISION!r}, expected one of: {', '.join(PRECISIONS)}")
        # In place of DefaultTrainer's own, which gives DDP device ids, makes GradScaler for GPUs alone, and reads
        # checkpoints in a way that may run what a file carries.
        TrainerBase.__init__(self)
        cfg = self.auto_scale_workers(cfg, comm.get_world_size())
        model = self.build_model(cfg)
        optimizer = self.build_optimizer(cfg, model)
        loader = self.build_train_loader(cfg)
        shared = share_training(model)
        self._trainer: SimpleTrainer = (
            AMPTrainer(shared, loader, optimizer, amp.PRECISION)
            if amp.ENABLED
            else SimpleTrainer(shared, loader, optimizer)
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = AVSCheckpointer(shared, cfg.OUTPUT_DIR, trainer=weakref.proxy(self))
        self.start_iter, self.max_iter, self.cfg = 0, cfg.SOLVER.MAX_ITER, cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """DefaultTrainer's; backbones that no checkpoint fills start from their own published weights.

        It warns where a frozen audio backbone is left with random weights.
        """
        super().resume_or_load(resume)
        filled = self.checkpointer.filled
        if not (resume and self.checkpointer.has_checkpoint()):
            filled = filled | initialize_parts(self.checkpointer.model, self.cfg, leave=filled)
        audio = self.cfg.MODEL.AUDIO_BACKBONE
        if audio.FREEZE and "audio_backbone" not in filled:
            logging.getLogger(__name__).warning(
                "MODEL.AUDIO_BACKBONE.FREEZE is on, but neither MODEL.AUDIO_BACKBONE.WEIGHTS nor MODEL.WEIGHTS has "
                "weights for it: %s HAS RANDOM WEIGHTS THAT WILL NEVER TRAIN. Give weights or set FREEZE to False.",
                audio.NAME,
            )

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> Iterable[list[dict]]:
        # Not filtered by annotations: a clip in which nothing sounds teaches as much.
        clips = get_detection_dataset_dicts(_known(cfg.DATASETS.TRAIN, "DATASETS.TRAIN"), filter_empty=False)
        _check_audio_context(cfg, clips)
        mapper = AVSDatasetMapper(cfg, is_train=True, clips=clips)
        return build_detection_train_loader(cfg, dataset=clips, mapper=mapper)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader[Any]:
        clips = replace_audio(get_detection_dataset_dicts(dataset_name, filter_empty=False), cfg.TEST.AUDIO)
        return build_detection_test_loader(
            clips, mapper=AVSDatasetMapper(cfg, is_train=False), num_workers=cfg.DATALOADER.NUM_WORKERS
        )

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> AVSEvaluator:
        return AVSEvaluator(
            dataset_name,
            output_dir=str(Path(cfg.OUTPUT_DIR) / "inference" / dataset_name),
            threshold=cfg.TEST.MASK_THRESHOLD,
            beta_squared=cfg.TEST.F_BETA_SQUARED,
            own_audio=cfg.TEST.AUDIO == "original",
        )

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW; BACKBONE_MULTIPLIER on both backbones; no weight decay on norms, positions and level embeddings."""
        no_decay = {"weight_decay": cfg.SOLVER.WEIGHT_DECAY_EMBED}
        embeddings = ("query_positions", "queries", "second_positions", "level_embedding")
        without_decay = (*embeddings, "relative_position_bias_table")  # the last is Swin's
        parameters = get_default_optimizer_params(
            model,
            base_lr=cfg.SOLVER.BASE_LR,
            weight_decay_norm=cfg.SOLVER.WEIGHT_DECAY_NORM,
            lr_factor_func=lambda name: cfg.SOLVER.BACKBONE_MULTIPLIER if "backbone." in name else 1.0,
            overrides=dict.fromkeys(without_decay, no_decay),
        )
        # fused: one pass over the parameters, on a CPU several times faster than the default
        build: Any = optimizer_class(cfg)
        return build(parameters, lr=cfg.SOLVER.BASE_LR, weight_decay=cfg.SOLVER.WEIGHT_DECAY, fused=True)

    @classmethod
    def build_lr_scheduler(cls, cfg: CfgNode, optimizer: torch.optim.Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
        """Detectron2's by name; and "WarmupPolyLR", here so that a resumed run follows a changed MAX_ITER."""
        solver = cfg.SOLVER
        if solver.LR_SCHEDULER_NAME != "WarmupPolyLR":
            return super().build_lr_scheduler(cfg, optimizer)
        schedule = WarmupParamScheduler(
            PolynomialDecayParamScheduler(1.0, solver.POLY_LR_POWER),
            solver.WARMUP_FACTOR,
            min(solver.WARMUP_ITERS / solver.MAX_ITER, 1.0),
            solver.WARMUP_METHOD,
        )
        return LRMultiplier(optimizer, schedule, max_iter=solver.MAX_ITER)

    @classmethod
    def test(
        cls, cfg: CfgNode, model: nn.Module, evaluators: DatasetEvaluator | Sequence[DatasetEvaluator] | None = None
    ) -> dict[str, Any]:
        """DefaultTrainer's: {"avs": {"mJ": ...}}, by the dataset's name where DATASETS.TEST has several.

        Raises:
            AVSDatasetError: DATASETS.TEST names no dataset, or one that is not registered.
        """
        _known(cfg.DATASETS.TEST, "DATASETS.TEST")
        return super().test(cfg, model, evaluators)

    def build_hooks(self) -> list[hooks.HookBase]:
        """DefaultTrainer's, with DATASETS.VAL in place of DATASETS.TEST, and the best checkpoint kept."""
        default = super().build_hooks()
        kept = [hook for hook in default if not isinstance(hook, hooks.EvalHook)]
        kept.insert(0, AverageBatchStatistics(self.model))
        validation = self.cfg.DATASETS.VAL
        if not validation or self.cfg.TEST.EVAL_PERIOD <= 0:
            return kept
        validation_cfg = self.cfg.clone()
        validation_cfg.defrost()
        validation_cfg.DATASETS.TEST = validation
        evaluation = [hooks.EvalHook(self.cfg.TEST.EVAL_PERIOD, lambda: self.test(validation_cfg, self.model))]
        if comm.is_main_process():
            metric = "avs/mJ" if len(validation) == 1 else f"{validation[0]}/avs/mJ"
            evaluation.append(
                hooks.BestCheckpointer(
                    self.cfg.TEST.EVAL_PERIOD, self.checkpointer, metric, file_prefix=BEST_CHECKPOINT
                )
            )
        # Before the writers, which stand last, so that the scores are written.
        position = next((i for i, hook in enumerate(kept) if isinstance(hook, hooks.PeriodicWriter)), len(kept))
        return kept[:position] + evaluation + kept[position:]

    def test_best(self) -> dict[str, Any]:
        """Scores DATASETS.TEST with the checkpoint that was best on DATASETS.VAL, or with the last one without it."""
        best = Path(self.cfg.OUTPUT_DIR) / f"{BEST_CHECKPOINT}.pth"
        # The main process alone reads what it alone wrote, which other machines may not even see.
        if agree(bool(self.cfg.DATASETS.VAL) and best.exists()):
            if comm.is_main_process():
                self.checkpointer.load(str(best), checkpointables=[])
            take_weights_of_main(self.model)
        logging.getLogger(__name__).info("Scoring DATASETS.TEST: %s", ", ".join(self.cfg.DATASETS.TEST))
        return self.test(self.cfg, self.model)


def optimizer_class(cfg: CfgNode) -> type[torch.optim.Optimizer]:
    """AdamW, with the gradients clipped as SOLVER.CLIP_GRADIENTS says.

    CLIP_TYPE "full_model" clips the norm over all parameters, as Mask2Former does; "norm" and "value", Detectron2's
    own, clip each parameter by itself.

    Raises:
        ValueError: CLIP_TYPE is another.
    """
    settings = cfg.SOLVER.CLIP_GRADIENTS
    if not settings.ENABLED:
        return torch.optim.AdamW
    if settings.CLIP_TYPE not in CLIPPING:
        expected = ", ".join(CLIPPING)
        raise ValueError(f"SOLVER.CLIP_GRADIENTS.CLIP_TYPE is {settings.CLIP_TYPE!r}, expected one of: {expected}")
    clip = CLIPPING[settings.CLIP_TYPE]

    class ClippedAdamW(torch.optim.AdamW):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            # A GradScaler is to unscale the gradients before `step`, which clips them; fused, it would do so after.
            self._step_supports_amp_scaling = False

        def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
            parameters = [parameter for group in self.param_groups for parameter in group["params"]]
            clip(parameters, settings.CLIP_VALUE, settings.NORM_TYPE)
            return super().step(closure)

    return ClippedAdamW


def _clip_each_norm(parameters: Sequence[nn.Parameter], value: float, norm_type: float) -> None:
    for parameter in parameters:
        clip_grad_norm_(parameter, value, norm_type)


CLIPPING: dict[str, Callable[[Sequence[nn.Parameter], float, float], Any]] = {
    "full_model": clip_grad_norm_,
    "norm": _clip_each_norm,
    "value": lambda parameters, value, _: clip_grad_value_(parameters, value),
}


def check_datasets(cfg: CfgNode, keys: Sequence[str] = ("TRAIN", "VAL", "TEST")) -> None:
    """Reads every dataset that the config names, so that what is wrong with one shows before training starts.

    Raises:
        AVSDatasetError: a name is not registered, with the config's key and the names there are; or a dataset is
            missing or broken, with the files.
    """
    for key in keys:
        if key == "VAL" and not cfg.DATASETS.VAL:
            continue  # the only one that may be left out
        for name in _known(cfg.DATASETS[key], f"DATASETS.{key}"):
            DatasetCatalog.get(name)


def _check_audio_context(cfg: CfgNode, clips: Sequence[dict]) -> None:
    """Raises: ValueError: AUDIO_CONTEXT is "frame" where training shows one second of its clips only, as S4 does."""
    seconds = {second for clip in clips for second in annotated_seconds(clip)}
    if cfg.MODEL.TRANSAVS.AUDIO_CONTEXT == "frame" and len(seconds) == 1:
        raise ValueError(
            f"MODEL.TRANSAVS.AUDIO_CONTEXT is 'frame', expected 'clip': of clips of {', '.join(cfg.DATASETS.TRAIN)} "
            f"training sees second {seconds.pop()} alone, so that the columns of W1 for the others would never learn"
        )


def _known(names: Sequence[str], key: str) -> list[str]:
    """`names`, once it is sure that the config's `key` names at least one dataset and registered ones only."""
    unknown = [name for name in names if name not in DatasetCatalog]
    if unknown or not names:
        registered = [
            name for name in DatasetCatalog.list() if MetadataCatalog.get(name).get("evaluator_type") == "avs"
        ]
        found = ", ".join(unknown) + " not registered" if unknown else "no dataset"
        raise AVSDatasetError(f"{key}: {found}; expected some of: {', '.join(sorted(registered))}")
    unscored = [name for name in names if MetadataCatalog.get(name).get("training_only")]
    if unscored and key != "DATASETS.TRAIN":
        reason = "composed anew each time that it is read, for DATASETS.TRAIN only"
        raise AVSDatasetError(f"{key}: {', '.join(unscored)} is {reason}")
    return list(names)
