"""The agent: takes each file that arrives in a folder, infers, writes its result; one bad file stops nothing."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable

from suture_edge.folder import Found, Inbox, ResultFolder, look
from suture_edge.record import Inference
from suture_edge.unit import Unit
from suture_models.intake import read_input
from suture_models.walk import read_bytes
from suture_protocol.errors import InputRefused, SutureError

_log = logging.getLogger(__name__)

#: Pause before a file is tried again whose result could not be written, as on a full disk.
WRITE_RETRY_S = 10.0
#: Longest sleep between two looks at whether to stop.
_NAP_S = 0.2


class Agent:
    """Works until it is told to stop; finishes the image at hand first. Not thread-safe.

    Args:
        unit: Does the images.
        inbox: Where they arrive.
        results: Where results go.
        cut: A cut's id, or `auto`.
        stopping: Asked between images and while waiting.
        clock: Seconds, monotonic.
        sleep: Waits for some seconds.
    """

    def __init__(
        self,
        unit: Unit,
        inbox: Inbox,
        results: ResultFolder,
        *,
        cut: str,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._unit = unit
        self._inbox = inbox
        self._results = results
        self._cut = cut
        self._stopping = stopping
        self._clock = clock
        self._sleep = sleep
        self._retry_at_s: dict[Found, float] = {}
        #: Instances done and, of these, those that ended with an error.
        self.done = 0
        self.refused = 0

    def run(self, poll_s: float) -> None:
        """Watches the folder until told to stop."""
        while not self._stopping():
            self._round()
            self._wait(poll_s)

    def run_once(self, settle_s: float) -> None:
        """Does what is there now and complete; what is still being written is left for the next run."""
        self._inbox.complete()
        self._wait(settle_s)
        self._round()
        if waiting := self._inbox.waiting:
            _log.info("%d files are still being written; left for the next run", waiting)

    def _round(self) -> None:
        for found in self._inbox.complete():
            if self._stopping():
                return
            if not self._results.has(found) and self._clock() >= self._retry_at_s.get(found, 0.0):
                self._take(found)

    def _wait(self, seconds: float) -> None:
        until_s = self._clock() + seconds
        while not self._stopping() and (left_s := until_s - self._clock()) > 0:
            self._sleep(min(left_s, _NAP_S))

    def _take(self, found: Found) -> None:
        name = found.path.relative_to(self._inbox.folder)
        try:
            result, sha256 = self._result(found)
            if result is None:
                return
            self._results.write(found, result, sha256)
        except OSError as error:
            self._retry_at_s[found] = self._clock() + WRITE_RETRY_S
            _log.error("%s: its result cannot be written: %s; tried again in %.0f s", name, error, WRITE_RETRY_S)
            return
        self._retry_at_s.pop(found, None)
        self.done += 1
        self.refused += bool(result.error)
        _log.info("%s: %s", name, _said(result))

    def _result(self, found: Found) -> tuple[Inference | None, str]:
        """The file's result and its content's SHA-256; None where nothing is to be written now."""
        path = found.path
        try:
            data = read_bytes(path)
        except InputRefused as refusal:
            # It may become readable without changing, so it is not remembered across restarts.
            return Inference(path=str(path), error=refusal.reason), ""
        sha256 = hashlib.sha256(data).hexdigest()
        if look(path) != found or self._results.has_content(found, sha256):
            return None, ""  # it changed meanwhile and will be found again, or it was only touched
        stem = self._results.stem_for(path)
        try:
            return self._unit.infer(str(path), lambda: read_input(data, str(path)), self._cut, stem=stem), sha256
        except SutureError as error:
            return Inference(path=str(path), error=str(error)), ""
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the unit's loop: the next file must not suffer for this one
            _log.debug("%s", path, exc_info=True)
            return Inference(path=str(path), error=f"unexpected {type(error).__name__}: {error}"), ""


def _said(result: Inference) -> str:
    """What became of an instance, without its finding: logs are kept and read by more people than results are."""
    if result.error:
        return f"refused: {result.error}"
    text = f"finished on the {result.where}, cut {result.cut}, {result.payload_bytes} B, {result.total_s * 1000:.0f} ms"
    return f"{text}; {result.note}" if result.note else text
