#!/usr/bin/env python3
"""Make a video of test clips for tools/demo.py to be tried on: their objects in smooth motion, with their sounds.

    datasets/make_demo_video.py --data stamps --subset s4 --output output/demo.mp4

The scenes are those that prepare_stamps.py and prepare_toy.py show in five frames a clip, drawn at more times and at a
larger size, one clip after the other. Exits with status 3 where the packages that Stamps is made of cannot be had.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import prepare_stamps
import prepare_toy
from PIL import Image
from tqdm import tqdm

from transavs.data.avsbench import LAYOUTS, NUM_FRAMES, AVSDatasetError
from transavs.synthetic import SAMPLE_RATE, check_size_and_seed, clip_generator
from transavs.video import VideoError, VideoWriter

SUPERSAMPLING = 2  # objects are pasted at whole pixels; drawn larger and reduced, they neither jump nor have jags


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", choices=("stamps", "toy"), default="stamps", help="default: stamps")
    parser.add_argument("--subset", choices=LAYOUTS, default="s4", help="default: s4")
    parser.add_argument("--num-clips", type=int, default=4, help="spread over the test split (default: 4)")
    parser.add_argument("--fps", type=int, default=10, help="frames a second (default: 10)")
    parser.add_argument("--size", type=int, default=360, help="pixels of a frame's side (default: 360)")
    parser.add_argument("--seed", type=int, default=0, help="that the dataset was made with (default: 0)")
    parser.add_argument("--output", type=Path, default=Path("output/demo.mp4"), help="default: output/demo.mp4")
    prepare_stamps.add_source_options(parser)
    return parser.parse_args()


def count_test_clips(data, subset):
    counts = prepare_toy.COUNTS if data == "toy" else prepare_stamps.COUNTS["small"][subset]
    return counts[-1]


def check_arguments(args):
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


def make_clips(args):
    """The clips of the dataset itself, at its own size. Returns: list of Clip."""
    if args.data == "toy":
        maker = prepare_toy.ToyMaker(prepare_toy.SIZE)
    else:
        maker, _ = prepare_stamps.open_sources(args, prepare_stamps.SIZE)
    available = count_test_clips(args.data, args.subset)
    indices = [number * available // args.num_clips for number in range(args.num_clips)]
    generators = [clip_generator(args.seed, args.subset, "test", index) for index in indices]
    return [maker.make_clip(generator, args.subset, "test") for generator in generators]


def write_video(clips, path, fps, size):
    sound = np.concatenate([clip.waveform for clip in clips])
    num_frames = NUM_FRAMES * fps  # of a clip: its frames stand for a second each
    with VideoWriter(path, size, size, fps, audio=(sound, SAMPLE_RATE)) as writer:
        for number in tqdm(range(num_frames * len(clips)), desc=str(path), unit="frame", mininterval=1):
            clip, frame = divmod(number, num_frames)
            drawn = clips[clip].scene.draw(frame / num_frames, SUPERSAMPLING * size)
            writer.write(np.asarray(Image.fromarray(drawn).reduce(SUPERSAMPLING)), number / fps, 1 / fps)


def main():
    args = parse_arguments()
    check_arguments(args)
    try:
        clips = make_clips(args)
        write_video(clips, args.output, args.fps, args.size)
    except prepare_stamps.PackageError as error:
        prepare_stamps.exit_without_packages(error)
    except AVSDatasetError as error:
        sys.exit(str(error))
    except VideoError as error:
        sys.exit(f"--output is {error}")
    objects = "; ".join(", ".join(clip.objects) for clip in clips)
    print(f"{args.output}: {len(clips)} clips, {NUM_FRAMES * len(clips)} seconds: {objects}")


if __name__ == "__main__":
    main()
