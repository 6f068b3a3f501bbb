from .decoder import AudioVisualDecoder, build_audio_visual_decoder
from .encoder import AudioQueryEncoder, build_audio_query_encoder
