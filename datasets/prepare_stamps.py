#!/usr/bin/env python3
"""Make Stamps: cut-out photographs with their own real sounds, moving over photographs, in AVSBench's layout.

The stamps are those of Debian's tuxpaint-stamps-default, the backgrounds those of mate-backgrounds. Both packages are
downloaded when needed (208 MB, kept in a cache, no root needed); --stamps-root and --backgrounds-root take other
folders. Exits with status 3 where the packages cannot be had.
"""

import functools
import os
import re
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image
from scipy.ndimage import binary_dilation
from scipy.signal import correlate, resample_poly

from transavs.data.avsbench import NUM_FRAMES, SPLITS, AVSDatasetError
from transavs.scenes import MotionRanges, Sprite
from transavs.synthetic import SAMPLE_RATE, make_clip, make_parser, random_schedule, run_maker

STAMPS_PACKAGE, BACKGROUNDS_PACKAGE = "tuxpaint-stamps-default", "mate-backgrounds"
STAMPS_FOLDER, BACKGROUNDS_FOLDER = "usr/share/tuxpaint/stamps", "usr/share/backgrounds/mate/nature"
SOUNDING_FOLDERS = ("animals", "hobbies", "household", "vehicles")  # elsewhere: letters, signs and seasonal drawings
NO_PACKAGES_STATUS = 3
SIZE = 128  # pixels of a frame's side, by default
COUNTS = {
    "small": {"s4": (600, 40, 80), "ms3": (200, 20, 60)},
    "full": {"s4": (2000, 200, 300), "ms3": (600, 100, 150)},
}
RANGES = MotionRanges(area=(0.08, 0.25))  # of the frame: AVSBench's sounding objects are large

PIECE_SECONDS = 0.05
AUDIBLE_RMS = 0.01  # of a piece; full scale is 1
MIN_PEAK = 0.1  # of a sound
MIN_AUDIBLE_SECONDS = 0.5
SAME_SOUND_CORRELATION = 0.5
MIN_OPAQUE_SHARE = 0.1  # of a stamp's bounding box; glass and the like have hardly any pixel of their own


class PackageError(RuntimeError):
    """A Debian package could not be downloaded or unpacked."""


# ---- Debian's packages -----------------------------------------------------------------------------------------------


def cache_folder():
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "transavs" / "debian"


def package_root(package, folder):
    """The root under which the package's files lie: `/` where it is installed, else the cache, filled when empty."""
    if (Path("/") / folder).is_dir():
        return Path("/")
    root = cache_folder() / package
    if not root.is_dir():
        try:
            _download(package, root)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = (getattr(error, "stderr", None) or str(error)).strip().splitlines()[-1]
            raise PackageError(f"Debian's package {package} cannot be had ({reason})") from error
    return root


def _download(package, root):
    print(f"downloading Debian's package {package} to {root}")
    root.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root.parent) as folder:
        try:
            _run("apt-get", "download", package, cwd=folder)
        except subprocess.CalledProcessError:
            # The system's package lists may be empty, and only root may fill them: fetch lists of our own.
            options = _private_apt_options(root.parent / "apt")
            _run("apt-get", *options, "update", cwd=folder)
            _run("apt-get", *options, "download", package, cwd=folder)
        archive = next(Path(folder).glob(f"{package}_*.deb"))
        _run("dpkg", "-x", str(archive), "files", cwd=folder)
        version = _run("dpkg-deb", "-f", str(archive), "Version", cwd=folder)
        (Path(folder) / "files" / "VERSION").write_text(version)
        os.replace(Path(folder) / "files", root)


def _private_apt_options(folder):
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::Lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "Acquire::Retries": 0,
        "Acquire::http::Timeout": 20,  # seconds, so that a machine without network hears of it soon
    }
    return [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def _run(*command, cwd):
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def describe_package(package, root):
    """A package's name, version, licences and copyright file, for the made data's SOURCES.txt."""
    version_file = root / "VERSION"
    version = version_file.read_text().strip() if version_file.is_file() else _installed_version(package)
    notice_file = root / "usr/share/doc" / package / "copyright"
    notice = notice_file.read_text(encoding="utf-8") if notice_file.is_file() else f"{notice_file} is missing"
    licences = sorted(set(re.findall(r"^License: *(\S+)", notice, re.MULTILINE)))
    return f"Debian package {package} {version}, licences: {', '.join(licences)}\n\n{notice}\n"


def _installed_version(package):
    return _run("dpkg-query", "--show", "--showformat=${Version}", package, cwd="/")


# ---- Stamps ----------------------------------------------------------------------------------------------------------


def read_sound(path):
    """A sound at 16 kHz, mono, without its pauses; None where it is of no use.

    A sound is dropped that never gets loud (peak under 0.1), or that has less than half a second to hear: looped over
    five seconds, a click would no longer sound like its object.
    """
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    samples = samples.mean(1)
    if samples.size == 0 or np.abs(samples).max() < MIN_PEAK:
        return None
    samples = resample_poly(samples, SAMPLE_RATE, rate).astype(np.float32)
    piece = round(PIECE_SECONDS * SAMPLE_RATE)
    pieces = samples[: len(samples) // piece * piece].reshape(-1, piece)
    audible = np.sqrt((pieces**2).mean(1)) >= AUDIBLE_RMS
    if audible.sum() * PIECE_SECONDS < MIN_AUDIBLE_SECONDS:
        return None
    return pieces[binary_dilation(audible, iterations=2)].ravel()


def is_same_sound(first, second):
    """Whether two sounds are one recording, be it encoded twice: some objects share their file."""
    if abs(len(first) - len(second)) > 0.02 * len(first):
        return False
    norm = np.linalg.norm(first) * np.linalg.norm(second)
    return np.abs(correlate(first, second, method="fft")).max() > SAME_SOUND_CORRELATION * norm


def read_picture(path):
    """A stamp's picture, RGBA, cut to its object; None where it is see-through."""
    image = Image.open(path).convert("RGBA")
    alpha = image.getchannel("A")
    solid = np.asarray(alpha) >= 128
    if alpha.getbbox() is None or solid.mean() < MIN_OPAQUE_SHARE:
        return None
    return image.crop(alpha.getbbox())


def _reduced(picture, size):
    """The picture, at most `size` pixels wide and high."""
    picture = picture.copy()
    picture.thumbnail((size, size), Image.Resampling.LANCZOS)
    return picture


def load_stamps(root, size):
    """All useful pictures that have a sound of the same name, in the order of their paths.

    Of objects that share one recording only the first is kept: nobody could tell which of them sounds.
    """
    sprites = []
    for path in sorted(p for folder in SOUNDING_FOLDERS for p in Path(root, folder).rglob("*.ogg")):
        picture_path = path.with_suffix(".png")
        if path.stem.endswith("_desc") or not picture_path.is_file():  # `_desc` is the object's name, spoken
            continue
        sound, picture = read_sound(path), read_picture(picture_path)
        if sound is None or picture is None or any(is_same_sound(sound, other.sound) for other in sprites):
            continue
        sprites.append(Sprite(path.stem, _reduced(picture, size), sound, picture))
    if len(sprites) < 3:
        raise AVSDatasetError(
            f"{root}: {len(sprites)} stamps of use, expected at least 3: <name>.png with alpha beside <name>.ogg, "
            f"in the folders {', '.join(SOUNDING_FOLDERS)}"
        )
    return sprites


# ---- Backgrounds -----------------------------------------------------------------------------------------------------


@dataclass
class Photograph:
    """`picture`: RGB, three times as large as a clip's frames; `path`: of the file, with all its detail."""

    path: Path
    picture: Image.Image


def load_backgrounds(root, size):
    """Photographs, split so that no split shows another's. Returns: {split: [Photograph]}."""
    paths = sorted(path for path in Path(root).rglob("*") if path.suffix.lower() in (".jpg", ".jpeg", ".png"))
    if len(paths) < len(SPLITS):
        raise AVSDatasetError(f"{root}: {len(paths)} pictures, expected at least {len(SPLITS)} (.jpg or .png)")
    order = np.random.default_rng(0).permutation(len(paths))  # the same split whatever the seed
    num_test, num_val = max(1, round(len(paths) * 0.25)), max(1, round(len(paths) * 0.15))
    test, val, train = np.split(order, [num_test, num_test + num_val])
    shares = {"train": train, "val": val, "test": test}
    return {
        split: [Photograph(paths[i], _read_reduced(paths[i], 3 * size)) for i in sorted(chosen)]
        for split, chosen in shares.items()
    }


def _read_reduced(path, short_side):
    image = Image.open(path)
    image.draft("RGB", (2 * short_side, 2 * short_side))  # lets JPEG decode at a fraction of its size
    image = image.convert("RGB")
    scale = short_side / min(image.size)
    return image.resize([round(side * scale) for side in image.size], Image.Resampling.LANCZOS)


@functools.lru_cache(maxsize=1)  # a clip has one background, drawn frame after frame
def _read_original(path):
    return Image.open(path).convert("RGB")


class Pan:
    """A camera that pans slowly over a part of a photograph; a Scene's background."""

    def __init__(self, rng, photographs, size):
        self.size = size  # pixels of a side of the clip's frames
        self.photograph = photographs[rng.integers(len(photographs))]
        self.side = rng.uniform(1.0, 2.6) * size  # of the part seen, in pixels of `photograph.picture`
        self.room = np.array(self.photograph.picture.size) - self.side
        self.start = rng.random(2) * self.room  # x, y
        self.stop = (self.start + rng.uniform(-0.3, 0.3, 2) * size).clip(0, self.room)
        self.flip, self.brightness = rng.random() < 0.5, rng.uniform(0.7, 1.2)

    def draw(self, progress, size):
        # The camera is at `start` in the clip's first frame and at `stop` in its last, each the middle of its second.
        share = (progress * NUM_FRAMES - 0.5) / (NUM_FRAMES - 1)
        corner = (self.start + (self.stop - self.start) * share).clip(0, self.room)
        picture = self.photograph.picture
        box = np.concatenate([corner, corner + self.side])
        if size != self.size:
            picture = _read_original(self.photograph.path)
            box *= np.tile(np.divide(picture.size, self.photograph.picture.size), 2)
        window = picture.resize((size, size), Image.Resampling.BICUBIC, box=tuple(box))
        pixels = np.asarray(window, np.float32)[:, ::-1] if self.flip else np.asarray(window, np.float32)
        return (pixels * self.brightness).round().clip(0, 255).astype(np.uint8)


# ---- Clips -----------------------------------------------------------------------------------------------------------


class StampsMaker:
    def __init__(self, stamps_root, backgrounds_root, size):
        self.size = size
        self.sprites = load_stamps(stamps_root, size)
        self.backgrounds = load_backgrounds(backgrounds_root, size)

    def make_clip(self, rng, subset, split):
        """S4: one sounding object and 0-2 silent ones. MS3: 2-3 objects."""
        num_objects = int(rng.integers(1, 4) if subset == "s4" else rng.integers(2, 4))
        sprites = [self.sprites[i] for i in rng.choice(len(self.sprites), num_objects, replace=False)]
        active = random_schedule(rng, subset, num_objects)
        background = Pan(rng, self.backgrounds[split], self.size)
        return make_clip(rng, background, sprites, active, RANGES)


# ---- Command line ----------------------------------------------------------------------------------------------------


def _source(own_root, package, folder):
    """Returns: (the folder to read, a text on where it is from)."""
    if own_root is None:
        root = package_root(package, folder)
        return root / folder, describe_package(package, root)
    return _own_folder(own_root), f"Own folder {own_root}\n"


def _own_folder(root):
    if not Path(root).is_dir():
        sys.exit(f"{root} is not a folder")
    return Path(root)


def open_sources(args, size):
    """Returns: StampsMaker of one's own folders or of Debian's packages, and a text on where they are from."""
    stamps, stamps_text = _source(args.stamps_root, STAMPS_PACKAGE, STAMPS_FOLDER)
    backgrounds, backgrounds_text = _source(args.backgrounds_root, BACKGROUNDS_PACKAGE, BACKGROUNDS_FOLDER)
    return StampsMaker(stamps, backgrounds, size), f"{stamps_text}\n{'-' * 80}\n\n{backgrounds_text}"


def _make_maker(args):
    maker, sources = open_sources(args, args.size)
    os.makedirs(args.output, exist_ok=True)
    text = f"The pictures and sounds of this folder are made of:\n\n{sources}"
    Path(args.output, "SOURCES.txt").write_text(text, encoding="utf-8")
    print(f"{len(maker.sprites)} stamps; backgrounds: { ({s: len(b) for s, b in maker.backgrounds.items()}) }")
    return maker


def _fingerprint(root):
    """Changes when a file of one's own folder does, so that the clips are made anew then."""
    if root is None:
        return "debian"
    paths = sorted(path for path in _own_folder(root).rglob("*") if path.is_file())
    files = [(str(path.relative_to(root)), path.stat().st_size) for path in paths]
    return f"{zlib.crc32(repr(files).encode()):08x}"


def add_source_options(parser):
    parser.add_argument("--stamps-root", help="folder of animals/, hobbies/ ... with <name>.png beside <name>.ogg")
    parser.add_argument("--backgrounds-root", help="folder of photographs, .jpg or .png")


def exit_without_packages(error):
    print(f"{error}; --stamps-root and --backgrounds-root take folders of your own", file=sys.stderr)
    sys.exit(NO_PACKAGES_STATUS)


def main():
    parser = make_parser(__doc__.splitlines()[0], "stamps", SIZE)
    parser.add_argument("--scale", choices=COUNTS, default="small", help=f"clips in train, val, test: {COUNTS}")
    add_source_options(parser)
    args = parser.parse_args()
    arguments = {
        "maker": "stamps",
        "size": args.size,
        "stamps": _fingerprint(args.stamps_root),
        "backgrounds": _fingerprint(args.backgrounds_root),
    }
    get_maker = functools.cache(functools.partial(_make_maker, args))
    try:
        run_maker(args, get_maker, COUNTS[args.scale], arguments)
    except PackageError as error:
        exit_without_packages(error)


if __name__ == "__main__":
    main()
