"""Sound: resampling, VGGish's log-mel examples and SpecAugment.

The log-mel is the one of Hershey et al., "CNN Architectures for Large-Scale Audio Classification" (ICASSP 2017), with
the numbers of its published reference (`vggish_params.py`), which AVSBench and `torchvggish` use too.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from .sound_files import AudioError
from .sound_files import read_waveform as read_waveform  # its name for users

SAMPLE_RATE = 16000  # hertz
WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
FFT_SAMPLES = 512
NUM_BANDS = 64
LOWEST_HERTZ, HIGHEST_HERTZ = 125.0, 7500.0
LOG_OFFSET = 0.01
SILENCE = math.log(LOG_OFFSET)  # the log-mel of zero samples
EXAMPLE_FRAMES = 96  # of 10 ms: one example is 0.96 s, and the next one starts where it ends
EXAMPLE_SHAPE = (1, EXAMPLE_FRAMES, NUM_BANDS)

CHUNK_FRAMES = 256  # transformed at once

RESAMPLERS = ("resampy", "torchaudio")
# Sound kept beyond the last sample that an example needs, so that the resampler's filter sees what follows it.
_RESAMPLING_MARGIN_SECONDS = 0.1


def resample(waveform: np.ndarray | Tensor, rate: int, target: int = SAMPLE_RATE, resampler: str = "resampy") -> Tensor:
    """Resamples the last axis.

    Args:
        waveform (array or tensor [..., samples])
        rate, target (int): hertz.
        resampler (str): "resampy", as VGGish's reference, or "torchaudio", faster.

    Returns:
        float64 tensor [..., samples * target / rate, rounded down (resampy) or up (torchaudio)]

    Raises:
        AudioError: a rate that is not positive, or fewer samples than make one at `target`.
        ValueError: an unknown resampler.
    """
    if resampler not in RESAMPLERS:
        raise ValueError(f"unknown resampler {resampler!r}, expected one of {', '.join(RESAMPLERS)}")
    if rate <= 0 or target <= 0:
        raise AudioError(f"sample rates are {rate} and {target} Hz, expected positive ones")
    waveform = torch.as_tensor(waveform).to(torch.float64)
    if rate == target:
        return waveform
    num_samples = waveform.shape[-1]
    if num_samples * target < rate:
        raise AudioError(f"{num_samples} sample(s) at {rate} Hz are too short to make one at {target} Hz")
    if resampler == "torchaudio":
        import torchaudio.functional

        return torchaudio.functional.resample(waveform, rate, target)
    import resampy  # imports numba, which takes longer than all the rest: only where it is needed

    return torch.from_numpy(resampy.resample(waveform.cpu().numpy(), rate, target, axis=-1)).to(waveform.device)


def log_mel_examples(
    waveform: np.ndarray | Tensor, sample_rate: int, num_examples: int | None = None, resampler: str = "resampy"
) -> Tensor:
    """VGGish's input from a sound.

    Args:
        waveform (array or tensor [samples] or [B, samples]): mono, in [-1, 1].
        sample_rate (int): hertz; other rates than 16 kHz are resampled.
        num_examples (int or None): so many examples: a shorter sound is padded with silence, a longer one cut. None:
            as many whole ones as the sound holds, at least one (padded).
        resampler (str): see `resample`.

    Returns:
        float32 tensor [n, 1, 96, 64], or [B, n, 1, 96, 64] for a batch: the t-th example starts at 0.96 t seconds

    Raises:
        AudioError: no samples, samples that are not finite, a shape or number of examples that makes no sense.
    """
    waveform = _check_waveform(waveform)
    if num_examples is not None:
        if num_examples < 1:
            raise AudioError(f"{num_examples} examples asked for, expected at least 1")
        waveform = waveform[..., : _needed_samples(num_examples, sample_rate)]
    if sample_rate != SAMPLE_RATE:
        waveform = resample(waveform, sample_rate, SAMPLE_RATE, resampler)
    if num_examples is None:
        num_examples = max(1, _num_frames(waveform.shape[-1]) // EXAMPLE_FRAMES)
    needed = _samples_of(num_examples)
    waveform = waveform[..., :needed]
    if waveform.shape[-1] < needed:  # F.pad copies even where there is nothing to pad
        waveform = F.pad(waveform, (0, needed - waveform.shape[-1]))
    log_mel = log_mel_spectrogram(waveform)  # ... 96n 64
    return log_mel.unflatten(-2, (num_examples, *EXAMPLE_SHAPE[:2]))


@torch.no_grad()
def log_mel_spectrogram(waveform: Tensor) -> Tensor:
    """Log of the mel-weighted magnitude spectrum of 25 ms every 10 ms.

    The transform is in float64, as the reference's: float32's rounding, next to a loud band, shows in the logarithm of
    a quiet one (5e-4, in recordings too). After it, all terms are positive and float32 loses nothing (5e-7).

    Args:
        waveform (tensor [..., samples]): at 16 kHz, 400 samples or more.

    Returns:
        float32 tensor [..., 1 + (samples - 400) // 160, 64]
    """
    clips = waveform.reshape(-1, waveform.shape[-1])
    device, num_frames = waveform.device, _num_frames(waveform.shape[-1])
    log_mel = torch.empty(len(clips), num_frames, NUM_BANDS, device=device)
    window = torch.hann_window(WINDOW_SAMPLES, periodic=True, dtype=torch.float64, device=device)
    mel_matrix = _mel_matrix().to(device)
    # A few frames at a time stay in the processor's cache, and new memory for each step would cost as much as the step.
    most = min(num_frames, CHUNK_FRAMES)
    padded = torch.zeros(most, FFT_SAMPLES, dtype=torch.float64, device=device)
    spectrum = torch.empty(most, FFT_SAMPLES // 2 + 1, dtype=torch.complex128, device=device)
    power = torch.empty(*spectrum.shape, 2, device=device)
    magnitude = torch.empty(spectrum.shape, device=device)
    for clip, clip_log_mel in zip(clips, log_mel):
        windows = clip.to(torch.float64).unfold(-1, WINDOW_SAMPLES, HOP_SAMPLES)  # frames 400
        for frames, result in zip(windows.split(CHUNK_FRAMES), clip_log_mel.split(CHUNK_FRAMES)):
            n = len(frames)
            torch.mul(frames, window, out=padded[:n, :WINDOW_SAMPLES])
            torch.fft.rfft(padded[:n], out=spectrum[:n])
            # By its parts, which is faster than torch's abs() of a complex tensor.
            real, imaginary = power[:n].copy_(torch.view_as_real(spectrum[:n])).square_().unbind(-1)
            torch.add(real, imaginary, out=magnitude[:n]).sqrt_()
            torch.matmul(magnitude[:n], mel_matrix, out=result).add_(LOG_OFFSET).log_()
    return log_mel.unflatten(0, waveform.shape[:-1]) if waveform.ndim > 1 else log_mel[0]


def silent_examples(num_examples: int) -> Tensor:
    """The log-mel of silence. Returns: float32 [num_examples, 1, 96, 64]"""
    return torch.full((num_examples, *EXAMPLE_SHAPE), SILENCE)


def clip_examples(waveform: np.ndarray | Tensor, sample_rate: int, num_examples: int, resampler: str) -> Tensor:
    """A dataset clip's log-mel, as AVSBench's own pickles have it: see `fit_examples`.

    Args:
        waveform (array or tensor [samples])
        sample_rate, num_examples, resampler: see `log_mel_examples`.

    Returns:
        float32 tensor [num_examples, 1, 96, 64]

    Raises:
        AudioError: see `log_mel_examples`.
    """
    waveform = waveform[..., : _needed_samples(num_examples, sample_rate)]
    return fit_examples(log_mel_examples(waveform, sample_rate, None, resampler), num_examples)


def fit_examples(examples: Tensor, num_examples: int) -> Tensor:
    """Repeats the last example, as AVSBench does where a sound is too short for all of them, or cuts.

    Args:
        examples (tensor [n, 1, 96, 64]): n is 1 or more.

    Returns:
        tensor [num_examples, 1, 96, 64]
    """
    return examples[torch.arange(num_examples).clamp(max=len(examples) - 1)]


class SpecAugment:
    """Masks a random stretch of bands and one of frames in each example (Park et al., Interspeech 2019).

    What is masked becomes silence. Draws from torch's global random numbers.

    Args:
        frequency_mask (int): the longest stretch of bands, of 64; 0 masks none.
        time_mask (int): the longest stretch of frames of 10 ms, of 96; 0 masks none.
    """

    def __init__(self, frequency_mask: int, time_mask: int):
        from torchaudio import transforms

        self.maskings: list[Callable[[Tensor, float], Tensor]] = []
        if frequency_mask > 0:
            self.maskings.append(transforms.FrequencyMasking(frequency_mask, iid_masks=True))
        if time_mask > 0:
            self.maskings.append(transforms.TimeMasking(time_mask, iid_masks=True))

    def __call__(self, log_mel: Tensor) -> Tensor:
        """Args and returns: float32 tensor [n, 1, 96, 64]; the argument is left as it was."""
        spectrogram = log_mel.transpose(-1, -2)  # torchaudio wants ... bands frames
        for masking in self.maskings:
            spectrogram = masking(spectrogram, SILENCE)
        return spectrogram.transpose(-1, -2).contiguous()


def _check_waveform(waveform: np.ndarray | Tensor) -> Tensor:
    waveform = torch.as_tensor(waveform)
    if waveform.ndim not in (1, 2):
        raise AudioError(f"waveform has shape {list(waveform.shape)}, expected mono [samples] or [B, samples]")
    if waveform.numel() == 0:
        raise AudioError(f"waveform has shape {list(waveform.shape)}, expected at least one sample")
    if not waveform.is_floating_point():
        raise AudioError(f"waveform has dtype {waveform.dtype}, expected floating point in [-1, 1]")
    if not torch.isfinite(torch.stack(torch.aminmax(waveform))).all():  # NaN is both the least and the greatest
        raise AudioError("waveform holds NaN or infinite samples, expected finite ones in [-1, 1]")
    return waveform


def _num_frames(num_samples: int) -> int:
    return max(0, 1 + (num_samples - WINDOW_SAMPLES) // HOP_SAMPLES)


def _samples_of(num_examples: int) -> int:
    """How many samples the windows of `num_examples` examples span."""
    return (num_examples * EXAMPLE_FRAMES - 1) * HOP_SAMPLES + WINDOW_SAMPLES


def _needed_samples(num_examples: int, sample_rate: int) -> int:
    """How many samples at `sample_rate` are enough for `num_examples` examples."""
    return math.ceil((_samples_of(num_examples) / SAMPLE_RATE + _RESAMPLING_MARGIN_SECONDS) * sample_rate)


def _hertz_to_mel(hertz: Tensor) -> Tensor:
    return 1127.0 * torch.log1p(hertz / 700.0)  # HTK's formula


@lru_cache(maxsize=1)
def _mel_matrix() -> Tensor:
    """Weights of the mel bands: triangles that are linear in mel, half of one overlapping the next.

    Returns:
        float32 tensor [257, 64]
    """
    bins = _hertz_to_mel(torch.linspace(0.0, SAMPLE_RATE / 2, FFT_SAMPLES // 2 + 1, dtype=torch.float64))[:, None]
    ends = _hertz_to_mel(torch.tensor([LOWEST_HERTZ, HIGHEST_HERTZ], dtype=torch.float64))
    edges = torch.linspace(ends[0].item(), ends[1].item(), NUM_BANDS + 2, dtype=torch.float64)
    lower, center, upper = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - lower) / (center - lower)  # 257 64
    falling = (upper - bins) / (upper - center)
    return torch.minimum(rising, falling).clamp(min=0.0).to(torch.float32)
