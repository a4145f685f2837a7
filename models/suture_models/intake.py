"""The way in for every image, volume and signal: bytes or a pydicom Dataset in, a `Picture` or a refusal out.

Takes no path: folders, C-STORE and STOW are adapters in front of it (`suture_models.walk` is the one for folders). What
the bytes are is told by their content. Torch-free.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from suture_models.guard import refusing
from suture_models.manifest import InputKind
from suture_models.picture import MAX_SAMPLES, Picture, check_size, range_of
from suture_protocol.errors import InputRefused

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

# Pillow can read dozens of formats; each one more is a parser exposed to hostile files, so only these.
_PILLOW_FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "JPEG2000")
_IMAGE_MAGIC = (
    b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II*\0", b"MM\0*", b"BM", b"\xff\x4f\xff\x51", b"\0\0\0\x0cjP  ",
)  # fmt: skip
_NPY_MAGIC = b"\x93NUMPY"
# Files written before Part 10 have no preamble: they begin with an element of group 0002 or 0008.
_BARE_DICOM = (b"\x02\0", b"\x08\0", b"\0\x08", b"\0\x02")
_KNOWN_OTHERS: Mapping[bytes, str] = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive; unpack it first",
    b"\x1f\x8b": "gzip-compressed; unpack it first",
    b"\x89HDF": "an HDF5 file",
}


def read_input(source: bytes | Dataset, name: str, *, frame: int | None = None) -> Picture:
    """Reads DICOM, PNG, JPEG, WebP, TIFF, BMP, JPEG 2000 or a `.npy` array.

    Args:
        source: A file's content, or a pydicom Dataset (which is not changed).
        name: What to call it in messages and in the result.
        frame: Which frame of a multi-frame DICOM object to take, from 0. Without it such an object is refused, because
            picking one unasked may miss the finding.

    Raises:
        InputRefused: it cannot be used; the reason says why.
    """
    if not isinstance(source, bytes):
        from suture_models.dicom import read_dataset

        return read_dataset(source, name, frame=frame)
    match sniff(source):
        case "dicom":
            from suture_models.dicom import read_dicom  # pydicom costs 70 MB and 0.5 s, which PNG and .npy do not need

            return read_dicom(source, name, frame=frame)
        case "image":
            return _read_image(source, name)
        case "npy":
            return _read_npy(source, name)
        case other:
            raise InputRefused(name, f"is neither DICOM, an image nor a .npy array, but {other}")


def sniff(data: bytes) -> str:
    """`dicom`, `image`, `npy`, or a few words for what else `data` seems to be."""
    if data[128:132] == b"DICM":
        return "dicom"
    if data.startswith(_NPY_MAGIC):
        return "npy"
    if data.startswith(_IMAGE_MAGIC) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return "image"
    if data[:2] in _BARE_DICOM and len(data) > 8:
        return "dicom"
    if not data.strip(b"\0"):
        return "empty" if not data else "nothing but zeros"
    for magic, words in _KNOWN_OTHERS.items():
        if data.startswith(magic):
            return words
    return "text" if _is_text(data[:512]) else "of an unknown kind"


def _is_text(head: bytes) -> bool:
    beyond_ascii = sum(byte >= 0x80 for byte in head)
    return 4 * beyond_ascii < len(head) and all(byte >= 0x20 or byte in b"\t\r\n\f" for byte in head)


def _read_image(data: bytes, name: str) -> Picture:
    with (
        refusing(name, "cannot be read as an image"),
        Image.open(io.BytesIO(data), formats=_PILLOW_FORMATS) as image,
    ):
        check_size(name, rows=image.height, columns=image.width, stored_bytes=len(data))
        frames = getattr(image, "n_frames", 1)
        if frames != 1:
            raise InputRefused(name, f"holds {frames} pages or frames; give one image per file")
        values = _image_values(image)
        photometric = image.mode
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputRefused(name, "holds values that are not finite numbers")
    bits = 8 * values.dtype.itemsize
    return Picture(
        name=name,
        kind="image",
        values=values,
        bits=bits,
        value_range=range_of(values, bits),
        photometric=photometric,
    )


def _image_values(image: Image.Image) -> NDArray[Any]:
    """(H, W) or (H, W, 3) with the EXIF orientation applied, as every viewer shows it; transparency is dropped."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("1", "LA", "La"):
        upright = upright.convert("L")
    elif upright.mode not in ("L", "RGB", "F") and not upright.mode.startswith("I"):
        upright = upright.convert("RGB")
    values = np.asarray(upright)
    return values.astype(values.dtype.newbyteorder("="))


def _read_npy(data: bytes, name: str) -> Picture:
    with refusing(name, "cannot be read as a .npy array"):
        stream = io.BytesIO(data)
        version = np.lib.format.read_magic(stream)
        read_header = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in read_header:
            raise InputRefused(name, f"is a .npy array of format {version}, of which only 1.0 and 2.0 hold numbers")
        shape, fortran, dtype = read_header[version](stream)
        _check_npy(name, shape, dtype, len(data) - stream.tell())
        array = np.frombuffer(data, dtype=dtype, offset=stream.tell())
        values = _plain_numbers(array.reshape(shape, order="F" if fortran else "C"), signal=len(shape) == 2)
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise InputRefused(name, "holds values that are not finite numbers (NaN, infinite or beyond float32)")
    kind: InputKind = "signal" if values.ndim == 2 else "volume"
    bits = 8 * values.dtype.itemsize
    return Picture(name=name, kind=kind, values=values, bits=bits, value_range=range_of(values, bits))


def _check_npy(name: str, shape: tuple[int, ...], dtype: np.dtype[Any], available_bytes: int) -> None:
    if dtype.hasobject:
        raise InputRefused(name, "holds pickled Python objects, which are never loaded; save it as numbers")
    if dtype.kind not in "fiu":
        raise InputRefused(name, f"holds {dtype} values; signals and volumes are real numbers")
    if len(shape) not in (2, 3):
        raise InputRefused(name, f"has shape {shape}; a signal is (time, leads), a volume (slices, rows, columns)")
    count = 1
    for size in shape:
        count *= size
    if count == 0:
        raise InputRefused(name, f"is empty: its shape is {shape}")
    if count > MAX_SAMPLES:
        raise InputRefused(name, f"declares {count:,} values; the limit is {MAX_SAMPLES:,}")
    if count * dtype.itemsize != available_bytes:
        kind = "cut short" if count * dtype.itemsize > available_bytes else "longer than it says"
        raise InputRefused(name, f"is {kind}: {available_bytes:,} bytes of values, {count * dtype.itemsize:,} declared")


def _plain_numbers(array: NDArray[Any], *, signal: bool) -> NDArray[Any]:
    """Native byte order; float32 for signals and where the integers are deeper than 16 bits."""
    if signal or array.dtype.kind == "f" or array.dtype.itemsize > 2:
        with np.errstate(over="ignore"):
            return array.astype(np.float32)
    return array.astype(array.dtype.newbyteorder("="), copy=True)
