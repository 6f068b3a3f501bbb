"""What the command lines of the scripts share: the same options read alike, and what is wrong is told in one line."""

import argparse
import importlib.util
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from detectron2.config import CfgNode
from torch.multiprocessing import ProcessRaisedException

from .config import ConfigError, read_config
from .video import SOURCE_RATE, FrameRate, VideoError
from .video.files import find_videos
from .weights.pretrained import trained_config
from .weights.published import WeightsError

DEFAULT_MODEL = "stamps_ms3_lite0"  # of the commands that take videos: it hears what sounds in which second
CONFIG_HELP = "the model's YAML; or a trained model: its name, such as stamps_s4_lite0, its folder or its address"


class CommandParser(argparse.ArgumentParser):
    """An `ArgumentParser` with the options and checks that several commands have.

    Every check ends the command as argparse does itself: usage, `<command>: error: ...`, status 2.

    Args:
        description: what the command does, shown as it is; a module's docstring.
    """

    def __init__(self, description: str | None):
        super().__init__(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)

    def add_config_file(self, nargs: str | None = None, default: str | None = None) -> None:
        several = "; several are taken in turn" if nargs else ""
        told = " (default: %(default)s)" if default else ""
        self.add_argument(
            "--config-file",
            required=not default,
            default=default,
            nargs=nargs,
            metavar="FILE",
            help=f"{CONFIG_HELP}{several}{told}",
        )

    def add_output_folder(self, default: str | None = None) -> None:
        told = " (default: %(default)s)" if default else ""
        self.add_argument(
            "--output",
            required=not default,
            default=default,
            metavar="FOLDER",
            help=f"folder for what is written{told}",
        )

    def add_output_file(self) -> None:
        """See `check_new_output`."""
        self.add_argument("--output", required=True, metavar="FILE", help="the file to write, which must be new")

    def add_opts(self) -> None:
        """KEY VALUE pairs at the end; a `--` may stand before them, where an option takes several values."""
        self.add_argument(
            "opts",
            nargs=argparse.REMAINDER,
            metavar="KEY VALUE ...",
            help="changes to the config at the end, e.g. MODEL.WEIGHTS model_best.pth",
        )

    def parse_args(  # type: ignore[override]  # whose overloads tell namespaces apart
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> Any:
        parsed = super().parse_args(args, namespace)
        if "opts" in parsed and parsed.opts[:1] == ["--"]:
            parsed.opts = parsed.opts[1:]
        return parsed

    def read_config(self, path: str, opts: Sequence[str] = (), changes: Sequence[str] = ()) -> CfgNode:
        """The config of --config-file with the command's own changes, then those of KEY VALUE; not frozen.

        Of a trained model, see `trained_config`, MODEL.WEIGHTS is its weights.
        """
        is_file = os.path.isfile(path)
        if path.endswith((".yaml", ".yml")) and not is_file:
            self.error(f"--config-file: no such file: {path!r}")
        if len(opts) % 2:
            self.error(f"the config's keys and values do not pair up: {' '.join(opts)}")
        try:
            read = read_config if is_file else trained_config
            return read(path, [*changes, *opts])
        except WeightsError as error:
            self.error(f"--config-file: {error}")
        except ConfigError as error:
            self.error(f"--config-file {error}")

    def check_weights(self, cfg: CfgNode) -> None:
        """The command needs a trained model, in a file or at an address."""
        weights = cfg.MODEL.WEIGHTS
        if not weights or "://" not in weights and not os.path.isfile(weights):
            self.error(f"MODEL.WEIGHTS is {weights!r}: expected a trained model's file, as KEY VALUE")

    def check_new_output(self, path: str) -> None:
        folder = os.path.dirname(path)
        if not os.path.isdir(folder or "."):
            self.error(f"--output {path}: there is no folder {folder}")
        if os.path.exists(path):
            self.error(f"--output {path}: is already there; remove it or name another")

    def make_output_folder(self, path: str | os.PathLike[str]) -> None:
        try:
            os.makedirs(path, exist_ok=True)
        except OSError as error:
            self.error(f"--output {path}: cannot be made ({error.strerror})")

    def check_packages(self, what: str, names: Iterable[str], extra: str | None = None) -> None:
        """Packages that only `what` needs, which can be left out of an installation; `extra` is that of this package
        which has them all."""
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing:
            install = f"'transavs[{extra}]'" if extra else " ".join(missing)
            self.error(f"{what} needs {', '.join(missing)}: pip install {install}")

    def find_videos(self, option: str, inputs: Iterable[str]) -> list[str]:
        try:
            return find_videos(inputs)
        except VideoError as error:
            self.error(f"{option} {error}")

    def check_at_least(self, option: str, value: float, least: float) -> None:
        if value < least:
            self.error(f"{option} {value}: must be at least {least}")


def frame_rate(text: str) -> FrameRate:
    """The type of an option for frames a second: a positive number, or SOURCE_RATE."""
    if text == SOURCE_RATE:
        return SOURCE_RATE
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a positive number or {SOURCE_RATE!r}")
    return rate


def run(main: Callable[[], int | None], *failures: type[Exception]) -> NoReturn:
    """Ends the process with what `main` returns; one of the `failures`, here or in a process that was
    started, is told in one line, with status 1."""
    caught: tuple[type[Exception], ...] = (*failures, ProcessRaisedException)
    try:
        status = main()
    except caught as error:
        told = _told(error, failures)
        if not told:
            raise
        sys.exit(f"{os.path.basename(sys.argv[0])}: error: {told}")
    sys.exit(status)


def _told(error: Exception, failures: Sequence[type[Exception]]) -> str:
    """The message; "" where another process failed, by none of the `failures`.

    Of such an error, and of one in a data loader's worker, torch gives the traceback, which ends with type and message.
    """
    told, in_process = str(error), isinstance(error, ProcessRaisedException)
    if not in_process and not re.match(r"Caught \w+ in DataLoader worker process", told):
        return told
    kind, _, message = told.strip().splitlines()[-1].partition(": ")
    known = {f"{failure.__module__}.{failure.__qualname__}".removeprefix("builtins.") for failure in failures}
    return "" if in_process and kind not in known else message
