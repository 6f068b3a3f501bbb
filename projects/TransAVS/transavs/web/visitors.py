"""The files of those who have tools/web_demo.py's page open: each visitor's go when the visitor does."""

import hashlib
import shutil
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Visitors:
    """A visitor is known by a folder; its parts are made by `new_part`, and all go with `leave`, or by `sweep`.

    Args:
        root: a folder; Gradio keeps uploads in it too, two equal ones in the same place.
    """

    def __init__(self, root: Path):
        self.root = root
        self._shown: dict[Path, Any] = {}  # by the visitor's folder: what the visitor sees
        self._uploads: dict[str, set[Path]] = defaultdict(set)  # of paths, the folders of those who uploaded them
        self._kept: set[Path] = set()
        self._at_work: Counter[Path] = Counter()
        self._left: set[Path] = set()
        self._lock = threading.Lock()

    def folder(self, name: str | None) -> Path:
        """The visitor's, who may be new. A browser chooses the name: it may be ../.. too."""
        return self.root / "visitors" / hashlib.sha256(str(name).encode()).hexdigest()

    def new_part(self, folder: Path) -> Path:
        """Makes an empty folder in the visitor's."""
        folder.mkdir(parents=True, exist_ok=True)
        return Path(tempfile.mkdtemp(dir=folder))

    def show(self, folder: Path, part: Path, what: Any) -> None:
        """Keeps what the visitor sees now, with its part of the folder; the other parts are not needed any more."""
        self._shown[folder] = what
        for other in folder.iterdir():
            if other != part:
                shutil.rmtree(other, ignore_errors=True)

    def shown(self, folder: Path) -> Any:
        """What the visitor sees; None before there is anything."""
        return self._shown.get(folder)

    def keep_all(self) -> None:
        """What lies in the root now stays, even if a visitor uploads the same."""
        self._kept = set(self.root.rglob("*"))

    def hold(self, folder: Path, upload: str) -> None:
        """Keeps an upload as long as one who uploaded it is there and has not uploaded another."""
        with self._lock:
            if Path(upload).is_file() and Path(upload) not in self._kept:
                self._uploads[upload].add(folder)
            self._release(folder, but=upload)

    @contextmanager
    def at_work(self, folder: Path) -> Iterator[None]:
        """While something is computed: who leaves meanwhile takes along what is still written."""
        with self._lock:
            self._at_work[folder] += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= Counter([folder])
                left = folder in self._left and not self._at_work[folder]
            if left:
                self.leave(folder)

    def leave(self, folder: Path) -> None:
        with self._lock:
            self._release(folder)
            if self._at_work[folder]:
                self._left.add(folder)
                return
            self._left.discard(folder)
        self._shown.pop(folder, None)
        shutil.rmtree(folder, ignore_errors=True)

    def sweep(self, max_age: float) -> None:
        """Removes what lies there since `max_age` seconds: of visitors who were never seen to leave."""
        for folder in (self.root / "visitors").glob("*"):
            if time.time() - folder.stat().st_mtime > max_age:
                self.leave(folder)

    def _release(self, folder: Path, but: str | None = None) -> None:
        for path, holders in list(self._uploads.items()):
            if path != but:
                holders.discard(folder)
            if not holders:
                del self._uploads[path]
                Path(path).unlink(missing_ok=True)
