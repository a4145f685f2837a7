"""A DICOM object, as bytes or Dataset, to a `Picture`: parsing within bounds, decoding, modality values.

Follows PS3.3 C.7.6.3 (Image Pixel), C.11.1 (Modality LUT), C.11.2 (VOI LUT) and the order of PS3.4 N.2.
Handled: one frame of 8 to 16 bits, MONOCHROME1/2, PALETTE COLOR, RGB and YBR (which become RGB).
"""

from __future__ import annotations

import io
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels import apply_color_lut

from suture_models.dicom_decode import decode_frame
from suture_models.dicom_header import DEFLATED, MONOCHROME, Header, check_pixels, read_header
from suture_models.dicom_luts import Grayscale, read_grayscale
from suture_models.guard import refusing
from suture_models.picture import MAX_PIXELS, Picture, range_of
from suture_protocol.errors import InputRefused

_META_START = 132
_META_HEAD_BYTES = 12
_GROUP_LENGTH_TAG = b"\x02\0\0\0UL\x04\0"
_EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1"
#: The largest picture at 16 bits, and 16 MiB for the rest of the dataset.
_MAX_INFLATED_BYTES = 2 * MAX_PIXELS + (1 << 24)


def read_dicom(data: bytes, name: str, *, frame: int | None = None) -> Picture:
    """Reads a Part 10 file (or a bare dataset of older days).

    Raises:
        InputRefused: it cannot be used; the reason says why.
    """
    data = _inflated(data, name)
    with refusing(name, "is damaged DICOM"):
        dataset = dcmread(io.BytesIO(data), force=True)
    return read_dataset(dataset, name, frame=frame)


def read_dataset(dataset: Dataset, name: str, *, frame: int | None = None) -> Picture:
    """Reads a dataset that someone else parsed (C-STORE, STOW); it is not changed.

    Raises:
        InputRefused: it cannot be used; the reason says why.
    """
    with refusing(name, "has a damaged DICOM header"):
        header = read_header(dataset, name)
        check_pixels(dataset, header, name)
    index = _frame_index(header, frame, name)
    stored = decode_frame(dataset, header, index, name)
    if header.photometric in MONOCHROME:
        with refusing(name, "has an unusable grayscale transformation"):
            grayscale = read_grayscale(dataset, index, signed=header.signed, name=name)
        return _grey_picture(header, stored, grayscale, name)
    if header.photometric == "PALETTE COLOR":
        with refusing(name, "has an unusable colour palette"):
            stored = _top_bits(apply_color_lut(stored, dataset))
    return _picture(header, name, values=stored, bits=8 * stored.dtype.itemsize, value_range=_colour_range(stored))


def _inflated(data: bytes, name: str) -> bytes:
    """`data` with a deflated dataset (PS3.5 A.5) inflated within bounds, which pydicom itself does without any."""
    head = data[_META_START : _META_START + 4096]
    if DEFLATED.encode() not in head:
        return data
    if not head.startswith(_GROUP_LENGTH_TAG):
        raise InputRefused(name, "is deflated DICOM without FileMetaInformationGroupLength; convert it")
    end = _META_START + _META_HEAD_BYTES + int.from_bytes(head[8:12], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        body = inflater.decompress(data[end:], _MAX_INFLATED_BYTES)
    except zlib.error as error:
        raise InputRefused(name, f"is damaged deflated DICOM: {error}") from error
    if inflater.unconsumed_tail:
        raise InputRefused(name, f"inflates to more than {_MAX_INFLATED_BYTES:,} bytes; not read")
    if not inflater.eof:
        raise InputRefused(name, "is cut short: its deflated dataset does not end")
    plain = _EXPLICIT_LITTLE_ENDIAN.ljust(len(DEFLATED), b"\0")
    return data[:end].replace(DEFLATED.encode(), plain) + body


def _frame_index(header: Header, frame: int | None, name: str) -> int:
    if frame is None and header.frames > 1:
        raise InputRefused(name, f"holds {header.frames} frames; export the one frame or slice that is to be read")
    if frame is not None and not 0 <= frame < header.frames:
        raise InputRefused(name, f"has no frame {frame}: it holds {header.frames}, counted from 0")
    return frame or 0


def _grey_picture(header: Header, stored: NDArray[Any], grayscale: Grayscale, name: str) -> Picture:
    inverted = header.photometric == "MONOCHROME1"
    padding = grayscale.padding_mask(stored)
    whole_range = header.bits_stored <= 8 and not header.signed and grayscale.modality_lut is None
    with refusing(name, "has an unusable rescaling"):
        values = grayscale.to_modality(stored)
        if whole_range:
            ends = grayscale.to_modality(np.array([0, (1 << header.bits_stored) - 1], dtype=stored.dtype))
            value_range = (float(ends.min()), float(ends.max()))
        else:
            value_range = range_of(values, 16, padding=padding)
    if values.dtype.kind == "f" and not np.isfinite(value_range).all():
        raise InputRefused(name, "rescales to values that are not finite numbers")
    if padding is not None and not padding.all():
        # Padding is "not part of the image" (C.7.5.1.1.2): shown black, or it would be a white frame in MONOCHROME1.
        counted = values[~padding]
        values[padding] = counted.max() if inverted else counted.min()
    return _picture(
        header,
        name,
        values=values,
        bits=header.bits_stored,
        value_range=value_range,
        inverted=inverted,
        voi=grayscale.voi,
    )


def _picture(header: Header, name: str, **parts: Any) -> Picture:
    return Picture(
        name=name,
        kind="image",
        photometric=header.photometric,
        modality=header.modality,
        transfer_syntax=header.transfer_syntax,
        sop_instance_uid=header.sop_instance_uid,
        study_instance_uid=header.study_instance_uid,
        series_instance_uid=header.series_instance_uid,
        place=header.place,
        **parts,
    )


def _top_bits(colours: NDArray[Any]) -> NDArray[np.uint8]:
    """8-bit colours of a palette; pydicom gives 16-bit entries for 16-bit palettes (PS3.3 C.7.6.3.1.5)."""
    return (colours >> 8).astype(np.uint8) if colours.dtype == np.uint16 else colours.astype(np.uint8)


def _colour_range(colours: NDArray[Any]) -> tuple[float, float]:
    return 0.0, float(np.iinfo(colours.dtype).max)
