"""Labels as DICOM segmentation (SEG) on the original frames."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, NamedTuple

import highdicom as hd
import numpy as np
from pydicom.sr.codedict import codes

import lvo_kedro
from lvo_kedro.dicom.codes import MANUFACTURER, MODEL, VESSELS, algorithm, uid_of
from lvo_kedro.dicom.source import labels_on_frames
from lvo_kedro.vocabulary import OCCLUSION_LABELS, RESEARCH_ONLY, VESSEL_LABELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import nibabel as nib
    from pydicom.sr.coding import Code

    from lvo_kedro.dicom.source import SourceSeries


class Kind(NamedTuple):
    """What is segmented.

    Attributes:
        title: What viewers list it as.
        labels: Name and value of each label.
        category: What all of them are, as a code.
        number: Of the series.
        colours: Of each label, red, green, blue.
    """

    title: str
    labels: Mapping[str, int]
    category: Code
    number: int
    colours: Mapping[str, tuple[int, int, int]]


VESSEL_KIND = Kind(
    "Arteries",
    VESSEL_LABELS,
    codes.SCT.AnatomicalStructure,
    9001,
    {"C7": (86, 180, 233), "M1": (0, 158, 115), "M2": (240, 228, 66), "other": (150, 150, 150)},
)
OCCLUSION_KIND = Kind(
    "Occlusion",
    OCCLUSION_LABELS,
    codes.SCT.MorphologicallyAbnormalStructure,
    9002,
    {"C7": (213, 94, 0), "M1": (213, 94, 0), "M2": (213, 94, 0)},
)


def make_segmentation(
    source: SourceSeries, labels: nib.Nifti1Image, kind: Kind, models: str
) -> hd.seg.Segmentation | None:
    """Return labels as a segmentation of the original frames.

    Args:
        source: The frames.
        labels: On the straightened grid.
        kind: What the labels are.
        models: Digest of the models: other models give another object.

    Returns:
        A binary SEG with one segment for each label that is there, on the frames that it is on;
        None where there is no label.
    """
    frames = labels_on_frames(labels, source.slices)
    present = [name for name, value in kind.labels.items() if (frames == value).any()]
    if not present:
        return None
    numbered = np.zeros_like(frames)
    for number, name in enumerate(present, start=1):
        numbered[frames == kind.labels[name]] = number
    series = source.datasets[0].SeriesInstanceUID
    content = uid_of(series, models, kind.title, hashlib.sha256(frames.tobytes()).hexdigest())
    made = hd.seg.Segmentation(
        source_images=source.datasets,
        pixel_array=numbered,
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[
            _describe(number, name, kind, content) for number, name in enumerate(present, start=1)
        ],
        series_instance_uid=uid_of(series, models, kind.title),
        series_number=kind.number,
        sop_instance_uid=content,
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL,
        software_versions=lvo_kedro.__version__,
        device_serial_number=models[:16] or "0",
        content_label=kind.title.upper(),
        content_description=RESEARCH_ONLY[:64],
        series_description=f"{kind.title} (lvo_kedro, research only)",
    )
    for item in (*made.DimensionOrganizationSequence, *made.DimensionIndexSequence):
        item.DimensionOrganizationUID = uid_of(content, "dimensions")  # highdicom draws one
    return made


def _describe(number: int, name: str, kind: Kind, content: str) -> hd.seg.SegmentDescription:
    occlusion = kind is OCCLUSION_KIND
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=f"Occlusion in {name}" if occlusion else name,
        segmented_property_category=kind.category,
        segmented_property_type=codes.SCT.Occlusion if occlusion else VESSELS[name],
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm(kind.title.lower()),
        tracking_uid=uid_of(content, name),
        tracking_id=f"{kind.title} {name}",
        anatomic_regions=[VESSELS[name] if occlusion else codes.SCT.Brain],
        display_color=hd.color.CIELabColor.from_rgb(*kind.colours[name]),
    )
