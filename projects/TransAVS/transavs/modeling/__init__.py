"""The parts of the model. Importing this registers them."""
from . import audio, audio_query, pixel_decoder
