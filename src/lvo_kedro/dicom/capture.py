"""A picture as a DICOM secondary capture, for viewers that show nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import highdicom as hd
import numpy as np

from lvo_kedro.dicom.codes import MANUFACTURER, uid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.dicom.source import SourceSeries

NUMBER = 9004
"""Of the series."""


def make_capture(source: SourceSeries, picture: NDArray[np.uint8], models: str) -> hd.sc.SCImage:
    """Return a picture as an image of the study.

    Args:
        source: The frames that it was made of.
        picture: Red, green, blue, (row, column, 3) uint8.
        models: Digest of the models.
    """
    first = source.datasets[0]
    digest = hashlib.sha256(picture.tobytes()).hexdigest()
    image = hd.sc.SCImage.from_ref_dataset(
        ref_dataset=first,
        pixel_array=np.ascontiguousarray(picture),
        photometric_interpretation=hd.PhotometricInterpretationValues.RGB,
        bits_allocated=8,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
        patient_orientation=("L", "P"),
        series_instance_uid=uid_of(first.SeriesInstanceUID, models, "picture"),
        series_number=NUMBER,
        sop_instance_uid=uid_of(first.SeriesInstanceUID, models, "picture", digest),
        instance_number=1,
        manufacturer=MANUFACTURER,
        series_description="Occlusion, picture (lvo_kedro, research only)",
    )
    image.Laterality = ""  # asked for, and empty where a body part has no side
    image.BurnedInAnnotation = "NO"  # no word in it tells who the patient is
    return image
