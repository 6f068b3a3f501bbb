"""What Stamps is made of: the folders of stamps and of backgrounds, Debian's or one's own."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from ..avsbench import AVSDatasetError
from .debian import describe_package, package_root

STAMPS_PACKAGE, BACKGROUNDS_PACKAGE = "tuxpaint-stamps-default", "mate-backgrounds"
STAMPS_FOLDER, BACKGROUNDS_FOLDER = "usr/share/tuxpaint/stamps", "usr/share/backgrounds/mate/nature"
# The photographs among the pictures of two more packages; datasets/README.md has their authors and licences.
WALLPAPERS_FOLDER = "usr/share/backgrounds"
TRAINING_PHOTOGRAPHS = {
    "lomiri-wallpapers-16.04": (
        "Bridge_by_Sander_Klootwijk.jpg",
        "Dragonfly_by_Bolly.jpg",
        "Picture_0B_by_freespace.jpg",
        "Picture_1A_by_freespace.jpg",
        "Wine_by_Jakkub_Mede.jpg",
        "aitzgorri_by_Aitzol_Berasategi.jpg",
        "free_by_Peter_Nerlich.jpg",
        "friends_by_Aitzol_Berasategi.jpg",
        "greentock_by_Peter_Nerlich.jpg",
        "life_by_Aitzol_Berasategi.jpg",
        "picosdeeuropa_by_Aitzol_Berasategi.jpg",
        "seeding_by_Clements_Engelhardt.jpg",
        "sunset_by_Aitzol_Berasategi.jpg",
    ),
    "lomiri-wallpapers-20.04": ("Kleiber_by_Lukas_Baubkus.jpg",),
}


@dataclass(frozen=True)
class Source:
    """A folder to read, and the package that it is of, with the root that the package's files lie under."""

    folder: str | os.PathLike[str]
    package: tuple[str, Path] | None = None

    def describe(self) -> str:
        """Where the folder is from, with the package's licences."""
        return describe_package(*self.package) if self.package else f"Own folder {self.folder}\n"


@dataclass(frozen=True)
class StampsSources:
    stamps: Source
    backgrounds: Source

    def describe(self) -> str:
        return f"{self.stamps.describe()}\n{'-' * 80}\n\n{self.backgrounds.describe()}"


def stamps_sources(
    stamps_root: str | os.PathLike[str] | None = None, backgrounds_root: str | os.PathLike[str] | None = None
) -> StampsSources:
    """Folders of one's own or, where none is given, those of Debian's packages, which are downloaded when needed.

    Args:
        stamps_root: holds animals/, hobbies/, household/, vehicles/ with <name>.png beside <name>.ogg at any depth.
        backgrounds_root: holds photographs, .jpg or .png.

    Raises:
        AVSDatasetError: if a given folder does not exist.
        PackageError: if a package can be neither found nor downloaded.
    """
    return StampsSources(
        stamps_source(stamps_root),
        _source(backgrounds_root, BACKGROUNDS_PACKAGE, BACKGROUNDS_FOLDER),
    )


def training_photographs() -> list[Path]:
    """The files of TRAINING_PHOTOGRAPHS; their packages are downloaded when needed.

    Raises:
        AVSDatasetError: if a package does not hold one of them.
        PackageError: if a package can be neither found nor downloaded.
    """
    paths = []
    for package, names in TRAINING_PHOTOGRAPHS.items():
        folder = package_root(package, f"{WALLPAPERS_FOLDER}/{names[0]}") / WALLPAPERS_FOLDER
        for name in names:
            if not (folder / name).is_file():
                raise AVSDatasetError(
                    f"{folder / name}: no such file, expected as a part of Debian's package {package}"
                )
            paths.append(folder / name)
    return paths


def stamps_source(stamps_root: str | os.PathLike[str] | None = None) -> Source:
    """The stamps alone; see `stamps_sources`."""
    return _source(stamps_root, STAMPS_PACKAGE, STAMPS_FOLDER)


def _source(own_root: str | os.PathLike[str] | None, package: str, folder: str) -> Source:
    if own_root is not None:
        _require_folder(own_root)
        return Source(own_root)
    root = package_root(package, folder)
    return Source(root / folder, (package, root))


def _require_folder(root: str | os.PathLike[str]) -> None:
    if not Path(root).is_dir():
        raise AVSDatasetError(f"{root} is not a folder")


def fingerprint(own_root: str | os.PathLike[str] | None) -> str:
    """Changes when a file of one's own folder does, so that the clips are made anew then; "debian" for a package.

    Raises:
        AVSDatasetError: if the folder does not exist.
    """
    if own_root is None:
        return "debian"
    _require_folder(own_root)
    paths = sorted(path for path in Path(own_root).rglob("*") if path.is_file())
    files = [(str(path.relative_to(own_root)), path.stat().st_size) for path in paths]
    return f"{zlib.crc32(repr(files).encode()):08x}"
