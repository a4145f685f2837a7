"""The watched folder and the folder of results: which files are complete, which are done. Infers nothing."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from suture_edge.record import Inference
from suture_models.walk import find_inputs
from suture_protocol.errors import UsageError

_LOCK_NAME = ".suture-edge.lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """A file as it lay there; a changed one differs in size or time."""

    path: Path
    size_bytes: int
    mtime_ns: int


def look(path: Path) -> Found | None:
    """The file as it is now; None where it is gone."""
    try:
        status = path.stat()
    except OSError:
        return None
    return Found(path=path, size_bytes=status.st_size, mtime_ns=status.st_mtime_ns)


class Inbox:
    """A folder that files arrive in. A file is complete once its size and time stayed the same for `settle_s`.

    Hidden files are left alone, so a sender that writes `.name` and renames it is safe at any speed; one that stalls
    for longer than `settle_s` is not, and its file is taken again when it changes.
    """

    def __init__(self, folder: Path, settle_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepares; looks at nothing yet."""
        self.folder = folder
        self._settle_s = settle_s
        self._clock = clock
        self._seen: dict[Path, tuple[Found, float]] = {}

    def complete(self) -> list[Found]:
        """The complete files, in the order of their paths."""
        now_s = self._clock()
        seen: dict[Path, tuple[Found, float]] = {}
        for path in find_inputs([self.folder]):
            found = look(path)
            if found is not None:
                before = self._seen.get(path)
                seen[path] = before if before is not None and before[0] == found else (found, now_s)
        self._seen = seen
        return [found for found, since_s in seen.values() if now_s - since_s >= self._settle_s]

    @property
    def waiting(self) -> int:
        """How many files were not complete when last looked."""
        now_s = self._clock()
        return sum(now_s - since_s < self._settle_s for _, since_s in self._seen.values())


class ResultFolder:
    """One JSON file per input, at the input's path within the watched folder and `.json` behind it.

    Each says under `source` which content it is the result of; that is the memory across restarts.
    """

    def __init__(self, folder: Path, inbox: Path) -> None:
        """Makes the folder and takes it for this process.

        Raises:
            UsageError: it cannot be made or written, or another agent works in it.
        """
        self.folder = folder
        self._inbox = inbox
        self._done: dict[Path, Found] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK_NAME).open("w")
        except OSError as error:
            raise UsageError(f"{folder}: results cannot be written there: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            raise UsageError(f"{folder}: another agent writes its results there; stop it, or name another") from error

    def close(self) -> None:
        """Lets another agent have the folder."""
        self._lock.close()

    def path_for(self, path: Path) -> Path:
        """Where the result of an input goes."""
        relative = path.relative_to(self._inbox)
        return self.folder / relative.parent / f"{relative.name}.json"

    def stem_for(self, path: Path) -> str:
        """What the names of an input's other results begin with, within this folder: beside its JSON file."""
        return str(self.path_for(path).relative_to(self.folder).with_suffix(""))

    def has(self, found: Found) -> bool:
        """Whether the file, as it is, was done, going by its size and time."""
        if self._done.get(found.path) == found:
            return True
        source = self._source(found.path)
        if (source.get("bytes"), source.get("mtime_ns")) == (found.size_bytes, found.mtime_ns):
            self._done[found.path] = found
            return True
        return False

    def has_content(self, found: Found, sha256: str) -> bool:
        """Whether the file's content was done, whatever its time says now."""
        if self._source(found.path).get("sha256") != sha256:
            return False
        self._done[found.path] = found
        return True

    def write(self, found: Found, result: Inference, sha256: str) -> None:
        """Writes a result; a reader sees the old one or the new one, never half of it.

        Args:
            found: The input.
            result: What came of it.
            sha256: Of the content; empty where the input is to be tried again by the next agent that starts.

        Raises:
            OSError: it cannot be written.
        """
        target = self.path_for(found.path)
        target.parent.mkdir(parents=True, exist_ok=True)
        source = {"bytes": found.size_bytes, "mtime_ns": found.mtime_ns, "sha256": sha256} if sha256 else None
        part = target.with_name(f".{target.name}.part")
        try:
            with part.open("w", encoding="utf-8") as stream:
                stream.write(json.dumps({**result.to_json(), "source": source}, allow_nan=False) + "\n")
                stream.flush()
                os.fsync(stream.fileno())
            part.replace(target)
        except OSError:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise
        self._done[found.path] = found

    def _source(self, path: Path) -> dict[str, Any]:
        try:
            known = json.loads(self.path_for(path).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        source = known.get("source") if isinstance(known, dict) else None
        return source if isinstance(source, dict) else {}
