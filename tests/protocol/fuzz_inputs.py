"""What the fuzz damages: payloads of every codec, tables files and frames as they were written, and damage to them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from suture_protocol import frames
from suture_protocol.codecs.contexts import encode_codes
from suture_protocol.codecs.jpeglsstream import encode_planes
from suture_protocol.codecs.maps import codes_of, points_of, tiled
from suture_protocol.codecs.steps import to_symbols
from suture_protocol.codecs.tables import METHODS, Method
from suture_protocol.codecs.tablesfile import MAGIC, tables_to_bytes
from suture_protocol.codecs.zstdframe import deflate, inflate
from tests.protocol.session_samples import EVERY_EVENT
from tests.protocol.tables_samples import SPECS, codec_at, tensor_tables

#: The decoders that are no codecs.
TABLES: Final = "tables-file"
FRAMES: Final = "frames"
DECODERS: Final = (*SPECS, TABLES, FRAMES)

#: Images, maps, a volume, a sequence, vectors and nothing at all; small, so that a million take minutes.
_SHAPES: Final = (
    *((1, 1, 24, 31), (1, 3, 17, 8), (1, 32, 7, 7), (1, 4, 9, 16)),
    *((1, 2, 3, 4, 5), (1, 9, 12), (1, 16), (1, 0, 5)),
)
_TABLED: Final = ((1, 3, 17, 8), (1, 9, 12), (1, 16))
_DTYPES: Final = ("uint8", "uint16", "float32")
#: Sizes, counts and flags stand in front.
_FRONT: Final = 64
#: What a size is made of that no one meant.
_EXTREMES: Final = (0x00, 0x7F, 0x80, 0xFF)


@dataclass(frozen=True, slots=True)
class Sound:
    """An input as it was written. `decoder` is one of `DECODERS`; frames have neither shape nor dtype."""

    decoder: str
    payload: bytes
    shape: tuple[int, ...] = ()
    dtype: str = ""


def sound_inputs() -> dict[str, list[Sound]]:
    """Of every decoder: of each codec for every tensor that it takes, of tables files and of frames some."""
    found: dict[str, list[Sound]] = {decoder: [] for decoder in DECODERS}
    for spec in SPECS:
        for shape in _SHAPES:
            codec = codec_at(spec, shape)
            for dtype in _DTYPES:
                if codec.accepts(shape, dtype):
                    found[spec].append(Sound(spec, codec.encode(sample(shape, dtype)), shape, dtype))
    found["lossless-small"] += _of_each_method()
    for spec in ("narrow@1", "narrow@2"):
        found[spec] += [_without_range_coder(one) for one in found[spec]]
    for shape in _TABLED:
        tables = tensor_tables(shape)
        assert tables is not None
        found[TABLES].append(Sound(TABLES, tables_to_bytes({"conv": tables}), shape, "uint8"))
    found[FRAMES] += [Sound(FRAMES, frames.encode(event)) for event in EVERY_EVENT]
    return found


def _of_each_method() -> list[Sound]:
    """What `lossless-small` writes by each of its methods for a tensor that all of them take."""
    shape = _SHAPES[2]
    tables, codes = tensor_tables(shape), sample(shape, "uint8")
    assert tables is not None
    assert tables.contexts is not None
    bodies: dict[Method, bytes | None] = {
        "zstd": deflate(codes.tobytes(), 1),
        "jpegls": encode_planes(tiled(codes, column=False), 8, 0),
        "jpegls-column": encode_planes(tiled(codes, column=True), 8, 0),
        "contexts": encode_codes(codes, tables.contexts),
    }
    tagged = {bytes([METHODS.index(method)]): body for method, body in bodies.items() if body is not None}
    return [Sound("lossless-small", tag + body, shape, "uint8") for tag, body in tagged.items()]


def _without_range_coder(one: Sound) -> Sound:
    """What a unit without constriction sends for the same codes."""
    tables = tensor_tables(one.shape)
    assert tables is not None
    channels = tables.points[int(one.decoder.partition("@")[2]) - 1].channels
    symbols = codes_of(to_symbols(points_of(sample(one.shape, one.dtype)), channels), one.shape)
    return replace(one, payload=b"\0" + deflate(symbols.tobytes(), 1))


@cache
def sample(shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """Values that vary slowly along the last axis; not to be written to."""
    steps = np.random.default_rng(1).integers(-6, 7, shape)
    array: NDArray[Any] = (np.abs(np.cumsum(steps, axis=-1)) % 120).astype(dtype)
    array.flags.writeable = False
    return array


def damaged(one: Sound, others: list[Sound], rng: np.random.Generator) -> tuple[bytes, tuple[int, ...], str]:
    """The input with something wrong, and the tensor it is declared as.

    Args:
        one: The input.
        others: Inputs of the same decoder: parts and declarations come from them.
        rng: Draws the damage.
    """
    if one.decoder == TABLES and rng.integers(0, 2):
        return _damaged_inside(one.payload, rng), one.shape, one.dtype
    other = others[int(rng.integers(0, len(others)))]
    if not rng.integers(0, 9) and (other.shape, other.dtype) != (one.shape, one.dtype):
        return one.payload, other.shape, other.dtype
    return _damaged(one.payload, other.payload, rng), one.shape, one.dtype


def _damaged(payload: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """Bytes with something wrong, most often a few that are others, half the time in front."""
    found = bytearray(payload)
    kind = int(rng.integers(0, 8))
    reach = max(1, len(found) if rng.integers(0, 2) else min(len(found), _FRONT))
    at = int(rng.integers(0, reach))
    if kind <= 2 and found:
        for place in rng.integers(0, reach, int(rng.integers(1, 6))):
            found[place] = int(rng.integers(0, 256))
    elif kind == 3:
        del found[at:]
    elif kind == 4:
        found[at:at] = rng.bytes(int(rng.integers(1, 20)))
    elif kind == 5:
        found[at:] = other[int(rng.integers(0, max(len(other), 1))) :]
    elif kind == 6:
        found = bytearray(rng.bytes(int(rng.integers(0, 300))))
    else:
        extreme = _EXTREMES[int(rng.integers(0, len(_EXTREMES)))]
        found[at : at + 8] = bytes([extreme]) * len(found[at : at + int(rng.integers(1, 9))])
    return bytes(found)


def _damaged_inside(file: bytes, rng: np.random.Generator) -> bytes:
    """A tables file of one entry whose frame is sound and holds damaged content, to get behind the frame's checks."""
    at = len(MAGIC) + 4
    (key_bytes,) = struct.unpack_from("<H", file, at)
    at += 2 + key_bytes
    (content_bytes, _) = struct.unpack_from("<II", file, at)
    content = inflate(file[at + 8 :], content_bytes)
    content = _damaged(content, content, rng)
    frame = deflate(content, 1)
    return file[:at] + struct.pack("<II", len(content), len(frame)) + frame
