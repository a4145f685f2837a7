"""Makes data/demo/ from its sources: copies two DICOM files and wraps chest X-rays of the test split as DICOM.

    python data/make_demo.py SOURCE

SOURCE is a folder that holds `cxr_pneumonia_224/` (Kermany et al., with its MANIFEST.csv) and `dicom/` (the two files
named below). The output is the same, byte for byte, every time. See data/README.md for origins and licences.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import uuid
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ComputedRadiographyImageStorage, ExplicitVRLittleEndian

DEMO = Path(__file__).parent / "demo"
COPIED = {
    "dicom/radiographs/DX_chest_2128x2000_12bit_MONO1_J2Klossless.dcm": (
        "DX_chest_2128x2000_12bit_MONO1_J2Klossless.dcm"
    ),
    "dicom/tcia_covid_ny_sbu_axial/A002304_19010112-135.dcm": "CT_chest_512x512_16bit_UNC.dcm",
}
#: One image per patient, all of the untouched test split; the finding is the data set's own label.
WRAPPED = (
    "cxr_pneumonia_224/test/NORMAL/NORMAL2-IM-0376-0001.jpeg",
    "cxr_pneumonia_224/test/PNEUMONIA/person97_bacteria_468.jpeg",
    "cxr_pneumonia_224/test/PNEUMONIA/person99_bacteria_473.jpeg",
)
ATTRIBUTION = (
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray Images for Classification, "
    "Mendeley Data, doi 10.17632/rscbjbr9sj, CC BY 4.0. Reduced to 224x224 and wrapped as DICOM by Suture; "
    "identifiers are invented. Not for diagnosis."
)


def wrap(pixels: np.ndarray[tuple[int, int], np.dtype[np.uint8]], *, source: str, label: str, number: int) -> Dataset:
    """A Computed Radiography image (PS3.3 A.2) of `pixels` (H, W), with identifiers that are plainly synthetic."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = _uid(source, "instance")
    dataset.StudyInstanceUID = _uid(source, "study")
    dataset.SeriesInstanceUID = _uid(source, "series")
    dataset.PatientName = f"Suture^Demo{number}"
    dataset.PatientID = f"SUTURE-DEMO-{number}"
    dataset.PatientBirthDate = dataset.PatientSex = ""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = "source set is de-identified; identifiers here are synthetic"
    dataset.StudyDate, dataset.StudyTime = "20000101", "000000"
    dataset.StudyID, dataset.AccessionNumber, dataset.ReferringPhysicianName = str(number), "", ""
    dataset.StudyDescription = "Suture demonstration study"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "AP"
    dataset.Manufacturer, dataset.SeriesNumber, dataset.InstanceNumber = "Suture", 1, 1
    dataset.PatientOrientation, dataset.Laterality = ["L", "F"], ""
    dataset.ImageType = ["DERIVED", "SECONDARY"]
    dataset.DerivationDescription = f"from {Path(source).name}, labelled {label} in the source set"
    dataset.ImageComments = ATTRIBUTION
    dataset.LossyImageCompression, dataset.LossyImageCompressionMethod = "01", "ISO_10918_1"
    dataset.BurnedInAnnotation = "NO"
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.WindowCenter, dataset.WindowWidth = 128, 256
    dataset.PixelData = pixels.tobytes()
    return dataset


def _uid(source: str, level: str) -> UID:
    """A UID derived from a UUID (PS3.5 B.2), the same every time."""
    return UID(f"2.25.{uuid.uuid5(uuid.NAMESPACE_URL, f'suture-demo/{level}/{Path(source).name}').int}")


def _label(source: Path, relative: str) -> str:
    """The image's label in MANIFEST.csv.

    Raises:
        ValueError: it is not an image of the test split, which alone the demonstration may show.
    """
    with (source / "cxr_pneumonia_224" / "MANIFEST.csv").open(newline="") as stream:
        for row in csv.DictReader(stream):
            if row["path"] == relative and row["split"] == "test":
                return row["label"]
    raise ValueError(f"{relative} is not in the test split of MANIFEST.csv")


def main() -> None:
    """Writes data/demo/."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("source", type=Path)
    source: Path = parser.parse_args().source
    DEMO.mkdir(exist_ok=True)
    for relative, name in COPIED.items():
        target = DEMO / name
        shutil.copyfile(source / relative, target)
        target.chmod(0o644)
    for number, relative in enumerate(WRAPPED, start=1):
        with Image.open(source / relative) as image:
            pixels = np.asarray(image.convert("L"))
        label = _label(source, relative)
        dataset = wrap(pixels, source=relative, label=label, number=number)
        dataset.save_as(DEMO / f"CR_chest_child_{label.lower()}_{number}.dcm", enforce_file_format=True)


if __name__ == "__main__":
    main()
