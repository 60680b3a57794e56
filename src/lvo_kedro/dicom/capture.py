"""A picture as a DICOM secondary capture, for viewers that show nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import highdicom as hd
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lvo_kedro.dicom.codes import MANUFACTURER, uid_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lvo_kedro.dicom.source import SourceSeries

NUMBER = 9004
"""Of the series."""


def make_capture(
    source: SourceSeries, picture: NDArray[np.uint8], words: str, models: str
) -> hd.sc.SCImage:
    """Return a picture as an image of the study.

    Args:
        source: The frames that it was made of.
        picture: Red, green, blue, (row, column, 3) uint8.
        words: What stands below it: whoever sees the picture may see nothing else.
        models: Digest of the models.
    """
    first = source.datasets[0]
    picture = np.concatenate([picture, line_of(words, picture.shape[1])])
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


def line_of(words: str, width: int) -> NDArray[np.uint8]:
    """Return words as a white strip with one line, red, green, blue, (row, ``width``, 3) uint8."""
    size = min(11.0, 1.2 * width / len(words))  # points; a letter is about 0.8 pixels wide a point
    figure = Figure(figsize=(width / 100, (2 * size + 2) / 72), dpi=100)
    canvas = FigureCanvasAgg(figure)
    figure.text(0.5, 0.5, words, size=size, ha="center", va="center", color="black")
    canvas.draw()
    strip = np.asarray(canvas.buffer_rgba())[..., :3]
    line = np.full((strip.shape[0], width, 3), 255, dtype=np.uint8)
    line[:, : strip.shape[1]] = strip[:, :width]  # a width in inches may be rounded
    return line
