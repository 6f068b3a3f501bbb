"""The model as one graph of tensors, from frames and sound to the map, for programs without Python or this package."""

import logging
import os
import warnings
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .inference import SEMANTIC_MAPS, FrameSizes, Size
from .model import TransAVS
from .modeling.mask_head import mask_logits

INPUT_NAMES, OUTPUT_NAME = ("images", "audio_log_mel"), "sem_seg"
ONNX_OPSET = 20


class ClipSegmenter(nn.Module):
    """A trained `TransAVS` of one clip in evaluation, tensors in and out; frame i shows second i of the sound.

    It takes the model's own steps. In evaluation the model makes only the masks of queries that sound; here all of them
    are made, so that the steps can be traced. The frames' size becomes part of a traced graph, their number does not.
    """

    def __init__(self, model: TransAVS, size: Size):
        """
        Args:
            model (TransAVS): in evaluation mode.
            size (Size): H and W of the frames; others are an error.
        """
        super().__init__()
        self.model = model
        self.size = size[0], size[1]
        self.train(model.training)

    def forward(self, images: Tensor, audio_log_mel: Tensor) -> Tensor:
        """
        Args:
            images (Tensor): F <= T frames, uint8 or float of 255, in the config's channel order: [F, 3, H, W].
            audio_log_mel (Tensor): float32 [T, 1, 96, 64].

        Returns:
            Tensor: the soft map of TEST.SEMANTIC_MAP, float32 [F, NUM_CLASSES, H, W] in [0, 1].
        """
        images = images.expand(-1, 3, *self.size)  # of another size it fails, in a traced graph too
        seconds = torch.arange(images.shape[0], device=images.device)
        audio_features = self.model.audio_backbone(audio_log_mel)[None]  # 1 T C
        outputs = self.model.fuse([images], audio_features, torch.zeros_like(seconds), seconds)
        class_logits = self.model.mask_head.class_logits(outputs.fused[-1])
        masks = mask_logits(outputs.fused[-1], outputs.projected)
        soft_map = SEMANTIC_MAPS[self.model.semantic_map]
        return soft_map(class_logits, masks, FrameSizes(outputs.padded_size, self.size, self.size))


@torch.no_grad()
def export_torchscript(segmenter: ClipSegmenter, images: Tensor, audio_log_mel: Tensor, path: str) -> None:
    """Writes a TorchScript file, which `torch.jit.load` reads where PyTorch alone is installed.

    It runs on the device that it was traced on, and takes images of uint8 and of float.

    Args:
        segmenter (ClipSegmenter): in evaluation mode.
        images (Tensor), audio_log_mel (Tensor): a clip, for the shapes; at least two frames.
        path (str): the file.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the frames' size becomes constant, and that PyTorch has newer ways
        traced = torch.jit.trace(segmenter, (images, audio_log_mel), check_trace=False)
        torch.jit.save(traced, path)


def export_onnx(segmenter: ClipSegmenter, images: Tensor, audio_log_mel: Tensor, path: str) -> None:
    """Writes an ONNX file with its weights in it, for float images. Arguments as for `export_torchscript`."""
    frames = torch.export.Dim("frames", min=1, max=len(audio_log_mel))
    inputs = images.float(), audio_log_mel
    write_onnx(segmenter, inputs, path, INPUT_NAMES, (OUTPUT_NAME,), ({0: frames}, {}))


@torch.no_grad()
def write_onnx(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    path: str | os.PathLike[str],
    input_names: Sequence[str],
    output_names: Sequence[str],
    dynamic_shapes: Any,
) -> None:
    """Writes an ONNX file with its weights in it.

    Args:
        graph: of tensors, in evaluation mode.
        inputs: an example of them.
        path: the file.
        input_names, output_names: of its tensors in the file.
        dynamic_shapes: of the inputs, as `torch.export.export` takes them.
    """
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of each constant that it leaves as it is
    torch.onnx.export(
        graph,
        inputs,
        os.fspath(path),
        dynamo=True,
        opset_version=ONNX_OPSET,
        external_data=False,
        input_names=list(input_names),
        output_names=list(output_names),
        dynamic_shapes=dynamic_shapes,
        verbose=False,
    )


def run_torchscript(path: str, images: Tensor, audio_log_mel: Tensor) -> Tensor:
    """What the file gives for a clip: float32 [F, NUM_CLASSES, H, W]."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(path, map_location=images.device)(images, audio_log_mel)


def run_onnx(path: str, images: Tensor, audio_log_mel: Tensor) -> Tensor:
    """What the file gives for a clip, by ONNX Runtime on the CPU: float32 [F, NUM_CLASSES, H, W]."""
    import onnxruntime  # not needed for anything else

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = dict(zip(INPUT_NAMES, (images.float().cpu().numpy(), audio_log_mel.cpu().numpy())))
    return torch.from_numpy(session.run([OUTPUT_NAME], inputs)[0])
