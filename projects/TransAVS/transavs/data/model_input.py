"""What the model takes of a clip, checked and made complete."""

import logging
from typing import Any

import torch
from detectron2.utils.logger import log_first_n

from .audio import EXAMPLE_SHAPE, silent_examples

ModelInput = dict[str, Any]


def complete_input(given: ModelInput, num_frames: int) -> ModelInput:
    """A model input with `images`, `frame_indices`, `height`, `width` and a sound, whatever it came with.

    Args:
        given (dict): as for `TransAVS.forward`; it is not changed.
        num_frames (int): T, seconds of sound in a clip.

    Raises:
        ValueError: it does not fit; the message names the key.
    """
    clip = dict(given)
    if "image" in given:
        clip["images"] = given["image"][None]
    images = clip.get("images")
    if images is None or images.dim() != 4 or images.shape[1] != 3:
        found = "nothing" if images is None else f"shape {tuple(images.shape)}"
        raise ValueError(f"a model input needs `images` [F, 3, H, W] or `image` [3, H, W], found {found}")
    clip.setdefault("frame_indices", torch.arange(len(images)))
    clip.setdefault("height", images.shape[2])
    clip.setdefault("width", images.shape[3])
    seconds = clip["frame_indices"].tolist()
    if len(seconds) != len(images) or not all(0 <= second < num_frames for second in seconds):
        raise ValueError(
            f"`frame_indices` must give a second from 0 to {num_frames - 1} for each of the {len(images)} "
            f"images, found {seconds}"
        )
    if "audio_embedding" not in clip:
        if "audio_log_mel" not in clip:
            log_first_n(logging.WARNING, "An input has no sound: it is taken as silence.", n=1, key="message")
            clip["audio_log_mel"] = silent_examples(num_frames)
        shape = tuple(clip["audio_log_mel"].shape)
        if shape[1:] != EXAMPLE_SHAPE or not 1 <= shape[0] <= num_frames:
            expected = f"[t, {', '.join(map(str, EXAMPLE_SHAPE))}], t being 1 to {num_frames}"
            raise ValueError(f"`audio_log_mel` must have the shape {expected}, found {list(shape)}")
    return clip
