"""The meta-architecture's contracts: what goes in, what comes out, what learns."""

import logging

import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.engine import DefaultPredictor
from detectron2.modeling import build_model
from detectron2.structures import BitMasks, Instances
from detectron2.utils.events import EventStorage

from transavs.data.audio import EXAMPLE_SHAPE, SILENCE
from transavs.data.model_input import complete_input

T, SIDE = 5, 64


def make_clip(num_frames=T, seconds=None, height=SIDE, width=SIDE, seed=0, objects=None):
    generator = torch.Generator().manual_seed(seed)
    clip = {
        "images": torch.randint(0, 256, (num_frames, 3, height, width), dtype=torch.uint8, generator=generator),
        "audio_log_mel": torch.randn(T, *EXAMPLE_SHAPE, generator=generator),
        "frame_indices": torch.arange(num_frames) if seconds is None else torch.tensor(seconds),
        "height": height,
        "width": width,
    }
    if objects is not None:
        masks = torch.zeros(objects, height, width, dtype=torch.bool)
        masks[:, 16:48, 16:48] = True
        target = Instances(
            (height, width), gt_classes=torch.zeros(objects, dtype=torch.int64), gt_masks=BitMasks(masks)
        )
        clip["instances"] = [target] * num_frames
    return clip


def make_confident(model):
    """An untrained model finds nothing; this lets every query sound, so that there is something to compare."""
    model.mask_head.classifier.bias.data = torch.tensor([3.0, 0.0])
    return model.eval()


@torch.no_grad()
def test_a_clips_result_has_a_map_and_instances_for_each_frame(small_cfg):
    model = make_confident(build_model(small_cfg()))
    clip = {**make_clip(height=48, width=64), "height": 96, "width": 128}
    (result,) = model([clip])
    assert result["sem_seg"].shape == (T, 1, 96, 128) and result["sem_seg"].dtype == torch.float32
    assert 0 <= result["sem_seg"].min() and 0 < result["sem_seg"].max() <= 1
    assert len(result["instances"]) == T
    for soft_map, instances in zip(result["sem_seg"], result["instances"]):
        assert instances.image_size == (96, 128)
        assert set(instances.get_fields()) == {"pred_masks", "scores", "pred_classes", "query_index"}
        assert torch.equal(instances.pred_masks.any(0), soft_map[0] > 0.5)


@torch.no_grad()
@pytest.mark.parametrize("context", ["clip", "frame"])
def test_clips_and_frames_do_not_see_each_other(small_cfg, context):
    model = make_confident(build_model(small_cfg("MODEL.TRANSAVS.AUDIO_CONTEXT", context)))
    clips = [make_clip(seed=1), make_clip(num_frames=2, seconds=[1, 3], seed=2)]
    together = model(clips)
    for clip, result in zip(clips, together):
        for i, second in enumerate(clip["frame_indices"]):
            alone = {**clip, "images": clip["images"][i : i + 1], "frame_indices": second[None]}
            torch.testing.assert_close(model([alone])[0]["sem_seg"][0], result["sem_seg"][i], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_sound_matters_and_the_order_of_seconds_too(small_cfg):
    model = make_confident(build_model(small_cfg("MODEL.TRANSAVS.AUDIO_CONTEXT", "frame")))
    clip = make_clip(num_frames=1)
    moved = {**clip, "frame_indices": torch.tensor([3])}
    other = {**clip, "audio_log_mel": make_clip(seed=5)["audio_log_mel"]}
    original = model([clip])[0]["sem_seg"]
    assert not torch.allclose(original, model([moved])[0]["sem_seg"], atol=1e-4)
    assert not torch.allclose(original, model([other])[0]["sem_seg"], atol=1e-4)


@torch.no_grad()
def test_frames_of_different_sizes_share_a_batch(small_cfg):
    model = make_confident(build_model(small_cfg()))
    small, large = make_clip(1, height=32, width=64, seed=1), make_clip(1, height=64, width=64, seed=2)
    results = model([small, large])
    assert [result["sem_seg"].shape for result in results] == [(1, 1, 32, 64), (1, 1, 64, 64)]


@torch.no_grad()
def test_an_embedding_replaces_the_audio_backbone(small_cfg):
    model = make_confident(build_model(small_cfg()))
    clip = make_clip()
    embedded = {key: value for key, value in clip.items() if key != "audio_log_mel"}
    embedded["audio_embedding"] = model.audio_backbone(clip["audio_log_mel"])
    both = model([embedded, clip])
    torch.testing.assert_close(both[0]["sem_seg"], both[1]["sem_seg"], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_a_single_image_is_a_silent_frame_without_the_leading_axis(small_cfg, caplog):
    from detectron2.utils import logger as detectron2_logger

    detectron2_logger._LOG_COUNTER.clear()
    model = make_confident(build_model(small_cfg()))
    image = make_clip(1)["images"][0]
    with caplog.at_level(logging.WARNING):
        single = model([{"image": image, "height": 80, "width": 90}])[0]
        model([{"image": image}])
    warnings = [record for record in caplog.records if "taken as silence" in record.message]
    assert len(warnings) == 1
    assert single["sem_seg"].shape == (1, 80, 90)
    assert single["instances"].image_size == (80, 90)
    clip = {
        "images": image[None],
        "frame_indices": torch.tensor([0]),
        "height": 80,
        "width": 90,
        "audio_log_mel": torch.full((T, *EXAMPLE_SHAPE), SILENCE),
    }
    torch.testing.assert_close(model([clip])[0]["sem_seg"][0], single["sem_seg"])


def test_detectron2s_default_predictor_works_untouched(small_cfg, tmp_path):
    cfg = small_cfg("DATASETS.TEST", ())
    DetectionCheckpointer(make_confident(build_model(cfg)), str(tmp_path)).save("model")
    cfg.MODEL.WEIGHTS = str(tmp_path / "model.pth")
    image = make_clip(1, height=60, width=80)["images"][0].permute(1, 2, 0).numpy()
    result = DefaultPredictor(cfg)(image)
    assert result["sem_seg"].shape == (1, 60, 80)
    assert result["sem_seg"].max() > 0


@pytest.mark.parametrize("objects", [0, 1])
@pytest.mark.parametrize("context", ["clip", "frame"])
def test_every_parameter_gets_a_gradient(small_cfg, objects, context):
    model = build_model(small_cfg("MODEL.TRANSAVS.AUDIO_CONTEXT", context)).train()
    sum(model([make_clip(2, objects=objects), make_clip(1, objects=objects, seed=3)]).values()).backward()
    missing = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert missing == []  # with several GPUs a parameter without one stops the training


@pytest.mark.parametrize("pixel_decoder", ["FPNPixelDecoder", "MSDeformAttnPixelDecoder"])
@pytest.mark.parametrize("backbone", ["build_resnet_backbone", "build_timm_backbone"])
def test_gradient_checkpointing_keeps_less_and_changes_nothing(small_cfg, backbone, pixel_decoder):
    kept, found = [], []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        model = build_model(
            small_cfg(
                "MODEL.GRADIENT_CHECKPOINTING",
                checkpointing,
                "MODEL.BACKBONE.NAME",
                backbone,
                "MODEL.TIMM.NAME",
                "pvt_v2_b0",
                "MODEL.SEM_SEG_HEAD.NAME",
                pixel_decoder,
            )
        ).train()
        kept.append(0)

        def count(tensor):
            kept[-1] += tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            losses = model([make_clip(objects=1)])
        sum(losses.values()).backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert kept[1] < 0.7 * kept[0]
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, rtol=1e-3, atol=1e-5)


def test_the_thresholds_rise_with_the_iteration_of_training(small_cfg):
    model = build_model(
        small_cfg("MODEL.TRANSAVS.THRESHOLD_STEP_ITERS", 10, "MODEL.TRANSAVS.AQML_CONFIDENCE", [0.6, 0.6])
    ).train()
    found = []
    for iteration in (0, 9, 10, 95, 500):
        with EventStorage(iteration) as storage:
            model([make_clip(1, objects=1)])
            found.append(tuple(storage.latest()[f"[metric]delta{number}"][0] for number in (1, 2)))
    step = 0.1 / 18
    assert found == [pytest.approx((d, 0.6)) for d in (0.55, 0.55, 0.55 + step, 0.55 + 9 * step, 0.65)]


def test_clips_with_and_without_sound_share_a_device(small_cfg):
    model = build_model(small_cfg()).to("meta").train()
    heard, silent = (make_clip(1, objects=1, seed=seed) for seed in range(2))
    heard["audio_log_mel"] = heard["audio_log_mel"].to("meta")
    del silent["audio_log_mel"]
    assert model._audio_features([complete_input(clip, T) for clip in (heard, silent)]).device.type == "meta"


def test_deep_supervision_is_a_choice(small_cfg):
    clip = make_clip(1, objects=1)
    losses = []
    for deep in (True, False):
        torch.manual_seed(0)
        losses.append(build_model(small_cfg("MODEL.TRANSAVS.DEEP_SUPERVISION", deep)).train()([clip]))
    assert losses[0]["loss_class"] > 2 * losses[1]["loss_class"]  # three layers against one


@pytest.mark.slow
def test_training_memorises_one_clip(small_cfg):
    model = build_model(small_cfg()).train()
    clip = make_clip(1, objects=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(40):
        optimizer.zero_grad()
        sum(model([clip, clip]).values()).backward()
        optimizer.step()
    model.train()  # batch statistics: running ones need more than 40 steps
    model.training = False
    with torch.no_grad():
        predicted = model([clip, clip])[0]["sem_seg"][0, 0] > 0.5
    truth = clip["instances"][0].gt_masks.tensor[0]
    assert (predicted & truth).sum() / (predicted | truth).sum() > 0.8


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": None}, "needs `images`.*found nothing"),
        ({"images": torch.zeros(5, 1, 8, 8)}, r"found shape \(5, 1, 8, 8\)"),
        ({"audio_log_mel": torch.zeros(6, 1, 96, 64)}, r"\[t, 1, 96, 64\], t .* 1 to 5, found \[6, 1, 96, 64\]"),
        ({"frame_indices": torch.arange(4)}, "for each of the 5 images"),
        ({"frame_indices": torch.arange(1, 6)}, "second from 0 to 4"),
    ],
)
def test_a_bad_input_names_the_key_and_what_was_found(small_cfg, change, message):
    model = build_model(small_cfg()).eval()
    with pytest.raises(ValueError, match=message):
        model([{**make_clip(), **change}])


@pytest.mark.parametrize(
    "key, value",
    [
        ("MODEL.TRANSAVS.AUDIO_QUERY_ENCODER", "Nobody"),
        ("MODEL.TRANSAVS.DECODER", "Nobody"),
        ("MODEL.AUDIO_BACKBONE.NAME", "Nobody"),
    ],
)
def test_an_unregistered_part_names_the_key_and_those_there_are(small_cfg, key, value):
    with pytest.raises(KeyError, match=f"{key} is 'Nobody'.*expected one of"):
        build_model(small_cfg(key, value))
