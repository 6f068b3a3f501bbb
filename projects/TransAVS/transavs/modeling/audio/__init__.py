from .registry import AUDIO_BACKBONE_REGISTRY, AudioBackbone, build_audio_backbone
from .timm_audio import TimmAudioBackbone
from .vggish import VGGish

__all__ = [
    "AUDIO_BACKBONE_REGISTRY",
    "AudioBackbone",
    "TimmAudioBackbone",
    "VGGish",
    "build_audio_backbone",
]
