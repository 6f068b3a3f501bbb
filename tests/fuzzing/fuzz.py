"""Gives mutated files to readers; ends at the first that is neither read nor refused as its reader documents it.

    python tests/fuzzing/fuzz.py FOLDER FIRST LAST READER ...

An input is known by its number, from FIRST to LAST - 1, and lies in FOLDER while it is read. What a reader may do: read
it, or raise one of its errors, whose message names the file and is one line; in 20 seconds, with 2 GiB of memory.
"""

import faulthandler
import logging
import random
import resource
import sys
import warnings
from collections import Counter
from pathlib import Path

from forms import Base, Parts, Reader
from mutating import mutate
from readers import READERS

MAX_SECONDS = 20
MAX_BYTES = 2 << 30  # beyond what the process has before it reads


def main(folder: str, first: str, last: str, *kinds: str) -> None:
    logging.disable()
    warnings.simplefilter("ignore")
    limit_memory()
    for kind in kinds:
        (Path(folder) / kind).mkdir()
        outcomes = fuzz(kind, range(int(first), int(last)), Path(folder) / kind)
        print(kind, dict(outcomes), f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB", flush=True)


def limit_memory() -> None:
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (taken + MAX_BYTES, resource.RLIM_INFINITY))


def fuzz(kind: str, numbers: range, folder: Path) -> Counter[str]:
    """Returns: how many inputs were read, and how many refused."""
    reader = READERS[kind]
    bases = reader.bases(folder)
    pieces = [part for base in bases for part in base.parts]
    outcomes: Counter[str] = Counter()
    for base in bases:
        reader.read(write(base, base.parts, folder))
    for number in numbers:
        rng = random.Random(f"{kind} {number}")
        base = rng.choice(bases)
        parts = list(base.parts)
        place = rng.randrange(len(parts))
        parts[place] = mutate(parts[place], pieces, rng)
        path = write(base, parts, folder)
        faulthandler.dump_traceback_later(MAX_SECONDS, exit=True)
        try:
            outcomes[outcome_of(reader, path)] += 1
        except BaseException:
            print(f"{kind}: input {number} lies in {path}", flush=True)
            raise
        faulthandler.cancel_dump_traceback_later()
    return outcomes


def write(base: Base, parts: Parts, folder: Path) -> Path:
    path = folder / base.name
    path.write_bytes(base.join(parts))
    return path


def outcome_of(reader: Reader, path: Path) -> str:
    try:
        reader.read(path)
        return "read"
    except reader.errors as error:
        told = str(error)
        assert str(path) in told, f"the file is not named: {told!r}"
        first, *more = told.splitlines()
        assert not more or reader.tells_rows and all(line.startswith("  ") for line in more), f"more lines: {told!r}"
        return "refused"


if __name__ == "__main__":
    faulthandler.enable()
    main(*sys.argv[1:])
