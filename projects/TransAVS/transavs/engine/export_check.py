"""Whether an exported file does what its model does."""

from collections.abc import Callable

import torch
from detectron2.config import CfgNode
from detectron2.data import DatasetCatalog
from torch import nn
from torch.nn import functional as F

from ..data import AVSDatasetError
from ..data.audio import EXAMPLE_SHAPE
from ..data.mapper import AVSDatasetMapper

LARGEST_DIFFERENCE = 1e-3  # of a probability, from the model's own
Clip = tuple[torch.Tensor, torch.Tensor]  # images uint8 [T, 3, H, W], log-mel float32 [T, 1, 96, 64]


class ExportError(RuntimeError):
    """What was written does not do what the model does."""


def noise_clip(cfg: CfgNode, size: tuple[int, int]) -> Clip:
    """A clip of noise, the same each time; its frames are of `size` (H, W)."""
    generator, seconds = torch.Generator().manual_seed(0), cfg.MODEL.TRANSAVS.NUM_FRAMES
    images = torch.randint(0, 256, (seconds, 3, *size), dtype=torch.uint8, generator=generator)
    return images, torch.randn(seconds, *EXAMPLE_SHAPE, generator=generator)


def clip_to_compare_on(cfg: CfgNode, size: tuple[int, int]) -> tuple[str, Clip]:
    """What it is, and the first clip of DATASETS.TEST, its frames brought to `size`; noise where there is none."""
    try:
        name = cfg.DATASETS.TEST[0]
        clip = AVSDatasetMapper(cfg, is_train=False, embeddings=None)(DatasetCatalog.get(name)[0])
    except (AVSDatasetError, IndexError, KeyError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        return f"noise, for want of a clip of DATASETS.TEST ({reason})", noise_clip(cfg, size)
    images = F.interpolate(clip["images"].float(), size=size, mode="bilinear", align_corners=False)
    return f"clip {clip['video_id']} of {name}", (images.round().byte(), clip["audio_log_mel"])


@torch.no_grad()
def compare_with_model(
    model: nn.Module, run: Callable[[str, torch.Tensor, torch.Tensor], torch.Tensor], path: str, clip: Clip
) -> tuple[float, float]:
    """Runs the file and the model, on the whole clip and on its first frame alone.

    Args:
        model: in evaluation mode.
        run: gives the map of a file for a clip.
        path: the file.
        clip: to run them on.

    Returns:
        the largest difference between the maps, and the largest value of the model's.
    """
    images, audio_log_mel = clip
    expected = model([{"images": images, "audio_log_mel": audio_log_mel}])[0]["sem_seg"]
    images, audio_log_mel = images.to(expected.device), audio_log_mel.to(expected.device)
    differences = [
        (run(path, images[:frames], audio_log_mel) - expected[:frames]).abs().max() for frames in (len(images), 1)
    ]
    return torch.stack(differences).max().item(), expected.max().item()


def check_difference(difference: float) -> None:
    """Raises: ExportError, where a file differs from its model by more than LARGEST_DIFFERENCE."""
    if not difference <= LARGEST_DIFFERENCE:  # nor may it be NaN
        raise ExportError(f"differs from the model by {difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}")
