"""DICOM objects written on the spot, and the way to real data beyond the repository."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

DicomWriter = Callable[..., bytes]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real data that SUTURE_DATA names."""
    folder = os.environ.get("SUTURE_DATA")
    if not folder:
        pytest.skip("SUTURE_DATA does not name a folder of real data")
    return Path(folder)


@pytest.fixture(scope="session")
def demo_dir() -> Path:
    """The committed demonstration studies."""
    return Path(__file__).parents[2] / "data" / "demo"


def _dataset(pixels: np.ndarray, syntax: str, frame: bytes | None, attributes: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    dataset.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.7")
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["test"])
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", "1.2.3.4"
    dataset.Modality = "OT"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    colour = pixels.ndim == 3
    dataset.SamplesPerPixel = 3 if colour else 1
    if colour:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    bits = 8 * pixels.dtype.itemsize
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits, bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    if "BitsStored" in attributes and "HighBit" not in attributes:
        dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelData = pixels.tobytes() if frame is None else encapsulate([frame])
    dataset["PixelData"].VR = "OW" if bits == 16 and frame is None else "OB"
    dataset["PixelData"].is_undefined_length = frame is not None
    return dataset


@pytest.fixture(scope="session")
def make_dataset() -> Callable[..., Dataset]:
    """`make_dataset(pixels, syntax=…, frame=…, Keyword=value…)`: a dataset; `frame` is a compressed codestream."""

    def make(
        pixels: np.ndarray, *, syntax: str = ExplicitVRLittleEndian, frame: bytes | None = None, **attributes: Any
    ) -> Dataset:
        return _dataset(pixels, syntax, frame, attributes)

    return make


@pytest.fixture(scope="session")
def make_dicom(make_dataset) -> DicomWriter:
    """The same, as the bytes of a Part 10 file."""

    def make(pixels: np.ndarray, **arguments: Any) -> bytes:
        stream = io.BytesIO()
        make_dataset(pixels, **arguments).save_as(stream, enforce_file_format=True)
        return stream.getvalue()

    return make
