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

    def take(self, size_bytes: int, *, urgent: bool) -> Held | None:
        """Takes `size_bytes`; None, and nothing taken, where they do not fit."""
        usable_bytes = self.total_bytes if urgent else self.total_bytes * (1 - URGENT_SHARE)
        if self.used_bytes + size_bytes > usable_bytes:
            return None
        self.used_bytes += size_bytes
        return Held(self, size_bytes)


class Held:
    """What one request has taken of a budget: given back when it was let go and no `with` block is left in which
    someone works with it. For one event loop; not thread-safe."""

    def __init__(self, budget: Budget, size_bytes: int) -> None:
        self._budget = budget
        self._size_bytes = size_bytes
        self._users = 1

    def __enter__(self) -> None:
        self._users += 1

    def __exit__(self, *_: object) -> None:
        self.let_go()

    def let_go(self) -> None:
        """To be called once by whom it was given to."""
        self._users -= 1
        if not self._users:
            self._budget.used_bytes -= self._size_bytes
