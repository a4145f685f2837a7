"""Reassembly of one request's payload from its chunks, never beyond what its Start declared."""

from __future__ import annotations

from suture_protocol.events import Chunk, Start


class Upload:
    """The progress of one payload.

    Args:
        start: The request; its headers say how many bytes may come.
        keep: Whether to hold the bytes. The sender and a request over a limit only count them.
    """

    def __init__(self, start: Start, *, keep: bool) -> None:
        self.start = start
        self._total = start.payload_bytes
        self._offset = start.upload_offset
        # One growing buffer: a list of chunks would cost a hundred times its payload if they were a byte each.
        self._buffer = bytearray() if keep else None

    @property
    def declared_bytes(self) -> int:
        """How many bytes this upload brings."""
        return self._total - self.start.upload_offset

    @property
    def held_bytes(self) -> int:
        """How many bytes are held now."""
        return 0 if self._buffer is None else len(self._buffer)

    def check(self, chunk: Chunk) -> None:
        """Checks that `chunk` is the next one.

        Raises:
            ValueError: it leaves a gap, overlaps, goes beyond the declared size, or is the last and too short.
        """
        name = f"request {chunk.request_id}"
        if chunk.offset != self._offset:
            raise ValueError(f"{name}: a chunk at byte {chunk.offset} where byte {self._offset} is next")
        end = chunk.offset + len(chunk.data)
        if end > self._total:
            raise ValueError(f"{name}: {end} bytes of a payload declared as {self._total}")
        if chunk.last and end < self._total:
            raise ValueError(f"{name}: the last chunk ends at byte {end} of {self._total}")

    def add(self, chunk: Chunk) -> None:
        """Takes `chunk`, which `check` has passed."""
        self._offset += len(chunk.data)
        if self._buffer is not None:
            self._buffer += chunk.data

    def take(self) -> memoryview | None:
        """Hands over what is held and drops it here; None where the bytes were only counted."""
        buffer, self._buffer = self._buffer, None
        return None if buffer is None else memoryview(buffer).toreadonly()
