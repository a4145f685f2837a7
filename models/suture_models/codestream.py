"""What the header of a JPEG, JPEG-LS or JPEG 2000 codestream says, so that no decoder meets a surprise.

Sources: ITU-T T.81 B.2.2 (frame header), T.87 C.2.2 (JPEG-LS), T.800 A.5.1 (SIZ). Decodes nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

_SOI, _SOS, _DHT = 0xD8, 0xDA, 0xC4
_JPEG_FRAMES = {0xC0: "jpeg", 0xC1: "jpeg", 0xC2: "jpeg", 0xC3: "jpeg-lossless", 0xF7: "jpeg-ls"}
_OTHER_FRAMES = frozenset({0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
_WITHOUT_LENGTH = frozenset({0x01, _SOI, *range(0xD0, 0xD8)})
_J2K_START = b"\xff\x4f\xff\x51"
_JP2_START = b"\x00\x00\x00\x0cjP  "
#: A JP2 wrapper's boxes before the codestream are small.
_JP2_SEARCH_BYTES = 1 << 16


class CodestreamError(ValueError):
    """The header of a codestream cannot be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Codestream:
    """`family` is `jpeg`, `jpeg-lossless`, `jpeg-ls` or `jpeg2000`; `bits` is the deepest component's.

    `start` is where the codestream begins: beyond 0 where a JP2 file was stored, which PS3.5 A.4.4 forbids.
    """

    family: str
    rows: int
    columns: int
    components: int
    bits: int
    start: int = 0


def read_codestream(data: bytes) -> Codestream:
    """Reads a codestream's header.

    Raises:
        CodestreamError: it is none of the known kinds, or damaged.
    """
    if data.startswith((_J2K_START, _JP2_START)):
        return _jpeg_2000(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    raise CodestreamError("they begin with none of the JPEG family's markers")


def _jpeg(data: bytes) -> Codestream:
    """Walks every segment up to the first scan: GDCM aborts the process on some that libjpeg only warns about."""
    at, frame = 2, None
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            raise CodestreamError(f"a JPEG marker is missing at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF or marker in _WITHOUT_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : at + 2 + length]
        if length < 2 or len(body) != length - 2:
            raise CodestreamError(f"the JPEG segment at byte {at} is cut short")
        if marker in _OTHER_FRAMES:
            raise CodestreamError(f"they use a JPEG process (SOF{marker - 0xC0}) that nothing here decodes")
        if marker in _JPEG_FRAMES:
            frame = _jpeg_frame(_JPEG_FRAMES[marker], body)
        elif marker == _DHT:
            _check_huffman_tables(body)
        elif marker == _SOS:
            break
        at += 2 + length
    if frame is None:
        raise CodestreamError("the JPEG frame header is missing")
    return frame


def _check_huffman_tables(body: bytes) -> None:
    """T.81 B.2.4.2: each table is a class and slot, 16 counts, then as many values as the counts add up to."""
    at = 0
    while at < len(body):
        count = sum(body[at + 1 : at + 17])
        if at + 17 + count > len(body) or count > 256:
            raise CodestreamError("a JPEG Huffman table is damaged")
        at += 17 + count


def _jpeg_frame(family: str, body: bytes) -> Codestream:
    if len(body) < 6:
        raise CodestreamError("the JPEG frame header is cut short")
    bits, rows, columns, components = struct.unpack(">BHHB", body[:6])
    return Codestream(family=family, rows=rows, columns=columns, components=components, bits=bits)


def _jpeg_2000(data: bytes) -> Codestream:
    start = data.find(_J2K_START, 0, _JP2_SEARCH_BYTES)
    if start < 0:
        raise CodestreamError("the JPEG 2000 size marker is missing")
    body = data[start + 4 :]
    if len(body) < 38:
        raise CodestreamError("the JPEG 2000 size marker is cut short")
    _, _, x1, y1, x0, y0, tile_w, tile_h, _, _, components = struct.unpack(">HHIIIIIIIIH", body[:38])
    depths = body[38 : 38 + 3 * components : 3]
    if len(depths) != components or x1 <= x0 or y1 <= y0 or not tile_w or not tile_h:
        raise CodestreamError("the JPEG 2000 size marker contradicts itself")
    bits = max((depth & 0x7F) + 1 for depth in depths) if components else 0
    rows, columns = y1 - y0, x1 - x0
    return Codestream(family="jpeg2000", rows=rows, columns=columns, components=components, bits=bits, start=start)
