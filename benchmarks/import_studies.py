"""Seconds and memory of indexing an export of 10,000 studies, choosing their series, and the page.

    python -m benchmarks.import_studies [STUDIES]

Every study has two series of two slices of 16 x 16 pixels: headers are what costs time here.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
import psutil
import pydicom
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from lvo_kedro.imported_cohort import cohort_of, page_lines, write_table
from lvo_kedro.reporting.import_page import write_import_page
from lvo_kedro.studies import Pseudonyms, choices_table, import_studies
from lvo_kedro.studies.index import opened


def template() -> pydicom.FileDataset:
    """A slice with the attributes that scanners write."""
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = pydicom.FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    fields = {
        "SOPClassUID": CTImageStorage, "Modality": "CT", "Manufacturer": "SIMULATED",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "ConvolutionKernel": "H31s", "KVP": "120",
        "SliceThickness": "5", "PixelSpacing": ["0.5", "0.5"], "StudyDate": "20240101",
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"], "Rows": 16, "Columns": 16,
        "SamplesPerPixel": 1, "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16,
        "BitsStored": 16, "HighBit": 15, "PixelRepresentation": 0, "RescaleSlope": "1",
        "RescaleIntercept": "-1024",
    }  # fmt: skip
    for name, value in fields.items():
        setattr(data, name, value)
    data.PixelData = np.zeros((16, 16), np.uint16).tobytes()
    return data


def write(folder: Path, studies: int) -> None:
    """Write the export."""
    slices = template()
    for number in range(studies):
        own = folder / f"{number // 100:03d}" / f"{number:05d}"
        own.mkdir(parents=True)
        study = generate_uid()
        for series, description in enumerate(("Schädel nativ", "CTA"), start=2):
            uid = generate_uid()
            for k in range(2):
                data = deepcopy(slices)
                data.StudyInstanceUID, data.SeriesInstanceUID = study, uid
                data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
                data.PatientID, data.AccessionNumber = f"P{number}", f"A{number}"
                data.SeriesNumber, data.SeriesDescription = series, description
                data.InstanceNumber = k + 1
                data.ImagePositionPatient = ["0", "0", str(5 * k)]
                data.save_as(own / f"{series}_{k}", enforce_file_format=True)


def main(studies: int) -> None:
    """Measure, and print what was measured."""
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as name:
        export = Path(name) / "export"
        write(export, studies)
        before = process.memory_info().rss / 2**20
        began = time.perf_counter()
        with opened(Path(name) / "work" / "index.sqlite") as index:
            index.add([export])
            indexed = time.perf_counter()
            after_index = process.memory_info().rss / 2**20
            index.add([export])
            again = time.perf_counter()
        out = Path(name) / "out"
        imported = import_studies([export], out, Path(name) / "work", Pseudonyms(bytes(32)))
        chosen = time.perf_counter()
        candidates = sum(len(outcome.series) for outcome in imported.outcomes)
        write_table(out / "choices.csv", choices_table(imported.outcomes, {}))
        cohort = cohort_of(imported, None, out)
        write_import_page(out, page_lines(imported, cohort, out))
        written = time.perf_counter()
        size = (Path(name) / "work" / "index.sqlite").stat().st_size / 2**20
    after = process.memory_info().rss / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{studies} studies, {4 * studies} files, {candidates} candidates")
    print(f"indexed in {indexed - began:.1f} s, again in {again - indexed:.1f} s")
    print(f"import of what is indexed in {chosen - again:.1f} s, tables {written - chosen:.1f} s")
    print(f"memory {before:.0f} MB before, {after_index:.0f} indexed, {after:.0f} MB after")
    print(f"peak {peak:.0f} MB")
    print(f"index {size:.1f} MB on disk")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
