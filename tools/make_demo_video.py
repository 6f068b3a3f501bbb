#!/usr/bin/env python3
"""Makes a short video of a dataset's test clips with their own sounds, for tools/demo.py to be tried on.

    tools/make_demo_video.py --dataset stamps_s4_test --output output/demo.mp4

A clip has a frame a second; each is shown for its whole second, so the pictures stand and jump.
"""
import argparse
import sys

import numpy as np

from detectron2.data import DatasetCatalog
from detectron2.data.detection_utils import read_image
from transavs.data import AVSDatasetError
from transavs.data.audio import SAMPLE_RATE, AudioError, read_waveform, resample
from transavs.video import VideoError, VideoWriter


class UsageError(ValueError):
    """What was asked for cannot be made; the message is one line that says why."""


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="stamps_s4_test", help="registered name (default: %(default)s)")
    parser.add_argument("--output", required=True, help="the mp4 to write")
    parser.add_argument("--num-clips", type=int, default=4, help="spread over the dataset (default: %(default)s)")
    parser.add_argument("--fps", type=int, default=8, help="frames a second of the video (default: %(default)s)")
    return parser.parse_args(arguments)


def choose_clips(name, count):
    """Returns: list of `count` dataset dicts, of frames as large as the first clip's, and with a waveform."""
    if name not in DatasetCatalog.list():
        raise UsageError(f"--dataset {name}: not registered")
    clips = [clip for clip in DatasetCatalog.get(name) if not clip["audio_file_name"].endswith(".pkl")]
    clips = [clip for clip in clips if (clip["height"], clip["width"]) == (clips[0]["height"], clips[0]["width"])]
    if not 1 <= count <= len(clips):
        raise UsageError(f"--num-clips {count}: {name} has {len(clips)} clips of one size with a waveform")
    return [clips[index * len(clips) // count] for index in range(count)]


def read_sound(clip):
    """Returns: float32 [samples], as long as the clip has frames, in seconds, at SAMPLE_RATE."""
    waveform = resample(*read_waveform(clip["audio_file_name"])).numpy().astype(np.float32)
    samples = len(clip["file_names"]) * SAMPLE_RATE
    return np.pad(waveform[:samples], (0, max(0, samples - len(waveform))))


def main(arguments=None):
    args = parse_arguments(arguments)
    if args.fps < 1:
        raise UsageError(f"--fps {args.fps}: must be at least 1")
    clips = choose_clips(args.dataset, args.num_clips)
    sound = np.concatenate([read_sound(clip) for clip in clips])
    files = [path for clip in clips for path in clip["file_names"]]
    size = clips[0]["height"], clips[0]["width"]
    with VideoWriter(args.output, *size, args.fps, audio=(sound, SAMPLE_RATE)) as writer:
        for second, path in enumerate(files):
            frame = read_image(path, "RGB")
            for part in range(args.fps):
                writer.write(frame, second + part / args.fps, 1 / args.fps)
    print(f"{args.output}: {len(clips)} clips, {len(files)} s: {', '.join(clip['video_id'] for clip in clips)}")


if __name__ == "__main__":
    try:
        main()
    except (UsageError, AVSDatasetError, AudioError, VideoError) as error:
        sys.exit(f"make_demo_video: {error}")
