from .attention_record import AttentionRecord, record_attention
from .decoder import AudioVisualDecoder, build_audio_visual_decoder
from .encoder import AudioQueryEncoder, LearnedQueryEncoder, build_audio_query_encoder

__all__ = [
    "AttentionRecord",
    "AudioQueryEncoder",
    "AudioVisualDecoder",
    "LearnedQueryEncoder",
    "build_audio_query_encoder",
    "build_audio_visual_decoder",
    "record_attention",
]
