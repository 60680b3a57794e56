"""The original frames of a scan, and what was found in it brought back onto them.

Models see a straight, even volume; the archive has the frames as the scanner made them, tilted and
unevenly spaced as they may be. World coordinates are the same for both, so each pixel of an
original frame takes the label of the voxel that lies where it lies.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pydicom

from lvo_kedro.errors import ScanError
from lvo_kedro.imaging.pixels import quiet_pydicom
from lvo_kedro.imaging.rules import ScanLimits
from lvo_kedro.imaging.series import find_series

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.headers import Slice

NEEDED = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
"""What a result must be able to refer to; some anonymisers take it away."""

MAY_BE_EMPTY = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("PositionReferenceIndicator", "SeriesNumber", "InstanceNumber", "SliceThickness"),
)
"""What the standard wants to be there, if only empty (type 2)."""
_DAY = r"(?:\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?"
FORMS = {
    "PatientSex": "[MFO]?",
    "PatientBirthDate": _DAY,
    "StudyDate": _DAY,
    "StudyTime": r"(?:(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,6})?)?)?)?",
}
"""How those of them are written that are taken over only so."""


@dataclass(frozen=True)
class SourceSeries:
    """The frames of the series that a scan was read from.

    Attributes:
        slices: Sorted along their normal, as :mod:`lvo_kedro.imaging` stacks them; those of an
            enhanced multi-frame image as they stand in it.
        datasets: Header of each of them, or of that one image; without pixels.
    """

    slices: list[Slice]
    datasets: Sequence[pydicom.Dataset]


def read_source(folder: Path, limits: ScanLimits = ScanLimits()) -> SourceSeries:
    """Read the headers of the series in ``folder``, the one that :func:`read_scan` reads.

    Raises:
        ScanError: No usable series, or one whose images cannot be referred to.
    """
    slices = find_series(folder, limits).slices
    paths = list(dict.fromkeys(s.path for s in slices))
    with quiet_pydicom():
        datasets = [pydicom.dcmread(path, stop_before_pixels=True, force=True) for path in paths]
    if len(paths) < len(slices):
        slices = _as_in_the_file(slices, datasets)
    missing = [name for name in NEEDED if any(not d.get(name) for d in datasets)]
    uids = {str(d.get("SOPInstanceUID")) for d in datasets}
    if missing or len(uids) < len(datasets):
        raise ScanError(
            f"images without {', '.join(missing)}" if missing else "images that share one UID",
            "images that DICOM results can refer to",
            "take the series from the archive again, not from an anonymised copy; other results "
            "are written all the same",
        )
    with quiet_pydicom():
        for dataset in datasets:
            _mend(dataset)
    return SourceSeries(slices, datasets)


def _as_in_the_file(slices: list[Slice], datasets: Sequence[pydicom.Dataset]) -> list[Slice]:
    """Return the frames of an enhanced image in its own order, all of them."""
    frames = int(datasets[0].get("NumberOfFrames", 1))
    if len(datasets) > 1 or frames != len(slices):
        raise ScanError(
            f"{len(slices)} slices in {len(datasets)} multi-frame image(s) of {frames} frames",
            "one image, all of whose frames are slices",
            "send the series as single slices; other results are written all the same",
        )
    return sorted(slices, key=lambda item: item.number("InstanceNumber", 0))


def _mend(dataset: pydicom.Dataset) -> None:
    """Add what the standard wants of patient and study, where an anonymiser took it away.

    Names go on in UTF-8: it has all signs of theirs and of what is said beside them.
    """
    dataset.decode()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    for name in MAY_BE_EMPTY:
        dataset.setdefault(name, None)
        wanted = FORMS.get(name)
        if wanted and not re.fullmatch(wanted, str(dataset.get(name) or "")):
            dataset[name].value = None  # no results would be worse than no birth date
    method = dataset.get("DeidentificationMethod")
    if dataset.get("PatientIdentityRemoved") == "YES" and not method:
        dataset.DeidentificationMethod = "not stated"


def labels_on_frames(labels: nib.Nifti1Image, slices: list[Slice]) -> NDArray[np.uint8]:
    """Bring labels of a volume onto original frames, by world coordinates (nearest voxel).

    Args:
        labels: Integers, (X, Y, Z), any affine; RAS+ world mm.
        slices: The frames.

    Returns:
        (frame, row, column) uint8; 0 where the volume does not reach.
    """
    data = np.asarray(labels.dataobj)
    to_voxel = np.linalg.inv(labels.affine)
    return np.stack([_on_frame(data, to_voxel, item) for item in slices])


def _on_frame(
    data: NDArray[np.generic], to_voxel: NDArray[np.float64], item: Slice
) -> NDArray[np.uint8]:
    rows, columns, down, along = item.form
    directions = item.directions
    # a frame is a plane: voxel indices are a start and two steps, however it is turned
    start = to_voxel[:3, :3] @ item.origin + to_voxel[:3, 3]
    per_column = to_voxel[:3, :3] @ (directions[:, 0] * along)
    per_row = to_voxel[:3, :3] @ (directions[:, 1] * down)
    frame = np.zeros((rows, columns), dtype=np.uint8)
    index = []
    for axis in range(3):
        line = start[axis] + per_column[axis] * np.arange(columns)
        index.append(np.rint(line[None, :] + (per_row[axis] * np.arange(rows))[:, None]))
    inside = np.all([(i >= 0) & (i < n) for i, n in zip(index, data.shape, strict=True)], axis=0)
    x, y, z = (i[inside].astype(np.intp) for i in index)
    frame[inside] = data[x, y, z]
    return frame
