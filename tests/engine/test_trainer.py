import pytest
import torch
from detectron2.data import DatasetCatalog
from detectron2.engine import hooks
from detectron2.evaluation import DatasetEvaluator

from transavs.data import AVSDatasetError
from transavs.engine import trainer
from transavs.engine.interruption import StopOnSignal
from transavs.engine.trainer import AVSTrainer, check_datasets
from transavs.engine.validation import Validation


def test_the_learning_rate_falls_as_a_polynomial(small_cfg):
    cfg = small_cfg("SOLVER.MAX_ITER", 100, "SOLVER.WARMUP_ITERS", 0, "SOLVER.BASE_LR", 1.0)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = AVSTrainer.build_lr_scheduler(cfg, optimizer)
    for _ in range(50):
        optimizer.step()
        scheduler.step()
    assert scheduler.get_last_lr()[0] == pytest.approx(0.5**0.9)


@pytest.mark.parametrize("key", ["TRAIN", "VAL", "TEST"])
def test_an_unregistered_dataset_names_the_key(small_cfg, key):
    check = small_cfg(f"DATASETS.{key}", ("nobody_s4_train",))
    with pytest.raises(
        AVSDatasetError, match=f"DATASETS.{key}: nobody_s4_train not registered; expected some of: .*toy_s4_test"
    ):
        check_datasets(check, keys=(key,))


def test_no_training_data_at_all_names_the_key(small_cfg):
    with pytest.raises(AVSDatasetError, match="DATASETS.TRAIN: no dataset"):
        check_datasets(small_cfg("DATASETS.TRAIN", ()))


def test_data_that_is_not_there_is_told_before_training(small_cfg, tmp_path):
    from transavs import register_avs_dataset

    register_avs_dataset("gone_s4_train", str(tmp_path / "gone"), "s4", "train")
    try:
        with pytest.raises(AVSDatasetError, match="gone"):
            check_datasets(small_cfg("DATASETS.TRAIN", ("gone_s4_train",)), keys=("TRAIN",))
    finally:
        DatasetCatalog.remove("gone_s4_train")


def test_validation_comes_before_the_writers_and_scores_the_validation_split(small_cfg, monkeypatch, tmp_path):
    cfg = small_cfg("OUTPUT_DIR", str(tmp_path), "TEST.EVAL_PERIOD", 10)
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    trainer = AVSTrainer(cfg)
    kinds = [type(hook) for hook in trainer._hooks]
    order = [kinds.index(kind) for kind in (hooks.PeriodicCheckpointer, StopOnSignal, Validation, hooks.PeriodicWriter)]
    assert order == sorted(order)
    scored = []
    monkeypatch.setattr(AVSTrainer, "test", classmethod(lambda cls, cfg, model: scored.append(cfg.DATASETS.TEST)))
    next(hook for hook in trainer._hooks if isinstance(hook, Validation))._evaluate()
    assert scored == [("toy_s4_val",)]
    assert cfg.DATASETS.TEST == ("toy_s4_test",)


@pytest.mark.parametrize(
    "names, metric",
    [
        (("toy_s4_val",), "avs/mJ"),
        (("avsbench_ss_val",), "avss/mIoU"),
        (("toy_ss_val", "toy_s4_val"), "toy_ss_val/avss/mIoU"),
    ],
)
def test_the_best_checkpoint_is_chosen_by_what_the_first_dataset_is_about(
    small_cfg, monkeypatch, tmp_path, names, metric
):
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    trainer = AVSTrainer(small_cfg("OUTPUT_DIR", str(tmp_path), "TEST.EVAL_PERIOD", 10, "DATASETS.VAL", names))
    assert [hook._metric for hook in trainer._hooks if isinstance(hook, Validation)] == [metric]


class CountingEvaluator(DatasetEvaluator):
    def reset(self):
        self.inputs = 0

    def process(self, inputs, outputs):
        self.inputs += len(inputs)

    def evaluate(self):
        return {"avs": {"inputs": self.inputs}}


def test_testing_takes_evaluators_as_detectron2s_trainer_does(small_cfg, monkeypatch):
    loader = classmethod(lambda cls, cfg, name: [[name]] * (3 if name == "toy_s4_val" else 2))
    monkeypatch.setattr(AVSTrainer, "build_test_loader", loader)
    monkeypatch.setattr(AVSTrainer, "build_evaluator", classmethod(lambda cls, cfg, name: CountingEvaluator()))
    cfg = small_cfg("DATASETS.TEST", ("toy_s4_val",))
    assert AVSTrainer.test(cfg, torch.nn.Identity()) == {"avs": {"inputs": 3}}
    assert AVSTrainer.test(cfg, torch.nn.Identity(), CountingEvaluator()) == {"avs": {"inputs": 3}}
    both, evaluators = ("toy_s4_val", "toy_s4_test"), [CountingEvaluator(), CountingEvaluator()]
    results = AVSTrainer.test(small_cfg("DATASETS.TEST", both), torch.nn.Identity(), evaluators)
    assert [results[name]["avs"]["inputs"] for name in both] == [3, 2]


def test_testing_on_an_unregistered_dataset_names_the_key(small_cfg):
    with pytest.raises(AVSDatasetError, match="DATASETS.TEST: nobody not registered"):
        AVSTrainer.test(small_cfg("DATASETS.TEST", ("nobody",)), torch.nn.Identity())


@pytest.mark.filterwarnings("ignore:.*GradScaler")  # there may be no GPU
@pytest.mark.parametrize("name, precision", [("float16", torch.float16), ("bfloat16", torch.bfloat16)])
def test_mixed_precision_is_of_the_config(small_cfg, monkeypatch, tmp_path, name, precision):
    cfg = small_cfg("OUTPUT_DIR", str(tmp_path), "SOLVER.AMP.ENABLED", True, "SOLVER.AMP.PRECISION", name)
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    assert AVSTrainer(cfg)._trainer.precision == precision


def test_an_unknown_precision_names_the_key(small_cfg):
    with pytest.raises(ValueError, match="SOLVER.AMP.PRECISION is 'int8', expected one of: float16, bfloat16"):
        AVSTrainer(small_cfg("SOLVER.AMP.PRECISION", "int8"))


@pytest.mark.parametrize(
    "freeze, in_checkpoint, warns", [(True, False, True), (True, True, False), (False, False, False)]
)
def test_a_frozen_audio_backbone_without_weights_is_told(
    small_cfg, monkeypatch, tmp_path, caplog, freeze, in_checkpoint, warns
):
    cfg = small_cfg("OUTPUT_DIR", str(tmp_path), "MODEL.AUDIO_BACKBONE.FREEZE", freeze)
    weights = AVSTrainer.build_model(cfg).state_dict()
    if not in_checkpoint:
        weights = {name: value for name, value in weights.items() if not name.startswith("audio_backbone.")}
    torch.save({"model": weights}, tmp_path / "start.pth")
    cfg.MODEL.WEIGHTS = str(tmp_path / "start.pth")
    monkeypatch.setattr(AVSTrainer, "build_train_loader", classmethod(lambda cls, cfg: []))
    with caplog.at_level("WARNING"):
        AVSTrainer(cfg).resume_or_load(resume=False)
    assert any("RANDOM WEIGHTS THAT WILL NEVER TRAIN" in record.getMessage() for record in caplog.records) == warns


def test_the_context_of_a_frame_is_refused_where_training_sees_one_second(small_cfg, monkeypatch):
    clip = {"video_id": "a", "sem_seg_file_names": ["1.png", None, None, None, None]}
    monkeypatch.setattr(trainer, "get_detection_dataset_dicts", lambda *args, **kwargs: [clip])
    with pytest.raises(ValueError, match="AUDIO_CONTEXT is 'frame', expected 'clip': .*toy_s4_train.* second 0 alone"):
        AVSTrainer.build_train_loader(small_cfg("MODEL.TRANSAVS.AUDIO_CONTEXT", "frame"))
    clip["sem_seg_file_names"][3] = "4.png"
    AVSTrainer.build_train_loader(small_cfg("MODEL.TRANSAVS.AUDIO_CONTEXT", "frame"))
