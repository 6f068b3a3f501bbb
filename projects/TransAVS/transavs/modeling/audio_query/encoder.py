"""Audio queries: the sound disentangled (eq. 1) and refined by self-attention (eq. 2, 3)."""

from typing import Any

import torch
from detectron2.config import CfgNode, configurable
from torch import Tensor, nn

from ..layers import AttentionLayer, FeedForwardLayer
from ..registries import AUDIO_QUERY_ENCODER_REGISTRY, registered

AUDIO_CONTEXTS = ("clip", "frame")


def build_audio_query_encoder(cfg: CfgNode, audio_dim: int) -> nn.Module:
    """Builds `MODEL.TRANSAVS.AUDIO_QUERY_ENCODER` for audio features of width `audio_dim`."""
    key = "MODEL.TRANSAVS.AUDIO_QUERY_ENCODER"
    return registered(AUDIO_QUERY_ENCODER_REGISTRY, cfg.MODEL.TRANSAVS.AUDIO_QUERY_ENCODER, key)(cfg, audio_dim)


@AUDIO_QUERY_ENCODER_REGISTRY.register()
class AudioQueryEncoder(nn.Module):
    """A_q^0 = W1 F_a, then N1 layers of self-attention and FFN over the N queries (eq. 1-3).

    Two contexts: with "clip", as the paper prints it, all frames of a clip share one set of queries. With "frame" each
    frame has its own: W1 then has a column for each of the 2T - 1 distances in seconds between a piece of sound and
    the frame, of which a frame meets T, so that the model knows what sounds in the frame's own second.
    """

    @configurable
    def __init__(
        self,
        audio_dim: int,
        *,
        num_frames: int,
        num_queries: int,
        dim: int,
        num_layers: int,
        num_heads: int,
        feedforward_dim: int,
        dropout: float = 0.0,
        audio_context: str = "clip",
    ):
        """
        Args:
            audio_dim (int): width of the audio features (128 for VGGish).
            num_frames (int): T, seconds of sound in a clip.
            num_queries (int): N.
            dim (int): d.
            num_layers (int): N1.
            num_heads (int), feedforward_dim (int), dropout (float): of each layer.
            audio_context (str): "clip" or "frame".
        """
        super().__init__()
        if audio_context not in AUDIO_CONTEXTS:
            raise ValueError(f"MODEL.TRANSAVS.AUDIO_CONTEXT is {audio_context!r}, expected one of {AUDIO_CONTEXTS}")
        self.num_frames = num_frames
        self.audio_context = audio_context
        self.audio_projection = nn.Linear(audio_dim, dim)
        seconds = num_frames if audio_context == "clip" else 2 * num_frames - 1
        self.disentangle = nn.Linear(seconds, num_queries, bias=False)  # W1
        self.query_positions = nn.Parameter(torch.empty(num_queries, dim))
        nn.init.normal_(self.query_positions)
        self.self_attention = nn.ModuleList(AttentionLayer(dim, num_heads, dropout) for _ in range(num_layers))
        self.feed_forward = nn.ModuleList(FeedForwardLayer(dim, feedforward_dim, dropout) for _ in range(num_layers))

    @classmethod
    def from_config(cls, cfg: CfgNode, audio_dim: int) -> dict[str, Any]:
        keys = cfg.MODEL.TRANSAVS
        return {
            "audio_dim": audio_dim,
            "num_frames": keys.NUM_FRAMES,
            "num_queries": keys.NUM_QUERIES,
            "dim": keys.HIDDEN_DIM,
            "num_layers": keys.ENC_LAYERS,
            "num_heads": keys.NHEADS,
            "feedforward_dim": keys.DIM_FEEDFORWARD,
            "dropout": keys.DROPOUT,
            "audio_context": keys.AUDIO_CONTEXT,
        }

    def forward(self, audio_features: Tensor, clip_of_frame: Tensor, second_of_frame: Tensor) -> Tensor:
        """
        Args:
            audio_features (Tensor): F_a, [B, T, audio_dim].
            clip_of_frame (Tensor): int64 [F], which of the B clips each frame belongs to.
            second_of_frame (Tensor): int64 [F], which of its clip's T seconds each frame shows.

        Returns:
            Tensor: A_q, [F, N, d]: the audio queries of each frame.
        """
        audio = self.audio_projection(audio_features)  # B T d
        if self.audio_context == "clip":
            return self._refine(self.disentangle.weight @ audio)[clip_of_frame]
        w1 = self.disentangle.weight[:, self._columns_around(second_of_frame)].transpose(0, 1)  # F N T
        return self._refine(w1 @ audio[clip_of_frame])

    def _columns_around(self, second_of_frame: Tensor) -> Tensor:
        """Which of the 2T - 1 distances each frame meets, [F, T]: T - 1 stands for the frame's own second."""
        seconds = torch.arange(self.num_frames, device=second_of_frame.device)
        return seconds[None] - second_of_frame[:, None] + self.num_frames - 1

    def _refine(self, queries: Tensor) -> Tensor:
        for self_attention, feed_forward in zip(self.self_attention, self.feed_forward):
            queries = self_attention(queries, queries, self.query_positions, self.query_positions)
            queries = feed_forward(queries)
        return queries


@AUDIO_QUERY_ENCODER_REGISTRY.register()
class LearnedQueryEncoder(AudioQueryEncoder):
    """What audio queries are to be better than: queries that are learned, as Mask2Former's, and then hear the sound.

    One layer of cross-attention to F_a stands in the place of W1 F_a (eq. 1); all else is `AudioQueryEncoder`'s.
    """

    @configurable
    def __init__(self, audio_dim: int, **keys: Any):
        """Args: those of `AudioQueryEncoder`."""
        super().__init__(audio_dim, **keys)
        num_queries, dim = self.query_positions.shape
        seconds = self.disentangle.in_features
        del self.disentangle
        self.queries = nn.Parameter(torch.empty(num_queries, dim))
        self.second_positions = nn.Parameter(torch.empty(seconds, dim))  # which second, or how far from the frame's own
        for parameter in (self.queries, self.second_positions):
            nn.init.normal_(parameter)
        self.audio_attention = AttentionLayer(dim, keys["num_heads"], keys.get("dropout", 0.0))

    def forward(self, audio_features: Tensor, clip_of_frame: Tensor, second_of_frame: Tensor) -> Tensor:
        """As `AudioQueryEncoder.forward`."""
        audio = self.audio_projection(audio_features)  # B T d
        if self.audio_context == "clip":
            return self._refine(self._listen(audio, self.second_positions))[clip_of_frame]
        seconds = self.second_positions[self._columns_around(second_of_frame)]  # F T d
        return self._refine(self._listen(audio[clip_of_frame], seconds))

    def _listen(self, audio: Tensor, second_positions: Tensor) -> Tensor:
        queries = self.queries.expand(len(audio), -1, -1)
        heard: Tensor = self.audio_attention(queries, audio, self.query_positions, second_positions)
        return heard
