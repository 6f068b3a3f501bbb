from .fpn import FPNPixelDecoder
