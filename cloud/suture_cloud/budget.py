"""One number shared by all streams: how many bytes of requests this process may hold at a time."""

from __future__ import annotations

from typing import Final

#: Payloads and decoded tensors of all streams together. Four of the largest requests, or thousands of usual ones;
#: a replica with 4 GiB keeps the rest for the tails.
MAX_MEMORY_BYTES: Final = 1 << 30


class Budget:
    """Counts bytes against a total. For one event loop; not thread-safe."""

    def __init__(self, total_bytes: int = MAX_MEMORY_BYTES) -> None:
        self.total_bytes = total_bytes
        self.used_bytes = 0

    def take(self, size_bytes: int) -> bool:
        """Takes `size_bytes`, or takes nothing and returns False where they do not fit."""
        if self.used_bytes + size_bytes > self.total_bytes:
            return False
        self.used_bytes += size_bytes
        return True

    def give_back(self, size_bytes: int) -> None:
        """Returns what was taken."""
        self.used_bytes -= size_bytes
