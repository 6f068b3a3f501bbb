"""The parts of the model. Importing this registers them."""

from . import audio, audio_query, backbone, pixel_decoder

__all__ = ["audio", "audio_query", "backbone", "pixel_decoder"]
