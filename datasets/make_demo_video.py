#!/usr/bin/env python3
"""Make a video of test clips for tools/demo.py to be tried on: their objects in smooth motion, with their sounds.

    datasets/make_demo_video.py --data stamps --subset s4 --output output/demo.mp4

The scenes are those that prepare_stamps.py and prepare_toy.py show in five frames a clip, drawn at more times and at a
larger size, one clip after the other. Exits with status 3 where the packages that Stamps is made of cannot be had.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from transavs.data.avsbench import LAYOUTS, NUM_FRAMES, AVSDatasetError
from transavs.data.synthetic import Clip, ClipMaker, StampsMaker, ToyMaker, stamps, stamps_sources, toy
from transavs.data.synthetic.clips import draw_in_motion, spread_test_clips
from transavs.data.synthetic.command_line import add_source_options, check_size_and_seed, exit_without_packages
from transavs.data.synthetic.debian import PackageError
from transavs.data.synthetic.sounds import SAMPLE_RATE
from transavs.video import VideoError, VideoWriter


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("stamps", "toy"), default="stamps", help="default: stamps")
    parser.add_argument("--subset", choices=LAYOUTS, default="s4", help="default: s4")
    parser.add_argument("--num-clips", type=int, default=4, help="spread over the test split (default: 4)")
    parser.add_argument("--fps", type=int, default=10, help="frames a second (default: 10)")
    parser.add_argument("--size", type=int, default=360, help="pixels of a frame's side (default: 360)")
    parser.add_argument("--seed", type=int, default=0, help="that the dataset was made with (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("output/demo.mp4"), help="default: output/demo.mp4")
    add_source_options(parser)
    return parser.parse_args()


def count_test_clips(data: str, subset: str) -> int:
    counts = toy.COUNTS if data == "toy" else stamps.COUNTS["small"][subset]
    return counts[-1]


def check_arguments(args: argparse.Namespace) -> None:
    available = count_test_clips(args.data, args.subset)
    if not 1 <= args.num_clips <= available:
        split = f"the test clips of {args.data} {args.subset}"
        sys.exit(f"--num-clips is {args.num_clips}, expected 1 to {available}: {split}")
    if args.fps < 1:
        sys.exit(f"--fps is {args.fps}, expected at least 1")
    check_size_and_seed(args)
    if args.output.is_dir():
        sys.exit(f"--output is {args.output}, a folder, expected a file to write")
    try:
        args.output.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        sys.exit(f"--output is {args.output}, whose folder cannot be made ({error.strerror})")


def make_maker(args: argparse.Namespace) -> ClipMaker:
    """Of the dataset itself, at its own size."""
    if args.data == "toy":
        return ToyMaker()
    sources = stamps_sources(args.stamps_root, args.backgrounds_root)
    return StampsMaker(sources.stamps.folder, sources.backgrounds.folder)


def write_video(clips: Sequence[Clip], path: Path, fps: int, size: int) -> None:
    sound = np.concatenate([clip.waveform for clip in clips])
    frames, num_frames = draw_in_motion(clips, fps, size), NUM_FRAMES * fps * len(clips)
    with VideoWriter(path, size, size, fps, audio=(sound, SAMPLE_RATE)) as writer:
        for number, frame in enumerate(tqdm(frames, desc=str(path), total=num_frames, unit="frame", mininterval=1)):
            writer.write(frame, number / fps, 1 / fps)


def main() -> None:
    args = parse_arguments()
    check_arguments(args)
    try:
        available = count_test_clips(args.data, args.subset)
        clips = spread_test_clips(make_maker(args), args.subset, args.num_clips, available, args.seed)
        write_video(clips, args.output, args.fps, args.size)
    except PackageError as error:
        exit_without_packages(error)
    except AVSDatasetError as error:
        sys.exit(str(error))
    except VideoError as error:
        sys.exit(f"--output is {error}")
    objects = "; ".join(", ".join(clip.objects) for clip in clips)
    print(f"{args.output}: {len(clips)} clips, {NUM_FRAMES * len(clips)} seconds: {objects}")


if __name__ == "__main__":
    main()
