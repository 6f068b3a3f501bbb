"""Training and evaluation by Detectron2's DefaultTrainer, with what TransAVS does differently in its hooks."""

import logging
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from detectron2.data import (
    DatasetCatalog,
    MetadataCatalog,
    build_detection_test_loader,
    get_detection_dataset_dicts,
)
from detectron2.engine import DefaultTrainer, TrainerBase, hooks
from detectron2.evaluation import DatasetEvaluator
from detectron2.solver import LRMultiplier, WarmupParamScheduler
from detectron2.utils import comm
from detectron2.utils.events import CommonMetricPrinter, EventWriter, TensorboardXWriter
from fvcore.common.param_scheduler import PolynomialDecayParamScheduler
from torch import nn
from torch.utils.data import DataLoader

from ..data.audio_modes import replace_audio
from ..data.avsbench import AVSDatasetError
from ..data.mapper import AVSDatasetMapper
from ..data.reading import annotated_seconds
from ..data.registration import registered_datasets
from ..data.training_stream import build_training_loader, leave_signals_to_trainer
from ..evaluation import evaluator_of
from ..evaluation.background import BackgroundEvaluator
from ..weights.checkpointer import AVSCheckpointer
from ..weights.initializing import initialize_parts
from ..weights.left_out import check_can_be_left_out
from ..weights.published import WeightsError
from .amp import PRECISIONS, AMPTrainer
from .audio_embedding import check_embeddings
from .failures import told_in_one_line
from .finite_losses import FiniteTrainer
from .interruption import StopOnSignal
from .metrics_file import METRICS_FILE, MetricsWriter, forget_later_lines
from .optimizer import build_optimizer
from .processes import AverageBatchStatistics, agree, share_training, take_weights_of_main
from .randomness import Randomness
from .validation import BEST_CHECKPOINT, Validation


class AVSTrainer(DefaultTrainer):
    """DefaultTrainer for clips.

    DATASETS.VAL is scored every TEST.EVAL_PERIOD iterations, and the checkpoint of the best mJ, or mIoU where there are
    classes, is kept as `model_best.pth`; DATASETS.TEST is for the end. With SOLVER.AMP.ENABLED it computes in
    SOLVER.AMP.PRECISION.
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
        self._trainer: FiniteTrainer = (
            AMPTrainer(shared, loader, optimizer, amp.PRECISION)
            if amp.ENABLED
            else FiniteTrainer(shared, loader, optimizer)
        )
        self.scheduler = self.build_lr_scheduler(cfg, optimizer)
        self.checkpointer = AVSCheckpointer(shared, cfg.OUTPUT_DIR, cfg, trainer=weakref.proxy(self))
        self.start_iter, self.max_iter, self.cfg = 0, cfg.SOLVER.MAX_ITER, cfg
        self.register_hooks(self.build_hooks())

    def resume_or_load(self, resume: bool = True) -> None:
        """DefaultTrainer's; backbones that no checkpoint fills start from their own published weights.

        MODEL.WEIGHTS may be a model of other classes, or of clips of another length: see `fit_to`. It warns where a
        frozen audio backbone is left with random weights.

        Raises:
            WeightsError: MODEL.WEIGHTS cannot be had or read; the processes do not see the same checkpoint; or
                checkpoints are to do without an audio backbone that could not be had again.
            AVSDatasetError: INPUT.AUDIO.EMBEDDINGS is of other weights than the model's.
        """
        rest = self.checkpointer.resume_or_load(self.cfg.MODEL.WEIGHTS, resume=resume, other_shapes=True)
        filled = self.checkpointer.filled
        if not self.checkpointer.resumed:
            filled = filled | initialize_parts(self.checkpointer.model, self.cfg, leave=filled)
        self._start_after(rest.get("iteration", -1) if self.checkpointer.resumed else -1)
        audio = self.cfg.MODEL.AUDIO_BACKBONE
        if audio.FREEZE and "audio_backbone" not in filled:
            logging.getLogger(__name__).warning(
                "MODEL.AUDIO_BACKBONE.FREEZE is on, but neither MODEL.AUDIO_BACKBONE.WEIGHTS nor MODEL.WEIGHTS has "
                "weights for it: %s HAS RANDOM WEIGHTS THAT WILL NEVER TRAIN. Give weights or set FREEZE to False.",
                audio.NAME,
            )
        if not audio.IN_CHECKPOINTS:
            check_can_be_left_out(self.checkpointer.model, self.cfg)
        check_embeddings(self.cfg, self.model)

    def _start_after(self, iteration: int) -> None:
        folder, ends = self.cfg.OUTPUT_DIR, comm.all_gather(iteration)
        if len(set(ends)) > 1:
            raise WeightsError(f"{folder}: the processes found checkpoints of iterations {ends}, expected one for all")
        self.start_iter = iteration + 1
        if comm.is_main_process() and self.start_iter:
            forget_later_lines(Path(folder, METRICS_FILE), self.start_iter)

    def train(self) -> Any:
        """DefaultTrainer's.

        Raises:
            FloatingPointError: a loss is not finite.
            OutputError: OUTPUT_DIR cannot be written.
            TrainingStopped: by a signal.
        """
        with told_in_one_line(self.cfg.OUTPUT_DIR), self._stop.listening():
            return super().train()

    @staticmethod
    def auto_scale_workers(cfg: CfgNode, num_workers: int) -> CfgNode:
        """DefaultTrainer's, which fits the config to another number of processes; MODEL.TRANSAVS.THRESHOLD_STEP_ITERS
        is scaled as MAX_ITER is.

        Args:
            cfg: for as many processes as its SOLVER.REFERENCE_WORLD_SIZE says; with 0 it is left as it is.
            num_workers: processes that there are.

        Raises:
            ValueError: SOLVER.REFERENCE_WORLD_SIZE cannot be used.
        """
        reference, batch_size = cfg.SOLVER.REFERENCE_WORLD_SIZE, cfg.SOLVER.IMS_PER_BATCH
        if reference < 0 or reference and batch_size % reference:
            raise ValueError(
                f"SOLVER.REFERENCE_WORLD_SIZE is {reference}, expected 0 or a number that divides "
                f"SOLVER.IMS_PER_BATCH ({batch_size})"
            )
        scaled = DefaultTrainer.auto_scale_workers(cfg, num_workers)
        if scaled is not cfg:
            frozen = scaled.is_frozen()
            scaled.defrost()
            step = cfg.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS * reference / num_workers
            scaled.MODEL.TRANSAVS.THRESHOLD_STEP_ITERS = max(1, round(step))
            if frozen:
                scaled.freeze()
        return scaled

    @classmethod
    def build_train_loader(cls, cfg: CfgNode) -> DataLoader[Any]:
        # Not filtered by annotations: a clip in which nothing sounds teaches as much.
        clips = get_detection_dataset_dicts(_known(cfg.DATASETS.TRAIN, "DATASETS.TRAIN"), filter_empty=False)
        _check_audio_context(cfg, clips)
        mapper = AVSDatasetMapper(cfg, is_train=True, clips=clips)
        return build_training_loader(cfg, clips, mapper)

    @classmethod
    def build_test_loader(cls, cfg: CfgNode, dataset_name: str) -> DataLoader[Any]:
        clips = replace_audio(get_detection_dataset_dicts(dataset_name, filter_empty=False), cfg.TEST.AUDIO)
        loader = build_detection_test_loader(
            clips, mapper=AVSDatasetMapper(cfg, is_train=False), num_workers=cfg.DATALOADER.NUM_WORKERS
        )
        loader.worker_init_fn = leave_signals_to_trainer
        return loader

    @classmethod
    def build_evaluator(cls, cfg: CfgNode, dataset_name: str) -> DatasetEvaluator:
        evaluator = evaluator_of(dataset_name)(
            dataset_name,
            output_dir=str(Path(cfg.OUTPUT_DIR) / "inference" / dataset_name),
            threshold=cfg.TEST.MASK_THRESHOLD,
            beta_squared=cfg.TEST.F_BETA_SQUARED,
            own_audio=cfg.TEST.AUDIO == "original",
        )
        return BackgroundEvaluator(evaluator)

    @classmethod
    def build_optimizer(cls, cfg: CfgNode, model: nn.Module) -> torch.optim.Optimizer:
        return build_optimizer(cfg, model)

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
        """DefaultTrainer's: {"avs": {"mJ": ...}}, and of classes {"avss": {"mIoU": ...}}.

        They stand under the dataset's name where DATASETS.TEST has several.

        Raises:
            AVSDatasetError: DATASETS.TEST names no dataset, or one that is not registered; or INPUT.AUDIO.EMBEDDINGS is
                of other weights than the model's.
        """
        _known(cfg.DATASETS.TEST, "DATASETS.TEST")
        check_embeddings(cfg, model)
        return super().test(cfg, model, evaluators)

    def build_hooks(self) -> list[hooks.HookBase]:
        """DefaultTrainer's, with DATASETS.VAL in place of DATASETS.TEST, and what a training needs to go on later."""
        default = [hook for hook in super().build_hooks() if not isinstance(hook, hooks.EvalHook)]
        writing = [hook for hook in default if isinstance(hook, hooks.PeriodicWriter)]
        self._stop = StopOnSignal(self.checkpointer)
        return [
            Randomness(self.cfg.SOLVER.IMS_PER_BATCH),
            AverageBatchStatistics(self.model),
            *(hook for hook in default if hook not in writing),
            self._stop,  # whose checkpoint tells that the evaluation is still to be done
            *self._validation(),
            *writing,  # last, so that the scores are written
        ]

    def build_writers(self) -> list[EventWriter]:
        folder = self.cfg.OUTPUT_DIR
        return [
            CommonMetricPrinter(self.max_iter),
            MetricsWriter(Path(folder, METRICS_FILE)),
            TensorboardXWriter(folder),
        ]

    def _validation(self) -> list[Validation]:
        """None without DATASETS.VAL or TEST.EVAL_PERIOD."""
        names, period = self.cfg.DATASETS.VAL, self.cfg.TEST.EVAL_PERIOD
        if not names or period <= 0:
            return []
        cfg = self.cfg.clone()
        cfg.defrost()
        cfg.DATASETS.TEST = names
        metric = evaluator_of(names[0]).main_score
        if len(names) > 1:
            metric = f"{names[0]}/{metric}"
        return [Validation(period, lambda: self.test(cfg, self.model), metric, self.checkpointer, self._stop)]

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
        found = ", ".join(unknown) + " not registered" if unknown else "no dataset"
        raise AVSDatasetError(f"{key}: {found}; expected some of: {', '.join(registered_datasets())}")
    unscored = [name for name in names if MetadataCatalog.get(name).get("training_only")]
    if unscored and key != "DATASETS.TRAIN":
        reason = "composed anew each time that it is read, for DATASETS.TRAIN only"
        raise AVSDatasetError(f"{key}: {', '.join(unscored)} is {reason}")
    return list(names)
