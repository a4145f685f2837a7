"""Pixels of one DICOM frame: which decoder takes which transfer syntax, and what is checked before native code runs.

All decoders come with Suture: Pillow (JPEG, JPEG 2000), CharLS through pyjpegls (JPEG-LS), GDCM (lossless and 12-bit
JPEG), pydicom (RLE, native). pylibjpeg is never used, even where it is installed: its answers, and
its licence, would differ from machine to machine.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, get_frame
from pydicom.pixels import get_decoder
from pydicom.uid import UID

from suture_models.codestream import Codestream, CodestreamError, read_codestream
from suture_models.dicom_header import MONOCHROME, NATIVE, Header
from suture_models.guard import one_line, quiet_stderr, refusing
from suture_protocol.errors import InputRefused

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = frozenset({"1.2.840.10008.1.2.4.57", "1.2.840.10008.1.2.4.70"})
JPEG_LS = frozenset({"1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"})
JPEG_2000 = frozenset({"1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.91"})

#: Every transfer syntax that is read.
SUPPORTED = NATIVE | JPEG_LOSSLESS | JPEG_LS | JPEG_2000 | {RLE, JPEG_BASELINE, JPEG_EXTENDED}

_FAMILY = {
    **dict.fromkeys((JPEG_BASELINE, JPEG_EXTENDED), "jpeg"),
    **dict.fromkeys(JPEG_LOSSLESS, "jpeg-lossless"),
    **dict.fromkeys(JPEG_LS, "jpeg-ls"),
    **dict.fromkeys(JPEG_2000, "jpeg2000"),
}
#: pydicom's name of the one decoder that reads a syntax.
_PLUGIN = {
    RLE: "pydicom",
    **dict.fromkeys((JPEG_BASELINE, JPEG_EXTENDED, *JPEG_2000), "pillow"),
    **dict.fromkeys(JPEG_LOSSLESS, "gdcm"),
    **dict.fromkeys(JPEG_LS, "pyjpegls"),
}


def decode_frame(dataset: Dataset, header: Header, index: int, name: str) -> NDArray[Any]:
    """Frame `index` as (H, W) stored values, or (H, W, 3) RGB; unused high bits are cleared.

    Raises:
        InputRefused: unsupported transfer syntax, damaged pixels, or a codestream that contradicts the header.
    """
    syntax = header.transfer_syntax
    if syntax not in SUPPORTED:
        raise InputRefused(name, f"has the transfer syntax {_syntax_name(syntax)}, which is not read; convert it")
    if syntax in NATIVE:
        return _decoded(dataset, header, index, name)
    with refusing(name, "has damaged encapsulated pixels"):
        frame = bytes(get_frame(dataset.PixelData, index, number_of_frames=header.frames))
    if syntax in _FAMILY:
        codestream = _checked_codestream(frame, header, name)
        frame = frame[codestream.start :]
        if syntax == JPEG_EXTENDED and codestream.bits > 8:
            return _decode_jpeg_12_bit(frame, header, name)
    return _decoded(_one_frame(frame, header), header, 0, name)


def _decoded(dataset: Dataset, header: Header, index: int, name: str) -> NDArray[Any]:
    syntax = header.transfer_syntax
    if _PLUGIN.get(syntax) == "gdcm":
        _require_gdcm(syntax, name)
    with refusing(name, f"does not decode ({_syntax_name(syntax)})"), quiet_stderr():
        decoder = get_decoder(UID(syntax))
        try:
            pixels, _ = decoder.as_array(dataset, index=index, decoding_plugin=_PLUGIN.get(syntax, ""))
        except RuntimeError as error:
            # pydicom lists its decoders' errors; there is one. GDCM reports a failure as no image at all.
            detail = one_line(error).rpartition("plugins: ")[2]
            words = "the decoder found it damaged" if "NoneType" in detail else detail
            raise InputRefused(name, f"does not decode ({_syntax_name(syntax)}): {words}") from error
    return _checked_pixels(pixels, header, name)


def _require_gdcm(syntax: str, name: str) -> None:
    if find_spec("gdcm") is None:
        raise InputRefused(name, f"needs GDCM for {_syntax_name(syntax)}: pip install 'suture[dicom]'")


def _one_frame(frame: bytes, header: Header) -> Dataset:
    """A dataset of nothing but the checked header and one checked frame: all that a decoder gets to see."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(header.transfer_syntax)
    dataset.Rows, dataset.Columns = header.rows, header.columns
    dataset.SamplesPerPixel = header.samples
    if header.samples > 1:
        dataset.PlanarConfiguration = header.planar
    dataset.PhotometricInterpretation = header.photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = (
        header.bits_allocated,
        header.bits_stored,
        header.high_bit,
    )
    dataset.PixelRepresentation = int(header.signed)
    dataset.PixelData = encapsulate([frame])
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return dataset


def _checked_codestream(frame: bytes, header: Header, name: str) -> Codestream:
    try:
        found = read_codestream(frame)
    except CodestreamError as error:
        raise InputRefused(name, f"has damaged compressed pixels: {error}") from error
    if found.family != _FAMILY[header.transfer_syntax]:
        syntax = _syntax_name(header.transfer_syntax)
        raise InputRefused(name, f"declares {syntax} but its pixels are {found.family}")
    if (found.rows, found.columns) != (header.rows, header.columns):
        declared = f"{header.columns}x{header.rows}"
        raise InputRefused(name, f"declares {declared} pixels but compresses {found.columns}x{found.rows}")
    if found.components != header.samples:
        raise InputRefused(name, f"declares {header.samples} samples per pixel but compresses {found.components}")
    if found.bits > header.bits_allocated:
        raise InputRefused(name, f"compresses {found.bits} bits into {header.bits_allocated} allocated")
    return found


def _checked_pixels(pixels: NDArray[Any], header: Header, name: str) -> NDArray[Any]:
    shape = (header.rows, header.columns) if header.samples == 1 else (header.rows, header.columns, 3)
    if pixels.shape != shape or pixels.dtype.kind not in "iu" or pixels.dtype.itemsize > 2:
        raise InputRefused(name, f"decodes to {pixels.dtype} {pixels.shape} where {shape} was declared")
    native_order = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if header.transfer_syntax in NATIVE or header.transfer_syntax == RLE:
        return _without_unused_bits(native_order, header)
    return native_order


def _without_unused_bits(pixels: NDArray[Any], header: Header) -> NDArray[Any]:
    """Bits outside BitsStored may hold anything, such as old overlays (PS3.5 8.1.1); sign-extends what is signed."""
    if header.photometric not in MONOCHROME or header.bits_stored == header.bits_allocated:
        return pixels
    above = header.bits_allocated - 1 - header.high_bit
    below = header.bits_allocated - header.bits_stored
    return (pixels << above) >> below


def _decode_jpeg_12_bit(frame: bytes, header: Header, name: str) -> NDArray[Any]:
    """12-bit JPEG Extended (process 4), which pydicom hands to no decoder although GDCM reads it exactly."""
    if header.photometric not in MONOCHROME or header.signed:
        raise InputRefused(name, "is 12-bit JPEG Extended in colour or signed; ask the device for lossless JPEG")
    _require_gdcm(header.transfer_syntax, name)
    with refusing(name, "does not decode (12-bit JPEG Extended)"), quiet_stderr():
        return _gdcm_jpeg(frame, header)


def _gdcm_jpeg(frame: bytes, header: Header) -> NDArray[np.uint16]:
    import gdcm

    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(frame)
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((header.columns, header.rows, 1))
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.JPEGExtendedProcess2_4))
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, 12, 11, 0))
    image.SetDataElement(element)
    buffer = image.GetBuffer()
    if buffer is None:
        raise ValueError("the decoder found it damaged")
    # GDCM's Python binding gives bytes as a str with surrogate escapes.
    decoded = buffer.encode("utf-8", "surrogateescape")
    return np.frombuffer(decoded, dtype="<u2").reshape(header.rows, header.columns).astype(np.uint16)


def _syntax_name(syntax: str) -> str:
    uid = UID(syntax)
    return uid.name if uid.name == syntax else f"{uid.name} ({syntax})"
