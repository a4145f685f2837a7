"""What a DICOM header says of its pixels, checked before any of them is decoded. PS3.3 C.7.6.3, PS3.5 8.1 and A.4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydicom.dataset import Dataset

from suture_models.picture import SlicePlace, check_size
from suture_protocol.errors import InputRefused

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT_LITTLE, EXPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG})

MONOCHROME = frozenset({"MONOCHROME1", "MONOCHROME2"})
_ONE_SAMPLE = MONOCHROME | {"PALETTE COLOR"}
_THREE_SAMPLES = frozenset({"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"})

_DICOMDIR = "1.2.840.10008.1.3.10"
_NOT_IMAGES: Mapping[str, str] = {
    "SR": "a structured report", "KO": "a key object selection", "PR": "a presentation state",
    "RTSTRUCT": "a set of radiotherapy contours", "RTPLAN": "a radiotherapy plan", "RTDOSE": "a radiotherapy dose grid",
    "RTRECORD": "a radiotherapy record", "SEG": "a segmentation", "DOC": "an encapsulated document",
    "ECG": "a waveform; give a signal as a .npy array (time, leads)", "REG": "a registration", "FID": "fiducials",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Header:
    """The Image Pixel module and what identifies the image, as plain checked values."""

    rows: int
    columns: int
    frames: int
    samples: int
    planar: int
    photometric: str
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    transfer_syntax: str
    modality: str
    sop_instance_uid: str
    study_instance_uid: str
    series_instance_uid: str
    place: SlicePlace


def read_header(dataset: Dataset, name: str) -> Header:
    """Reads the header of an object that holds an image.

    Raises:
        InputRefused: it is no image, lacks an attribute, or has one of an impossible value.
    """
    _refuse_other_objects(dataset, name)
    allocated = _integer(dataset, "BitsAllocated", name)
    stored = _integer(dataset, "BitsStored", name, default=allocated)
    return Header(
        rows=_integer(dataset, "Rows", name),
        columns=_integer(dataset, "Columns", name),
        frames=_integer(dataset, "NumberOfFrames", name, default=1),
        samples=_integer(dataset, "SamplesPerPixel", name, default=1),
        planar=_integer(dataset, "PlanarConfiguration", name, default=0),
        photometric=_text(dataset, "PhotometricInterpretation"),
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=_integer(dataset, "HighBit", name, default=stored - 1),
        signed=_integer(dataset, "PixelRepresentation", name, default=0) == 1,
        transfer_syntax=_transfer_syntax(dataset, name),
        modality=_text(dataset, "Modality"),
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        series_instance_uid=_text(dataset, "SeriesInstanceUID"),
        place=read_place(dataset),
    )


def check_pixels(dataset: Dataset, header: Header, name: str) -> None:
    """Refuses pixels that cannot be used, without decoding or allocating any.

    Raises:
        InputRefused: with the reason.
    """
    pixels = dataset.get("PixelData")
    stored_bytes = len(pixels) if isinstance(pixels, (bytes, bytearray)) else 0
    if stored_bytes == 0:
        raise InputRefused(name, "has no pixel data: the file is cut short, or holds only a header")
    check_size(name, rows=header.rows, columns=header.columns, stored_bytes=stored_bytes)
    _check_format(header, name)
    if header.frames < 1:
        raise InputRefused(name, f"has NumberOfFrames {header.frames}")
    if header.transfer_syntax in NATIVE:
        samples = 2 if header.photometric == "YBR_FULL_422" else header.samples
        needed = header.rows * header.columns * samples * header.frames * (header.bits_allocated // 8)
        if stored_bytes < needed:
            raise InputRefused(name, f"is cut short: {stored_bytes:,} of {needed:,} bytes of pixels")


def read_place(dataset: Dataset) -> SlicePlace:
    """Where the slice lies; whatever is missing, or has the wrong number of values, is None."""
    position = _numbers(dataset, "ImagePositionPatient", 3)
    orientation = _numbers(dataset, "ImageOrientationPatient", 6)
    spacing = _numbers(dataset, "PixelSpacing", 2)
    number = _numbers(dataset, "InstanceNumber", 1)
    return SlicePlace(
        position=None if position is None else (position[0], position[1], position[2]),
        orientation=None if orientation is None else (*orientation[:5], orientation[5]),  # type: ignore[arg-type]
        spacing=None if spacing is None else (spacing[0], spacing[1]),
        instance_number=None if number is None else int(number[0]),
    )


def _refuse_other_objects(dataset: Dataset, name: str) -> None:
    meta = getattr(dataset, "file_meta", None)
    if "DirectoryRecordSequence" in dataset or (meta and meta.get("MediaStorageSOPClassUID") == _DICOMDIR):
        raise InputRefused(name, "is a DICOMDIR, an index of other files; give those files or their folder")
    modality = _text(dataset, "Modality")
    if modality in _NOT_IMAGES:
        raise InputRefused(name, f"is not an image but {_NOT_IMAGES[modality]}")
    if "EncapsulatedDocument" in dataset:
        raise InputRefused(name, "is not an image but an encapsulated document")
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise InputRefused(name, "holds floating-point pixels, which are measurements rather than an image")
    if "Rows" not in dataset and "PixelData" not in dataset:
        if not any(
            keyword in dataset for keyword in ("SOPClassUID", "SOPInstanceUID", "PatientID", "StudyInstanceUID")
        ):
            raise InputRefused(name, "is cut short or damaged: no DICOM dataset can be read from it")
        raise InputRefused(name, "has no pixels: it is not an image, or is cut short before them")


def _check_format(header: Header, name: str) -> None:
    expected = 1 if header.photometric in _ONE_SAMPLE else 3
    if header.photometric not in _ONE_SAMPLE | _THREE_SAMPLES:
        shown = header.photometric or "missing"
        raise InputRefused(name, f"has PhotometricInterpretation {shown}; grey, palette, RGB and YBR are read")
    if header.samples != expected:
        raise InputRefused(name, f"has {header.samples} samples per pixel, which {header.photometric} does not allow")
    if header.bits_allocated not in (8, 16):
        raise InputRefused(name, f"has {header.bits_allocated} bits allocated per sample; 8 and 16 are read")
    if not 2 <= header.bits_stored <= header.bits_allocated:
        raise InputRefused(name, f"has {header.bits_stored} bits stored in {header.bits_allocated} allocated")
    if not header.bits_stored - 1 <= header.high_bit < header.bits_allocated:
        raise InputRefused(name, f"has {header.bits_stored} bits stored below high bit {header.high_bit}")
    if header.planar not in (0, 1):
        raise InputRefused(name, f"has PlanarConfiguration {header.planar}; 0 and 1 are defined")
    if header.signed and header.photometric not in MONOCHROME:
        raise InputRefused(name, f"has signed {header.photometric} pixels, which DICOM does not allow")


def _transfer_syntax(dataset: Dataset, name: str) -> str:
    meta = getattr(dataset, "file_meta", None)
    syntax = str(meta.get("TransferSyntaxUID", "")) if meta else ""
    if syntax:
        return syntax
    implicit, little = getattr(dataset, "original_encoding", (None, None))
    if implicit is None or little is None:
        raise InputRefused(name, "has no TransferSyntaxUID in its file meta information")
    return IMPLICIT_LITTLE if implicit else EXPLICIT_LITTLE if little else EXPLICIT_BIG


def _integer(dataset: Dataset, keyword: str, name: str, *, default: int | None = None) -> int:
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        if default is None:
            raise InputRefused(name, f"lacks {keyword}")
        return default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise InputRefused(name, f"has {keyword} {value!r}, which is not a number") from error


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip()


def _numbers(dataset: Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    value: Any = dataset.get(keyword)
    if value is None or value == "":
        return None
    try:
        numbers = (float(value),) if count == 1 else tuple(float(v) for v in value)
    except (TypeError, ValueError):
        return None
    return numbers if len(numbers) == count else None
