"""A lake's run on Ray Data: one task lists the videos, as many processes as asked for segment them.

What passes through Ray is small: names of videos one way, counts the other. Ray does a task again whose process or
machine died, and `Tables` sees to it that this changes nothing.
"""

import hashlib
import json
import logging
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import ray
from detectron2.config import CfgNode
from ray.data import ActorPoolStrategy, DataContext, Dataset, ExecutionResources

from ..data.class_names import class_names
from ..data.errors import one_line
from ..video import SOURCE_RATE, VIDEO_SUFFIXES, FrameRate
from ..weights.published import local_file
from .errors import LakeError
from .listing import Location, Row, find_groups
from .tables import Tables
from .working import Desks, Model, Worker

logger = logging.getLogger(__name__)

SETTINGS_FILE = "settings.json"
STORE_BYTES = 128 << 20  # of Ray's object store on this machine, beside the model
LISTED_BYTES = 4 << 20  # of names of videos that were listed and are not segmented yet: some ten thousand
MAX_DEATHS_AT_START = 3  # of processes one after the other that did not come to hold the model


@dataclass(frozen=True)
class Processes:
    """Those that segment, each with a model of its own.

    Args:
        address: of the Ray cluster; None starts Ray on this machine.
        actors: how many; None is as many as there is room for.
        gpus: of each, or a part of one; None is 1 where there are GPUs and the config asks for one, else 0.
        cpus: of each.
    """

    address: str | None = None
    actors: int | None = None
    gpus: float | None = None
    cpus: float = 1


@dataclass
class Counts:
    """What became of the videos.

    Args:
        segmented: they are in the table of frames.
        failed: they are in the table of errors.
        skipped: they were in one of them already.
        unlisted: what could not be listed, and why.
    """

    segmented: int = 0
    failed: int = 0
    skipped: int = 0
    unlisted: list[str] = field(default_factory=list)

    def add(self, row: Row) -> None:
        """Raises: LakeError: the run is to end."""
        self.segmented += row["segmented"]
        self.failed += row["failed"]
        self.skipped += row["skipped"]
        if row["unlisted"]:
            self.unlisted.append(row["unlisted"])
        if row["fatal"]:
            raise LakeError(row["fatal"])

    @property
    def videos(self) -> int:
        return self.segmented + self.failed + self.skipped


def predict_lake(
    cfg: CfgNode,
    lakes: Sequence[Location],
    output: Location,
    fps: FrameRate = 1,
    resume: bool = False,
    retry_errors: bool = False,
    processes: Processes = Processes(),
) -> Iterator[Counts]:
    """Segments all videos of the lakes.

    Args:
        cfg: the model's, with its MODEL.WEIGHTS.
        lakes: folders, or single videos.
        output: a folder for the tables, see `transavs.lake.tables`.
        fps: frames a second to segment; "source" is all.
        resume: the output may be that of an earlier run; what is in its tables is skipped, unless the video has
            changed.
        retry_errors: what is in its table of errors is not.
        processes: that do it.

    Returns:
        iterator[Counts]: the same object, again and again until all is done. Ray starts when the first is asked for.

    Raises:
        LakeError: at once, where there is no such lake, or the output cannot be written or is that of other settings;
            later, where there are no videos, the output fails, or Ray does.
    """
    for lake in lakes:
        lake.info()
    model = Model(cfg.clone(), Path(local_file(cfg.MODEL.WEIGHTS)).read_bytes(), fps)
    tables = Tables(output, run=uuid4().hex[:12])
    _settle(tables, model, resume)
    return _run(model, lakes, tables, retry_errors, processes)


def _run(
    model: Model, lakes: Sequence[Location], tables: Tables, retry_errors: bool, processes: Processes
) -> Iterator[Counts]:
    counts = Counts()
    began = not ray.is_initialized()
    try:
        with _failures_told():
            num_actors, num_gpus = _start(processes, model)
            if not num_gpus:
                model.cfg.MODEL.DEVICE = "cpu"
            worker = {"load": model.load, "lakes": lakes, "tables": tables, "retry_errors": retry_errors}
            resources = {"num_cpus": processes.cpus, "num_gpus": num_gpus}
            for row in _dataset(lakes, worker, num_actors, resources).iter_rows():
                counts.add(row)
                yield counts
    finally:
        if began:
            ray.shutdown()
        tables.finish()
        Desks(tables.run).clear()
    if not counts.videos and not counts.unlisted:
        raise LakeError(f"{', '.join(map(str, lakes))}: holds no video ({', '.join(VIDEO_SUFFIXES)})")


def _settle(tables: Tables, model: Model, resume: bool) -> None:
    """Notes in the output what its tables are made with, which shows at once whether it can be written."""
    cfg = model.cfg.clone()
    cfg.MODEL.WEIGHTS = cfg.MODEL.DEVICE = ""  # names of this machine's
    settings = {
        "config": hashlib.sha256(cfg.dump().encode()).hexdigest(),
        "weights": hashlib.sha256(model.weights).hexdigest(),
        "classes": class_names(cfg),  # of the table's category_id
        "fps": model.fps if model.fps == SOURCE_RATE else f"{float(model.fps):g}",
    }
    if tables.are_empty():
        tables.write_file(SETTINGS_FILE, json.dumps(settings, indent=1).encode())
        return
    if not resume:
        raise LakeError(f"{tables.folder}: holds the tables of an earlier run; --resume goes on with them")
    content = tables.read_file(SETTINGS_FILE)
    try:
        found = dict(json.loads(content))
    except ValueError as error:
        raise LakeError(f"{tables.folder / SETTINGS_FILE}: is no JSON of settings ({one_line(error)})") from error
    other = [key for key, value in settings.items() if found.get(key) != value]
    if other:
        raise LakeError(f"{tables.folder}: its tables were made with another {' and another '.join(other)}")


def _start(processes: Processes, model: Model) -> tuple[int, float]:
    """Starts Ray, or joins one. Returns: how many actors there are to be, and the GPUs of each."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of each actor that it may start anew
    address = processes.address or os.environ.get("RAY_ADDRESS")
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if ray.is_initialized():
        pass
    elif address:
        ray.init(address, **quiet)
    else:
        num_cpus = math.ceil(processes.actors * processes.cpus) if processes.actors else None  # those that there are
        store = STORE_BYTES + 2 * len(model.weights)
        ray.init("local", num_cpus=num_cpus, object_store_memory=store, include_dashboard=False, **quiet)
    there = ray.cluster_resources()
    num_gpus = processes.gpus
    if num_gpus is None:
        num_gpus = 1 if there.get("GPU") and model.cfg.MODEL.DEVICE != "cpu" else 0
    room = there.get("GPU", 0) // num_gpus if num_gpus else there.get("CPU", 0) // processes.cpus
    num_actors = processes.actors or max(1, int(room))
    if num_actors > room:
        has = f"{there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs"
        message = f"{num_actors} processes of {processes.cpus:g} CPUs and {num_gpus:g} GPUs each, but Ray has {has}"
        if not address:
            raise LakeError(message)
        logger.warning("%s: they wait until it has more.", message)
    return num_actors, num_gpus


def _dataset(lakes: Sequence[Location], worker: Row, num_actors: int, resources: dict[str, float]) -> Dataset:
    """Rows that count what became of a few videos each, as they are done."""
    context = DataContext.get_current().copy()
    context.enable_progress_bars = context.print_on_execution_start = False
    context.target_max_block_size = 1  # byte: each group of videos is a task of its own
    context.execution_options.resource_limits = ExecutionResources(object_store_memory=LISTED_BYTES)
    context.execution_no_progress_timeout_s = -1  # a long video takes as long as it takes
    context.max_consecutive_actor_init_deaths = MAX_DEATHS_AT_START
    with DataContext.current(context):
        numbers = ray.data.from_items(list(range(len(lakes))), override_num_blocks=len(lakes))
        # Without a CPU of its own: where the actors have them all, it would wait for ever.
        groups = numbers.flat_map(lambda row: find_groups(lakes[row["item"]], row["item"]), num_cpus=0)
        return groups.map(
            Worker,
            fn_constructor_kwargs=worker,
            compute=ActorPoolStrategy(size=num_actors),
            max_restarts=-1,
            max_task_retries=-1,
            **resources,
        )


@contextmanager
def _failures_told() -> Iterator[None]:
    """What Ray raises becomes a LakeError, in one line; all that it has to say is in its log."""
    for handler in logging.getLogger("ray.data").handlers:
        if handler.name == "console":
            handler.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except (ray.exceptions.RayError, ConnectionError) as error:
        last = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise LakeError(f"Ray has failed: {one_line(last)}; --resume goes on") from error
