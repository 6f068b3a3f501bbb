from .fpn import FPNPixelDecoder
from .ms_deform_attn import MSDeformAttnPixelDecoder

__all__ = ["FPNPixelDecoder", "MSDeformAttnPixelDecoder"]
