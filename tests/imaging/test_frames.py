"""Enhanced multi-frame CT, and slices that are given one by one instead of as a folder."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import EnhancedCTImageStorage, RLELossless, generate_uid

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging import read_ncct, read_scan
from tests.imaging.phantoms import Series

GROUPS = {
    "PlanePositionSequence": ("ImagePositionPatient",),
    "PlaneOrientationSequence": ("ImageOrientationPatient",),
    "PixelMeasuresSequence": ("PixelSpacing", "SliceThickness"),
    "PixelValueTransformationSequence": ("RescaleSlope", "RescaleIntercept"),
}


def enhanced(series: Series, compressed: bool = False) -> Dataset:
    """The whole series as one file, its frames in no order."""
    files = [pydicom.dcmread(path) for path in sorted(series.write().iterdir())]
    for path in series.folder.iterdir():
        path.unlink()
    whole = deepcopy(files[0])
    names = {name for names in GROUPS.values() for name in names}
    frames = []
    for data in files:
        frame = Dataset()
        for sequence, attributes in GROUPS.items():
            item = Dataset()
            for name in attributes:
                setattr(item, name, getattr(data, name))
            setattr(frame, sequence, [item])
        frames.append(frame)
    for name in names:
        delattr(whole, name)
    whole.SOPClassUID = whole.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    shared = Dataset()
    for sequence in ("PlaneOrientationSequence", "PixelMeasuresSequence"):
        setattr(shared, sequence, getattr(frames[0], sequence))
        for frame in frames:
            delattr(frame, sequence)
    whole.SharedFunctionalGroupsSequence = [shared]
    whole.PerFrameFunctionalGroupsSequence = frames
    whole.NumberOfFrames = len(frames)
    if compressed:
        for data in files:
            data.compress(RLELossless)
        fragments = [next(pydicom.encaps.generate_frames(d.PixelData, number_of_frames=1))
                     for d in files]  # fmt: skip
        whole.PixelData = encapsulate(fragments)
        whole["PixelData"].is_undefined_length = True
        whole.file_meta.TransferSyntaxUID = RLELossless
    else:
        whole.PixelData = b"".join(data.PixelData for data in files)
    return whole


@pytest.mark.parametrize("compressed", [False, True])
def test_an_enhanced_multi_frame_image_is_read_as_its_slices(
    series: Series, compressed: bool
) -> None:
    enhanced(series, compressed).save_as(series.folder / "one", enforce_file_format=True)
    scan = read_scan(series.folder)
    assert np.array_equal(scan.ncct.get_fdata(), series.hu[::-1, ::-1])
    assert not scan.contrast_named


def test_an_enhanced_image_names_its_contrast_agent(series: Series) -> None:
    whole, agent = enhanced(series), Dataset()
    agent.CodeMeaning = "Iopromide"
    whole.ContrastBolusAgentSequence = [agent]
    whole.save_as(series.folder / "one", enforce_file_format=True)
    assert read_scan(series.folder).contrast_named


def test_a_multi_frame_image_that_ends_early_is_refused(series: Series) -> None:
    whole = enhanced(series)
    whole.PixelData = whole.PixelData[: len(whole.PixelData) * 2 // 3]
    whole.save_as(series.folder / "one", enforce_file_format=True)
    with pytest.raises(ScanError, match="multi-frame file"):
        read_scan(series.folder)


def test_frames_without_a_position_are_refused(series: Series) -> None:
    whole = enhanced(series)
    del whole.PerFrameFunctionalGroupsSequence[3].PlanePositionSequence
    whole.save_as(series.folder / "one", enforce_file_format=True)
    with pytest.raises(ScanError, match="no ImagePositionPatient in 1 of"):
        read_scan(series.folder)


def test_listed_files_are_one_series_whatever_they_say(series: Series) -> None:
    whole = series.hu
    half = 18  # the writer cannot name multiples of 7 slices
    low = replace(series, hu=whole[..., :half], uid=generate_uid())
    upper = series.affine.copy()
    upper[:3, 3] += upper[:3, 2] * half
    high = replace(series, hu=whole[..., half:], affine=upper, uid=generate_uid(), number=4)
    high.write()
    files = sorted(low.write().iterdir())
    with pytest.raises(ScanError, match="2 CT series in the folder"):
        read_ncct(series.folder)
    assert np.array_equal(read_scan(files).ncct.get_fdata(), whole[::-1, ::-1])
