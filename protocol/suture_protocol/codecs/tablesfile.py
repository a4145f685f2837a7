"""Tables as bytes and back: the file that a bundle carries for its codecs, read with every size checked.

Little-endian throughout. The file: the magic, a 16-bit version, a 16-bit number of entries; then for each its key (a
16-bit length, UTF-8), a 32-bit size and one zstd frame of so many bytes, whose content is bounded. An entry: the
tensor's shape (8 bits of axes, 32 bits each), the methods (8 bits of number, 8 bits each), the window, and the contexts
(8 bits, 1 where there are any; then numbers of classes, channels and bins, and the arrays of `ContextTables` in order),
and the operating points (8 bits of number; for each the number of channels, centres, steps and contexts).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol.codecs.maps import grid_of
from suture_protocol.codecs.tables import METHODS, SYMBOLS, ChannelSteps, ContextTables, NarrowPoint, TensorTables
from suture_protocol.codecs.zstdframe import TOP_LEVEL, deflate, inflate
from suture_protocol.errors import CodecError
from suture_protocol.limits import MAX_AXES, MAX_ELEMENTS, MAX_ID_CHARS

MAGIC: Final = b"SUTURETB"
VERSION: Final = 1
#: Content of one entry: 16 classes in 31 contexts take 127 KB.
MOST_ENTRY_BYTES: Final = 4 << 20
#: Entries of one file: every tensor that crosses a cut, and no network of the zoo has a thousand.
MOST_ENTRIES: Final = 8192


class TablesFile:
    """The entries of a file; each is read when it is first asked for.

    Raises:
        CodecError: not such a file, of a version that is not known here, or damaged.
    """

    def __init__(self, content: bytes) -> None:
        reader = _Reader(content)
        if reader.take(len(MAGIC)) != MAGIC:
            raise CodecError("it is no file of codec tables")
        version, entries = reader.numbers("HH")
        if version != VERSION:
            raise CodecError(f"codec tables of version {version}, this version of Suture reads {VERSION}")
        if entries > MOST_ENTRIES:
            raise CodecError(f"codec tables with {entries} entries; at most {MOST_ENTRIES} are accepted")
        self._frames: dict[str, tuple[int, bytes]] = {}
        self._read: dict[str, TensorTables] = {}
        for _ in range(entries):
            (length,) = reader.numbers("H")
            if length > 4 * MAX_ID_CHARS:
                raise CodecError("a key of codec tables is too long")
            try:
                key = reader.take(length).decode()
            except UnicodeDecodeError as error:
                raise CodecError("a key of codec tables is no text") from error
            content_bytes, frame_bytes = reader.numbers("II")
            if content_bytes > MOST_ENTRY_BYTES:
                raise CodecError(f"codec tables {key!r} take {content_bytes} bytes; at most {MOST_ENTRY_BYTES} may be")
            self._frames[key] = (content_bytes, reader.take(frame_bytes))
        reader.end()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of all entries, as they were written."""
        return tuple(self._frames)

    def tensor(self, key: str) -> TensorTables | None:
        """The tables under `key`; None where there are none.

        Raises:
            CodecError: they are damaged.
        """
        if key in self._frames and key not in self._read:
            content_bytes, frame = self._frames[key]
            try:
                self._read[key] = _tensor(_Reader(inflate(frame, content_bytes)))
            except (CodecError, ValueError) as error:
                raise CodecError(f"codec tables {key!r} are damaged: {error}") from error
        return self._read.get(key)


def tables_to_bytes(tables: Mapping[str, TensorTables]) -> bytes:
    """The file of `tables`; the same tables always give the same bytes."""
    parts = [MAGIC, struct.pack("<HH", VERSION, len(tables))]
    for key, entry in sorted(tables.items()):
        content = _entry_bytes(entry)
        frame, name = deflate(content, TOP_LEVEL), key.encode()
        parts += [struct.pack("<H", len(name)), name, struct.pack("<II", len(content), len(frame)), frame]
    return b"".join(parts)


def _entry_bytes(entry: TensorTables) -> bytes:
    head = struct.pack(f"<B{len(entry.shape)}I", len(entry.shape), *entry.shape)
    methods = bytes([len(entry.methods), *(METHODS.index(method) for method in entry.methods)])
    contexts = b"\0" if entry.contexts is None else b"\1" + _contexts_bytes(entry.contexts)
    points = bytes([len(entry.points)]) + b"".join(_point_bytes(point) for point in entry.points)
    return head + methods + bytes([entry.window_log]) + contexts + points


def _point_bytes(point: NarrowPoint) -> bytes:
    centres, steps = point.channels.centres, point.channels.steps.astype("<u2")
    return struct.pack("<I", steps.size) + centres.tobytes() + steps.tobytes() + _contexts_bytes(point.contexts)


def _contexts_bytes(tables: ContextTables) -> bytes:
    sizes = (len(tables.costs), len(tables.home), len(tables.sum_bins), len(tables.spread_bins))
    arrays = (tables.home, tables.jumps, tables.sum_bins.astype("<u2"), tables.spread_bins, tables.costs)
    return struct.pack("<HIHH", *sizes) + b"".join(array.tobytes() for array in arrays)


def _tensor(reader: _Reader) -> TensorTables:
    (axes,) = reader.numbers("B")
    if axes > MAX_AXES:
        raise CodecError(f"a tensor of {axes} axes")
    shape = reader.numbers(f"{axes}I")
    if math.prod(shape) > MAX_ELEMENTS:
        raise CodecError(f"a tensor of shape {shape}")
    (count,) = reader.numbers("B")
    methods = reader.take(count)
    if any(method >= len(METHODS) for method in methods):
        raise CodecError("a method that is not known here")
    window_log, has_contexts = reader.numbers("BB")
    if window_log and not 10 <= window_log <= 27:
        raise CodecError(f"a window of 2^{window_log} bytes")
    contexts = _contexts(reader) if has_contexts else None
    (count,) = reader.numbers("B")
    points = tuple(_point(reader) for _ in range(count))
    reader.end()
    channels = grid_of(shape)[0]
    if any(known.home.size != channels for known in (contexts, *(point.contexts for point in points)) if known):
        raise CodecError(f"tables of another number of channels than the {channels} of the tensor")
    return TensorTables(
        shape=shape,
        methods=tuple(METHODS[method] for method in methods),
        window_log=window_log,
        contexts=contexts,
        points=points,
    )


def _point(reader: _Reader) -> NarrowPoint:
    (channels,) = reader.numbers("I")
    steps = ChannelSteps(
        centres=reader.array((channels,), "u1"), steps=reader.array((channels,), "<u2").astype(np.uint16)
    )
    return NarrowPoint(channels=steps, contexts=_contexts(reader))


def _contexts(reader: _Reader) -> ContextTables:
    classes, channels, sums, spreads = reader.numbers("HIHH")
    contexts = 1 + (sums + 1) * (spreads + 1)
    return ContextTables(
        home=reader.array((channels,), "u1"),
        jumps=reader.array((classes, classes), "u1"),
        sum_bins=reader.array((sums,), "<u2").astype(np.uint16),
        spread_bins=reader.array((spreads,), "u1"),
        costs=reader.array((classes, contexts, SYMBOLS), "u1"),
    )


class _Reader:
    """Takes bytes from the front; `CodecError` where there are too few."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0

    def take(self, size: int) -> bytes:
        if size > len(self._content) - self._at:
            raise CodecError("it is cut short")
        self._at += size
        return self._content[self._at - size : self._at]

    def numbers(self, layout: str) -> tuple[int, ...]:
        whole = f"<{layout}"
        return struct.unpack(whole, self.take(struct.calcsize(whole)))

    def array(self, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        return np.frombuffer(self.take(size), dtype).reshape(shape)

    def end(self) -> None:
        if self._at != len(self._content):
            raise CodecError("it goes on behind its end")
