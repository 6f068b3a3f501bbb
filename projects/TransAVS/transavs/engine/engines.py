"""What computes a trained model's forward pass: PyTorch as it is, compiled, or ONNX Runtime."""

import hashlib
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from detectron2.config import CfgNode
from torch import Tensor, nn

from ..export import write_onnx
from ..inference import Size
from ..model import FusedQueries, TransAVS
from ..weights.comparing import digest_of

ENGINES = ("eager", "compile", "onnxruntime")
GRAPH_INPUTS, GRAPH_OUTPUTS = ("images", "audio_features", "seconds"), ("audio_queries", "fused", "projected")

logger = logging.getLogger(__name__)
Fuse = Callable[[Sequence[Tensor], Tensor, Tensor, Tensor], FusedQueries]


def use_engine(model: TransAVS, cfg: CfgNode, engine: str) -> None:
    """Lets an engine compute `model.fuse`, all but the audio backbone and the masks of what sounds. In place.

    Args:
        model: in evaluation mode.
        cfg: what it was built of.
        engine: "eager"; "compile", by torch.compile, which needs a C++ compiler on CPUs and a minute for the first clip
            of each size; or "onnxruntime", on CPUs, for one clip at a time. That writes a graph for each size of
            frames, below `$XDG_CACHE_HOME/transavs/graphs` or `~/.cache`, and finds it there the next time.

    Raises:
        ValueError: there is no such engine, or it is not for the model's device.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine is {engine!r}, expected one of: {', '.join(ENGINES)}")
    if engine == "compile":
        model.fuse = torch.compile(model.fuse)  # type: ignore[method-assign]
    elif engine == "onnxruntime":
        if model.device.type != "cpu":
            raise ValueError(f"engine is 'onnxruntime', which is for the CPU, and MODEL.DEVICE is {model.device}")
        model.fuse = OnnxRuntimeFuse(model, cfg)  # type: ignore[method-assign]


class FuseGraph(nn.Module):
    """`TransAVS.fuse` of one clip, of the last decoder layer alone, as a graph of tensors."""

    def __init__(self, fuse: Fuse, model: TransAVS):
        super().__init__()
        self.fuse, self.model = fuse, model

    def forward(self, images: Tensor, audio_features: Tensor, seconds: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """
        Args:
            images (Tensor): float [F, 3, H, W], of 255.
            audio_features (Tensor): F_a, [T, C].
            seconds (Tensor): int64 [F].

        Returns:
            A_q and F_av, [F, N, d] each, and W2 f4, [F, d, h, w].
        """
        outputs = self.fuse([images], audio_features[None], torch.zeros_like(seconds), seconds)
        return outputs.audio_queries, outputs.fused[-1], outputs.projected


class OnnxRuntimeFuse:
    """`TransAVS.fuse` by ONNX Runtime, in as many threads as PyTorch has; for each size of frames a graph of its own.

    Args:
        model: in evaluation mode, on the CPU.
        cfg: what it was built of.
    """

    def __init__(self, model: TransAVS, cfg: CfgNode):
        self.graph = FuseGraph(model.fuse, model)
        self._key = _digest(model, cfg)
        self._sessions: dict[Size, Any] = {}

    def __call__(
        self, images: Sequence[Tensor], audio_features: Tensor, clip_of_frame: Tensor, second_of_frame: Tensor
    ) -> FusedQueries:
        """As `TransAVS.fuse`, for one clip; `fused` is of the last layer alone."""
        (clip,) = images
        values = clip.float(), audio_features[0], second_of_frame
        size = clip.shape[-2], clip.shape[-1]
        if size not in self._sessions:
            self._sessions[size] = self._load(size, audio_features[0])
        given = {name: value.numpy() for name, value in zip(GRAPH_INPUTS, values)}
        queries, fused, projected = map(torch.from_numpy, self._sessions[size].run(GRAPH_OUTPUTS, given))
        return FusedQueries(queries, [fused], projected, self.graph.model.padded_size(images))

    def _load(self, size: Size, audio_features: Tensor) -> Any:
        import onnxruntime  # not needed by the other engines

        path = _graphs_folder() / f"{self._key}_{size[0]}x{size[1]}.onnx"
        if not path.exists():
            logger.info("Writing the graph for frames of %d x %d, once: %s", size[1], size[0], path)
            self._write(size, audio_features, path)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads with nothing to do leave the cores to a video's decoder and encoder, which work meanwhile.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def _write(self, size: Size, audio_features: Tensor, path: Path) -> None:
        length = len(audio_features)
        inputs = torch.zeros(length, 3, *size), audio_features, torch.arange(length)
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}.part")
        frames = torch.export.Dim("frames", min=1, max=length)
        write_onnx(self.graph, inputs, partial, GRAPH_INPUTS, GRAPH_OUTPUTS, ({0: frames}, {}, {0: frames}))
        os.replace(partial, path)


def _graphs_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transavs" / "graphs"


def _digest(model: TransAVS, cfg: CfgNode) -> str:
    """Of all that a graph is made of: weights, config, and the versions of this code's and PyTorch's ways."""
    made_of = f"1 {torch.__version__} {cfg.MODEL.dump()} {digest_of(model.state_dict())}"
    return hashlib.sha256(made_of.encode()).hexdigest()[:32]
