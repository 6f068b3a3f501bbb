"""The sounds' features F_a, computed ahead by a frozen audio backbone: `tools/embed_audio.py` writes them.

A sound is known by what its file holds, not by its name, and the whole file of features by the audio settings and the
digest of the weights: features of something else than what training and evaluation would compute are never used.
"""

import hashlib
import logging
import os
from typing import Any

from detectron2.config import CfgNode
from detectron2.utils.logger import log_first_n
from safetensors import SafetensorError, safe_open
from torch import Tensor

from .errors import AVSDatasetError, one_line, reason_of
from .layout import FilePath

KEY = "INPUT.AUDIO.EMBEDDINGS"
SETTINGS, WEIGHTS = "settings", "weights"  # of the file's metadata
VERSION = 1  # of how a sound becomes log-mel examples: to be raised where that changes


def sound_key(clip: dict[str, Any]) -> str:
    """Of what the file of a dataset dict's sound holds, and of the clip's seconds. Raises: OSError: unreadable."""
    with open(clip["audio_file_name"], "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{digest}/{clip.get('audio_start', 0)}+{len(clip['file_names'])}"


def audio_settings(cfg: CfgNode) -> str:
    """What the log-mel of a sound depends on beside its file."""
    return f"T {cfg.MODEL.TRANSAVS.NUM_FRAMES}, {cfg.INPUT.AUDIO.RESAMPLER}, {cfg.MODEL.AUDIO_BACKBONE.NAME}, {VERSION}"


class AudioEmbeddings:
    """Features by sound.

    Attributes:
        weights: the digest of the audio backbone's weights that made them.

    Args:
        path: of the file.
        settings: that they must have been made with, see `audio_settings`.

    Raises:
        AVSDatasetError: there is no such file, it is another one, or was made with other settings.
    """

    def __init__(self, path: FilePath, settings: str):
        self.path = os.fspath(path)
        try:
            with safe_open(self.path, framework="pt") as file:
                metadata = file.metadata() or {}
                self._features: dict[str, Tensor] = {key: file.get_tensor(key) for key in file.keys()}
        except (SafetensorError, OSError) as error:
            raise AVSDatasetError(
                f"{KEY} {self.path}: cannot be read ({reason_of(error)}), expected what tools/embed_audio.py wrote"
            ) from error
        found = metadata.get(SETTINGS)
        if found != settings:
            made_with = one_line(f"was made with {found!r}")
            raise AVSDatasetError(f"{KEY} {self.path}: {made_with}, expected {settings!r}: make it anew")
        self.weights = metadata.get(WEIGHTS, "")

    def of(self, clip: dict[str, Any]) -> Tensor | None:
        """Of a dataset dict's sound, [t, C]; None, which is logged once, where its file was not there or another."""
        try:
            features = self._features.get(sound_key(clip))
        except OSError:
            return None  # reading the sound tells what is wrong
        if features is None:
            log_first_n(
                logging.WARNING,
                f"{clip['audio_file_name']}: not in {KEY}, {self.path}: its features are computed, and those of others "
                "that are missing.",
                n=1,
                key="caller",
            )
        return features


def configured_embeddings(cfg: CfgNode, is_train: bool) -> AudioEmbeddings | None:
    """Those that INPUT.AUDIO.EMBEDDINGS names, if it names any.

    Raises:
        AVSDatasetError: as of `AudioEmbeddings`.
        ValueError: sounds or the audio backbone change in training, so that there is nothing to compute ahead.
    """
    audio = cfg.INPUT.AUDIO
    if not audio.EMBEDDINGS:
        return None
    changing = {
        "INPUT.MIXING.PROBABILITY": cfg.INPUT.MIXING.PROBABILITY,
        "INPUT.AUDIO.GAIN": any(audio.GAIN),
        "INPUT.AUDIO.NOISE": any(audio.NOISE),
        "INPUT.AUDIO.FREQUENCY_MASK": audio.FREQUENCY_MASK,
        "INPUT.AUDIO.TIME_MASK": audio.TIME_MASK,
        "MODEL.AUDIO_BACKBONE.FREEZE False": not cfg.MODEL.AUDIO_BACKBONE.FREEZE,
    }
    found = [key for key, on in changing.items() if on]
    if is_train and found:
        raise ValueError(f"{KEY} is set, features computed ahead, but training changes them: {', '.join(found)}")
    return AudioEmbeddings(audio.EMBEDDINGS, audio_settings(cfg))
