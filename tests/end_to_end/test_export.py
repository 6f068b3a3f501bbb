"""tools/export_model.py: what it writes does what the model does, without this package."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import export_model
import pytest
import torch
from detectron2.checkpoint import DetectionCheckpointer
from detectron2.config import get_cfg
from detectron2.modeling import build_model

from transavs import add_transavs_config, export
from transavs.engine.export_check import ExportError

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "tools/export_model.py"
CONFIG = "configs/toy/toy_s4_R18.yaml"
EXPORTS = {
    "torchscript": (export.export_torchscript, export.run_torchscript),
    "onnx": (export.export_onnx, export.run_onnx),
}

LOAD_ALONE = """
import sys
sys.modules.update(dict.fromkeys(("transavs", "detectron2"), None))  # an import of them fails
import torch
path, clip = sys.argv[1:]
clip = torch.load(clip)
torch.testing.assert_close(torch.jit.load(path)(*clip["inputs"]), clip["sem_seg"], rtol=0, atol=1e-5)
try:
    torch.jit.load(path)(clip["inputs"][0].transpose(2, 3)[..., :32], clip["inputs"][1])
except RuntimeError as error:
    assert "must match the existing size (32)" in str(error)
else:
    raise AssertionError("frames of another size were taken")
"""


def random_clip(size, num_frames=5, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (num_frames, 3, *size), dtype=torch.uint8, generator=generator)
    return images, torch.randn(5, 1, 96, 64, generator=generator)


@torch.no_grad()
def map_of(model, images, audio_log_mel):
    return model([{"images": images, "audio_log_mel": audio_log_mel}])[0]["sem_seg"]


@torch.no_grad()
def let_some_queries_sound(model, *clip):
    """An untrained model finds nothing; this lets half of its queries sound, so that both kinds are there."""
    logits, classifier = [], model.mask_head.classifier
    torch.nn.init.normal_(classifier.weight)
    classifier.bias.zero_()
    hook = classifier.register_forward_hook(lambda module, inputs, output: logits.append(output))
    map_of(model, *clip)
    hook.remove()
    classifier.bias[-1] = (logits[0][..., 0] - logits[0][..., 1]).median()
    return model


@pytest.fixture
def in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("context", ["clip", "frame"])
@pytest.mark.parametrize("pixel_decoder", ["FPNPixelDecoder", "MSDeformAttnPixelDecoder"])
@pytest.mark.parametrize("size, num_frames", [((64, 64), 5), ((50, 70), 2)])
def test_the_tensors_part_alone_gives_the_models_map(small_model, context, pixel_decoder, size, num_frames):
    clip = random_clip(size, num_frames)
    model = small_model("MODEL.TRANSAVS.AUDIO_CONTEXT", context, "MODEL.SEM_SEG_HEAD.NAME", pixel_decoder)
    expected = map_of(let_some_queries_sound(model, *clip), *clip)
    with torch.no_grad():
        found = export.ClipSegmenter(model, size)(*clip)
    assert expected.max() > 0.2
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def r50():
    """The paper's model on a ResNet-50, with random weights and, to be quick, fewer layers."""
    cfg = get_cfg()
    add_transavs_config(cfg)
    cfg.merge_from_file(str(ROOT / "configs/avs_s4_R50.yaml"))
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "MODEL.TRANSAVS.ENC_LAYERS", 1, "MODEL.TRANSAVS.DEC_LAYERS", 2])
    torch.manual_seed(0)
    return let_some_queries_sound(build_model(cfg).eval(), *random_clip((64, 64)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPORTS)
def test_a_resnet_50_is_exported_for_any_number_of_frames(r50, kind, tmp_path):
    assert_exported(kind, r50, (64, 64), tmp_path / "model")


@pytest.mark.slow
@pytest.mark.parametrize("kind", EXPORTS)
def test_deformable_attention_and_padded_frames_are_exported(small_model, kind, tmp_path):
    size = 72, 100
    model = small_model(
        "MODEL.SEM_SEG_HEAD.NAME",
        "MSDeformAttnPixelDecoder",
        "MODEL.TRANSAVS.AUDIO_CONTEXT",
        "frame",
        "MODEL.SEM_SEG_HEAD.TRANSFORMER_ENC_LAYERS",
        1,
        "MODEL.TRANSAVS.DEC_LAYERS",
        1,
    )
    assert_exported(kind, let_some_queries_sound(model, *random_clip(size)), size, tmp_path / "model")


def assert_exported(kind, model, size, path):
    write, run = EXPORTS[kind]
    write(export.ClipSegmenter(model, size), *random_clip(size), str(path))
    for num_frames, seed in ((5, 1), (1, 2)):
        clip = random_clip(size, num_frames, seed)
        expected = map_of(model, *clip)
        assert expected.max() > 0.2
        torch.testing.assert_close(run(str(path), *clip), expected, rtol=0, atol=1e-4)
    with pytest.raises(Exception, match="match the existing size|invalid dimensions"):
        run(str(path), *random_clip((size[0] + 32, size[1])))


@pytest.mark.slow
def test_the_command_checks_on_a_real_clip_and_its_file_needs_no_package(
    run_script, small_cfg, small_overrides, tmp_path
):
    made = run_script("datasets/prepare_toy.py", "--subset", "s4", "--clips", 1, 1, 1, "--output", tmp_path / "toy")
    assert made.returncode == 0, made.stdout
    clip = random_clip((64, 64), seed=3)
    model = let_some_queries_sound(build_model(small_cfg()).eval(), *clip)
    DetectionCheckpointer(model, str(tmp_path)).save("weights")
    output = tmp_path / "model.pt"
    done = run_script(
        SCRIPT,
        "--config-file",
        CONFIG,
        "--format",
        "torchscript",
        "--output",
        output,
        "MODEL.WEIGHTS",
        tmp_path / "weights.pth",
        *small_overrides,
        DETECTRON2_DATASETS=str(tmp_path),
    )
    assert done.returncode == 0, done.stdout[-3000:]
    compared, wrote = done.stdout.strip().splitlines()[-2:]
    assert compared.startswith("Compared with the model on clip ") and " of toy_s4_test: the largest" in compared
    assert wrote.startswith(f"Wrote {output}: ") and "64 x 64" in wrote

    torch.save({"inputs": clip, "sem_seg": map_of(model, *clip)}, tmp_path / "clip.pt")
    alone = subprocess.run(
        [sys.executable, "-I", "-c", LOAD_ALONE, output, tmp_path / "clip.pt"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert alone.returncode == 0, alone.stderr[-3000:]


def test_a_file_that_differs_from_the_model_is_not_kept(in_root, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(
        export_model.FORMATS,
        "torchscript",
        (export.export_torchscript, lambda *given: 0.01 + export.run_torchscript(*given)),
    )
    with pytest.raises(ExportError, match="differs from the model by 1.0e-02, more than 1e-03"):
        export_model.main(
            [
                "--config-file",
                CONFIG,
                "--format",
                "torchscript",
                "--output",
                str(tmp_path / "model.pt"),
                "DATASETS.TEST",
                "('nobody',)",
            ]
        )
    assert os.listdir(tmp_path) == []
    printed = capsys.readouterr().out
    assert "on noise, for want of a clip of DATASETS.TEST" in printed
    assert "Nothing sounds to this model in that clip" in printed  # its weights are random


@pytest.mark.parametrize(
    "arguments, told",
    [
        (["--config-file", "none.yaml"], "--config-file: no such file: 'none.yaml'"),
        (["--output", "none/new.pt"], "--output none/new.pt: there is no folder none"),
        (["--output", "README.md"], "--output README.md: is already there"),
        (["--format", "onnx"], "--format onnx needs onnxruntime: pip install onnxruntime"),
        (["--format", "coreml"], "invalid choice: 'coreml'"),
    ],
)
def test_wrong_usage_is_told_before_anything_is_built(in_root, monkeypatch, capsys, arguments, told):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "onnxruntime" else find(name))
    with pytest.raises(SystemExit) as error:
        export_model.main(["--config-file", CONFIG, "--format", "torchscript", "--output", "new.pt", *arguments])
    assert error.value.code == 2 and told in capsys.readouterr().err
