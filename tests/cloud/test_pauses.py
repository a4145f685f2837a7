"""The collector's pauses, in a process of its own: what is frozen there would stay so for all other tests."""

from __future__ import annotations

import subprocess
import sys

_SCRIPT = """
import gc, weakref
from suture_cloud.pauses import settle

class Loop:
    def __init__(self):
        self.me = self

kept, gone = Loop(), Loop()
seen = weakref.ref(gone)
del gone
settle()
assert seen() is None, "garbage was frozen"
assert gc.get_freeze_count() > 0
assert not any(one is kept for one in gc.get_objects()), "a full collection still walks over it"
later = Loop()
seen = weakref.ref(later)
del later
gc.collect()
assert seen() is None, "what comes later is not collected"
"""


def test_what_is_loaded_is_out_of_the_collectors_sight_and_garbage_is_not_kept() -> None:
    run = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
