"""Compiled heads of one bundle, engine and variant, kept for reuse: a cut that was used before starts at once, and one
that is wanted next is made ready beside the one in force."""

from __future__ import annotations

import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_edge.engines.base import Engine, Head
from suture_edge.engines.registry import load_head
from suture_edge.slowdown import Slowdown, full_speed
from suture_models.bundle import Bundle
from suture_models.manifest import INPUT_CUT, LAST_CUT, Cut, Variant
from suture_models.tables import BundleTables
from suture_protocol.errors import SutureError

_log = logging.getLogger(__name__)

#: A MobileNetV2 head takes a few MB; the unit has 300.
HEADS_KEPT: Final = 4
#: What compiling beside the head in force gives way by: the image at hand comes first.
_NICE: Final = 10


class Heads:
    """The heads of one variant. `run`, `prepare`, `want`, `ready` and `held_bytes` may be called from any thread.

    One head runs one image at a time; two heads may run at once. At most `kept` are loaded, those used longest ago go
    first; the last cut's, once loaded, stays, since finishing alone must not wait. While one is being made ready beside
    the others, there may be one more.

    On an emulated slow device `slow` stretches the making as well, by sleeping; the work itself is done at the host's
    speed and at a low priority, so that where a second core is free, times measured meanwhile are not touched.
    """

    def __init__(
        self,
        bundle: Bundle,
        engine: Engine,
        variant: Variant,
        *,
        threads: int = 1,
        slow: Slowdown = full_speed,
        kept: int = HEADS_KEPT,
    ) -> None:
        """Prepares; nothing is loaded yet. Of the heads, `kept` stay loaded."""
        self.bundle = bundle
        self.engine = engine
        self.variant = variant
        self.threads = threads
        self.tables = BundleTables(bundle, variant)
        self._slow = slow
        self._room = kept
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._lock = threading.Lock()
        #: Engines keep graphs and other state while they load: one head at a time.
        self._loading = threading.RLock()
        #: The head that was made and is not in use yet: while a slow device is emulated, it waits here.
        self._coming: list[_Kept] = []
        self._maker = _Maker(self)
        self._failed: set[str] = set()

    def run(self, cut: Cut, image: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Runs the head of `cut`, loading it if it is not at hand; see `Head.run`.

        Raises:
            BundleError: the variant has no head for that cut, or the engine cannot compile or run it.
            CapabilityMissing: the engine's library is not installed.
        """
        while True:
            kept = self._prepared(cut)
            with kept.lock:
                if kept.head is not None:
                    work = (self.bundle.digest, self.variant.id, cut.id, image.shape)
                    return self._slow(kept.head.run, work=work)(image)

    def prepare(self, cut: Cut) -> Head:
        """The head of `cut`, loaded; raises as `run` does. To run it is the caller's, in one thread."""
        while True:
            head = self._prepared(cut).head
            if head is not None:
                return head

    def ready(self, cut: Cut) -> bool:
        """Whether `run` would begin at once."""
        with self._lock:
            return cut.id == INPUT_CUT or cut.id in self._kept

    def want(self, cut: Cut) -> None:
        """Has the head of `cut` made ready in the background: loaded, compiled, run once.

        Of cuts wanted meanwhile only the latest is made, and the last cut. One that cannot be made is told of in the
        log, once, and never gets ready.
        """
        with self._lock:
            if cut.id in self._kept or cut.id in self._failed:
                return
        self._maker.want(cut)

    def held_bytes(self) -> Mapping[str, int]:
        """Heads held now, by cut: what this process grew by when each was made ready in the background; 0 where it was
        loaded on demand, or something else was freed meanwhile."""
        with self._lock:
            return {cut_id: kept.memory_bytes for cut_id, kept in self._kept.items()}

    def close(self) -> None:
        """Stops making heads and frees every one, each when it is not running.

        Waits for a head that is being made: Python ends a background thread that is inside an engine when the process
        ends by unwinding it, which C++ answers by aborting the process. From here on that thread touches no engine.
        """
        self._maker.close()
        with self._loading:
            with self._lock:
                gone = [*self._kept.values(), *self._coming]
                self._kept.clear()
                self._coming.clear()
            for kept in gone:
                kept.close()

    def make(self, cut: Cut) -> None:
        """Makes the head of `cut` ready, as `want` promises; does not raise for what a bundle or engine lacks."""
        try:
            # Stretched as a whole, but without keeping others from loading meanwhile.
            self._slow(lambda: self._warmed(cut))()
        except SutureError as error:
            self._failed.add(cut.id)
            _log.warning("the head of cut %s cannot be made ready: %s", cut.id, error)
            return
        with self._loading:
            if self._maker.closed:
                return
            made = self._coming.pop()
            with self._lock:
                wanted = cut.id not in self._kept
            if wanted:
                self._keep(cut, made, used=False)
            else:
                made.close()

    def _prepared(self, cut: Cut) -> _Kept:
        with self._lock:
            if cut.id in self._kept:
                self._kept.move_to_end(cut.id)
                return self._kept[cut.id]
        with self._loading:
            with self._lock:
                if cut.id in self._kept:  # made meanwhile
                    self._kept.move_to_end(cut.id)
                    return self._kept[cut.id]
            head = load_head(self.engine, self.bundle, self.variant, cut, threads=self.threads)
            return self._keep(cut, _Kept(head, 0), used=True)

    def _warmed(self, cut: Cut) -> None:
        """Loads a head and runs it once, unless all are being closed."""
        with self._loading:
            if self._maker.closed:
                return
            before = _resident_bytes()
            head = load_head(self.engine, self.bundle, self.variant, cut, threads=self.threads)
            spec = self.bundle.manifest.network.input
            head.run(np.zeros(spec.shape, spec.dtype))
            self._coming[:] = [_Kept(head, max(_resident_bytes() - before, 0))]

    def _keep(self, cut: Cut, kept: _Kept, *, used: bool) -> _Kept:
        """Takes a head in; one that was not used yet goes before the one in force, so that neither drives it out."""
        gone: list[_Kept] = []
        with self._lock:
            self._kept[cut.id] = kept
            if not used and len(self._kept) > 1:
                in_force = list(self._kept)[-2]
                self._kept.move_to_end(in_force)
            for cut_id in [c for c in self._kept if c not in (cut.id, LAST_CUT)]:
                if len(self._kept) <= max(self._room, 1):
                    break
                gone.append(self._kept.pop(cut_id))
        for old in gone:
            old.close()
        return kept


class _Kept:
    """A head with the lock under which it runs; `head` is None once it was closed."""

    def __init__(self, head: Head, memory_bytes: int) -> None:
        self.head: Head | None = head
        self.memory_bytes = memory_bytes
        self.lock = threading.Lock()

    def close(self) -> None:
        """Frees it as soon as it does not run."""
        with self.lock:
            head, self.head = self.head, None
        if head is not None:
            head.close()


class _Maker:
    """The thread that makes heads ready; begun with the first wish, ended when there has been none for a while."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._changed = threading.Condition()
        self._wanted: dict[bool, Cut] = {}  # the last cut under True, the latest other one under False
        self._thread: threading.Thread | None = None
        self._closed = False

    def want(self, cut: Cut) -> None:
        """See `Heads.want`."""
        with self._changed:
            if self._closed:
                return
            self._wanted[cut.id == LAST_CUT] = cut
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="suture-heads", daemon=True)
                self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether nothing is made any more."""
        return self._closed

    def close(self) -> None:
        """Drops all wishes; what is being made is freed when it is done."""
        with self._changed:
            self._closed = True
            self._wanted.clear()

    def _run(self) -> None:
        _give_way()
        try:
            while True:
                with self._changed:
                    if not self._wanted:
                        self._thread = None
                        return
                    # The plan's wish first: the last cut is for a bad moment that may never come.
                    cut = self._wanted.pop(False, None) or self._wanted.pop(True)
                self._heads.make(cut)
        finally:
            # Where it ends by an error that nobody foresaw, the next wish has a new one begun.
            with self._changed:
                if self._thread is threading.current_thread():
                    self._thread = None


def _give_way() -> None:
    """Lowers the priority of the calling thread alone, where the system can do that."""
    if hasattr(os, "setpriority") and os.uname().sysname == "Linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)


def _resident_bytes() -> int:
    """What this process has in memory; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
