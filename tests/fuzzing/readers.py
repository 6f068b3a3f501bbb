"""The readers, each with small files that it can read and the errors that it may raise."""

import io
import itertools
import json
import pickle
import zipfile
from functools import partial
from pathlib import Path
from typing import Any

import av
import numpy as np
import safetensors.torch
import soundfile
import torch
from dataset_readers import DATASET_READERS
from forms import Base, Parts, Reader, join_png, png_parts, whole
from PIL import Image

from transavs.config import ConfigError, read_config
from transavs.data.audio_embeddings import SETTINGS, WEIGHTS, AudioEmbeddings
from transavs.data.avsbench import AVSDatasetError
from transavs.data.header_cache import HeaderCache
from transavs.data.mapper import AVSDatasetMapper
from transavs.data.safe_pickle import UnsafePickleError
from transavs.data.sound_files import AudioError
from transavs.video import VideoError, VideoReader
from transavs.visualization.curves import MetricsError, read_metrics
from transavs.visualization.predictions import PredictionsError, load_predictions
from transavs.weights.published import WeightsError
from transavs.weights.reading import read_checkpoint

# ---- A clip's files --------------------------------------------------------------------------------------------------


def pictures(folder: Path, grey_alone: bool = False) -> list[Base]:
    noise = np.random.default_rng(0).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    grey = Image.fromarray(noise[..., 0] // 100)
    for name in ("grey.png", "grey.bmp", "palette.png"):
        (grey.convert("P") if name == "palette.png" else grey).save(folder / name)
    for name in () if grey_alone else ("rgb.png", "photo.jpg", "photo.webp", "bits.png"):
        (grey.convert("1") if name == "bits.png" else Image.fromarray(noise)).save(folder / name)
    chunked = [Base(path.name, png_parts(path.read_bytes()), join_png) for path in sorted(folder.glob("*.png"))]
    return [*chunked, *map(whole, sorted(folder.iterdir()))]


def sounds(folder: Path) -> list[Base]:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 1500)
    soundfile.write(folder / "stereo.wav", np.stack([noise, -noise], axis=1), 16000)
    soundfile.write(folder / "float.wav", noise, 22050, subtype="FLOAT")
    soundfile.write(folder / "mono.flac", noise, 16000)
    soundfile.write(folder / "mono.ogg", noise, 16000)
    return [whole(path) for path in sorted(folder.iterdir())]


def log_mels(folder: Path) -> list[Base]:
    for protocol in (2, 4):
        with open(folder / f"protocol{protocol}.pkl", "wb") as file:
            pickle.dump(torch.zeros(1).expand(1, 1, 96, 64), file, protocol)  # of one value
    return [whole(path) for path in sorted(folder.iterdir())]


class ClipReader:
    """Reads a clip one of whose files is the mutated one: as testing does for a frame, as training for the others."""

    def __init__(self, key: str):
        self.key = key
        targets = "instances" if key == "instance_file_names" else "union"
        is_train = key != "file_names"
        options: dict[str, Any] = {"num_frames": 1, "augmentations": [], "resampler": "torchaudio", "targets": targets}
        self.mapper = AVSDatasetMapper(is_train, **options)

    def __call__(self, path: Path) -> object:
        frame, sound = path.parent / "frame", path.parent / "sound"
        if not frame.exists():
            Image.new("RGB", (6, 6)).save(frame, "png")
            soundfile.write(sound, np.zeros(16000), 16000, format="WAV")
        clip = {"file_names": [frame], "sem_seg_file_names": [frame], "instance_file_names": [frame]}
        clip = {"video_id": "clip", "audio_file_name": str(sound), **clip}
        clip[self.key] = str(path) if self.key == "audio_file_name" else [str(path)]
        return self.mapper(clip)


CLIP_ERRORS = (AVSDatasetError, AudioError, UnsafePickleError)


# ---- Videos ----------------------------------------------------------------------------------------------------------


def videos(folder: Path) -> list[Base]:
    for name, codec, pixels, sound in (
        ("small.mp4", "libx264", "yuv420p", "aac"),
        ("small.mkv", "ffv1", "bgr0", "pcm_s16le"),
        ("small.mov", "mjpeg", "yuvj420p", "pcm_s16le"),
        ("small.webm", "libvpx-vp9", "yuv420p", "libopus"),
    ):
        with av.open(str(folder / name), "w") as container:
            video = container.add_stream(codec, rate=5)
            video.height, video.width, video.pix_fmt = 16, 16, pixels
            audio = container.add_stream(sound, rate=48000 if sound == "libopus" else 16000, layout="mono")
            for level in (20, 200):
                picture = av.VideoFrame.from_ndarray(np.full((16, 16, 3), level, np.uint8), format="rgb24")
                container.mux(video.encode(picture))
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 2048), np.int16), format="s16", layout="mono")
            piece.sample_rate = audio.rate
            container.mux([*audio.encode(piece), *audio.encode(None), *video.encode(None)])
    return [whole(path) for path in sorted(folder.iterdir())]


def read_video(path: Path) -> object:
    """Probes a video, and decodes the first frames and the first of its sound."""
    reader = VideoReader(path)
    for fps in ("source", 1):
        for _ in itertools.islice(reader.sample(fps), 5):
            pass
    return sum(map(len, itertools.islice(reader.audio_blocks(), 50)))


# ---- Weights ---------------------------------------------------------------------------------------------------------


def checkpoints(folder: Path) -> list[Base]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "a.count": torch.tensor(3)}
    content = {"model": state, "iteration": 7, "optimizer": {"state": {0: {"step": 1.0}}}}
    torch.save(content, folder / "archive.pth")
    torch.save(content, folder / "legacy.pth", _use_new_zipfile_serialization=False)
    arrays = {name: value.numpy() for name, value in state.items()}
    for protocol in (2, 5):
        (folder / f"arrays{protocol}.pkl").write_bytes(pickle.dumps({"model": arrays}, protocol))
    with zipfile.ZipFile(folder / "archive.pth") as archive:
        names = archive.namelist()
        entries = [archive.read(name) for name in names]

    def join(parts: Parts) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            for name, part in zip(names, parts):
                archive.writestr(name, part)
        return file.getvalue()

    return [Base("archive.pth", entries, join), *map(whole, sorted(folder.iterdir()))]


def safetensors_files(folder: Path) -> list[Base]:
    data = safetensors.torch.save({"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(2, dtype=torch.float16)})
    length = int.from_bytes(data[:8], "little")

    def join(parts: Parts) -> bytes:
        return len(parts[0]).to_bytes(8, "little") + b"".join(parts)

    return [Base("a.safetensors", [data]), Base("a.safetensors", [data[8 : 8 + length], data[8 + length :]], join)]


def embeddings(folder: Path) -> list[Base]:
    features = {"ab/0+5": torch.arange(10.0).reshape(5, 2)}
    return [Base("sounds.safetensors", [safetensors.torch.save(features, {SETTINGS: "T 5", WEIGHTS: "cd"})])]


# ---- Texts -----------------------------------------------------------------------------------------------------------


def configs(folder: Path) -> list[Base]:
    (folder / "base.yaml").write_text("SEED: 1\nMODEL: {DEVICE: cpu}\n")
    text = """_BASE_: base.yaml
MODEL:
  PIXEL_MEAN: [123.7, 116.3, 103.5]
  TRANSAVS: {NUM_QUERIES: 6, AQDL_CONFIDENCE: &a [0.5, 0.6], AQML_CONFIDENCE: *a}
DATASETS:
  TRAIN: ("toy_s4_train",)
INPUT:
  FORMAT: "RGB"
VERSION: 2
"""
    return [Base("config.yaml", [text.encode()])]


def predictions(folder: Path) -> list[Base]:
    frames = [{"frame_index": 0, "segmentation": {"size": [4, 4], "counts": "04"}}]
    return [Base("predictions.json", [json.dumps({"clips": [{"video_id": "a", "frames": frames}]}).encode()])]


def metrics(folder: Path) -> list[Base]:
    lines = [json.dumps({"iteration": number, "total_loss": 1.5}) for number in range(3)]
    return [Base("metrics.json", ["\n".join(lines).encode()])]


def headers(folder: Path) -> list[Base]:
    return [Base(".headers.json", [json.dumps({"frame.png": [99, 10**18, 6, 6], "mask.png": [70, 0, 6, 6]}).encode()])]


READERS = {
    **DATASET_READERS,
    "frame": Reader(ClipReader("file_names"), pictures, CLIP_ERRORS),
    "mask": Reader(ClipReader("sem_seg_file_names"), pictures, CLIP_ERRORS),
    "instances": Reader(ClipReader("instance_file_names"), partial(pictures, grey_alone=True), CLIP_ERRORS),
    "sound": Reader(ClipReader("audio_file_name"), sounds, CLIP_ERRORS),
    "log_mel": Reader(ClipReader("audio_file_name"), log_mels, CLIP_ERRORS),
    "video": Reader(read_video, videos, (VideoError,)),
    "checkpoint": Reader(read_checkpoint, checkpoints, (WeightsError,)),
    "safetensors": Reader(read_checkpoint, safetensors_files, (WeightsError,)),
    "embeddings": Reader(partial(AudioEmbeddings, settings="T 5"), embeddings, (AVSDatasetError,)),
    "config": Reader(read_config, configs, (ConfigError,)),
    "predictions": Reader(load_predictions, predictions, (PredictionsError,)),
    "headers": Reader(HeaderCache, headers, ()),
    "metrics": Reader(read_metrics, metrics, (MetricsError,)),
}
