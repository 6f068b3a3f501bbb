"""The model as one graph of tensors, from frames and sound to the map, for programs without Python or this package."""

import logging
import warnings

import torch
from torch import nn
from torch.nn import functional as F

from .modeling.mask_head import mask_logits

INPUT_NAMES, OUTPUT_NAME = ("images", "audio_log_mel"), "sem_seg"
ONNX_OPSET = 20


class ClipSegmenter(nn.Module):
    """A trained `TransAVS` of one clip in evaluation, tensors in and out; frame i shows second i of the sound.

    What takes another way in `inference.py`, where only the queries that sound are looked at, takes the same steps here
    for any input, so that it can be traced. The frames' size becomes part of a traced graph, their number does not.
    """

    def __init__(self, model, size):
        """
        Args:
            model (TransAVS): in evaluation mode.
            size (tuple[int, int]): H and W of the frames; others are an error.
        """
        super().__init__()
        self.model = model
        self.size = tuple(size)
        divisor = max(model.backbone.size_divisibility, model.pixel_decoder.size_divisibility)
        self.padded_size = tuple(side + -side % divisor for side in size)
        self.train(model.training)

    def forward(self, images, audio_log_mel):
        """
        Args:
            images (Tensor): F <= T frames, uint8 or float of 255, in the config's channel order: [F, 3, H, W].
            audio_log_mel (Tensor): float32 [T, 1, 96, 64].

        Returns:
            Tensor: the soft map (eq. 14, 15), float32 [F, NUM_CLASSES, H, W] in [0, 1].
        """
        model, (height, width) = self.model, self.size
        images = images.expand(-1, 3, height, width)  # of another size it fails, in a traced graph too
        frames = (images - model.pixel_mean) / model.pixel_std
        frames = F.pad(frames, (0, self.padded_size[1] - width, 0, self.padded_size[0] - height))
        seconds = torch.arange(images.shape[0], device=images.device)

        audio_features = model.audio_backbone(audio_log_mel)[None]  # 1 T C
        _, fused, projected = model.fuse(frames, audio_features, torch.zeros_like(seconds), seconds)
        masks = mask_logits(fused[-1], projected)
        masks = F.interpolate(masks, size=self.padded_size, mode="bilinear", align_corners=False)
        return dense_sounding_maps(model.mask_head.class_logits(fused[-1]), masks[..., :height, :width])


def dense_sounding_maps(class_logits, mask_logits):
    """`inference.sounding_map` of F frames at once, over all queries: one that does not sound takes part with score 0.

    Args:
        class_logits (Tensor): [F, N, K], the last class being no object.
        mask_logits (Tensor): masks before the sigmoid, [F, N, H, W].

    Returns:
        Tensor: float32 [F, K - 1, H, W] in [0, 1].
    """
    num_classes = class_logits.shape[-1] - 1
    probability, classes = class_logits.float().softmax(-1).max(-1)  # F N
    scores = probability * (classes < num_classes)
    product, owner = (scores[..., None, None] * mask_logits.float().sigmoid()).max(1)  # F H W
    class_of_pixel = classes.gather(1, owner.flatten(1)).view_as(owner)
    channels = torch.arange(num_classes, device=classes.device)[:, None, None]
    return product[:, None] * (class_of_pixel[:, None] == channels)


@torch.no_grad()
def export_torchscript(segmenter, images, audio_log_mel, path):
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


@torch.no_grad()
def export_onnx(segmenter, images, audio_log_mel, path):
    """Writes an ONNX file with its weights in it, for float images. Arguments as for `export_torchscript`."""
    logging.getLogger("onnxscript").setLevel(logging.ERROR)  # it warns of each constant that it leaves as it is
    frames = torch.export.Dim("frames", min=1, max=len(audio_log_mel))
    torch.onnx.export(
        segmenter,
        (images.float(), audio_log_mel),
        path,
        dynamo=True,
        opset_version=ONNX_OPSET,
        external_data=False,
        input_names=list(INPUT_NAMES),
        output_names=[OUTPUT_NAME],
        dynamic_shapes=({0: frames}, {}),
        verbose=False,
    )


def run_torchscript(path, images, audio_log_mel):
    """What the file gives for a clip: float32 [F, NUM_CLASSES, H, W]."""
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return torch.jit.load(path, map_location=images.device)(images, audio_log_mel)


def run_onnx(path, images, audio_log_mel):
    """What the file gives for a clip, by ONNX Runtime on the CPU: float32 [F, NUM_CLASSES, H, W]."""
    import onnxruntime  # not needed for anything else

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    inputs = dict(zip(INPUT_NAMES, (images.float().cpu().numpy(), audio_log_mel.cpu().numpy())))
    return torch.from_numpy(session.run([OUTPUT_NAME], inputs)[0])
