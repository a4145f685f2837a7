"""One number shared by all streams: how many bytes of requests this process may hold at a time."""

from __future__ import annotations

from typing import Final

#: Payloads and decoded tensors of all streams together. Four of the largest requests, or thousands of usual ones;
#: a replica with 4 GiB keeps the rest for the tails.
MAX_MEMORY_BYTES: Final = 1 << 30
#: Of that, for urgent requests alone: routine ones that hold all the rest do not have an urgent one refused.
URGENT_SHARE: Final = 1 / 8


class Budget:
    """Counts bytes against a total. For one event loop; not thread-safe."""

    def __init__(self, total_bytes: int = MAX_MEMORY_BYTES) -> None:
        self.total_bytes = total_bytes
        self.used_bytes = 0

    def take(self, size_bytes: int, *, urgent: bool) -> bool:
        """Takes `size_bytes`, or takes nothing and returns False where they do not fit."""
        usable_bytes = self.total_bytes if urgent else self.total_bytes * (1 - URGENT_SHARE)
        if self.used_bytes + size_bytes > usable_bytes:
            return False
        self.used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """Returns what was taken."""
        self.used_bytes -= size_bytes
