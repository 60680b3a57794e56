"""Stage 3: where the occlusion is, from the scan's large vessels seen from above.

The scan inside C7, M1 and M2 is *projected* along the patient's z axis with a depth map
(:func:`project_vessels`); what a network marks there is *named* (:func:`name_occlusion`), with the
side told in world coordinates, and brought back to a point in the patient (:func:`back_project`).
Beside it stand a transparent baseline without a network (:class:`SegmentBaseline`) and the
measures of stage 1 (:func:`measure_vessels`, :func:`check_vessels`).
"""

from lvo_kedro.localization.baseline import BaselineOptions, SegmentBaseline, describe_segments
from lvo_kedro.localization.calls import (
    NO_OCCLUSION,
    CallOptions,
    OcclusionCall,
    mark_called,
    name_occlusion,
)
from lvo_kedro.localization.midplane import Midplane, midplane_at, midplane_of
from lvo_kedro.localization.projection import (
    Projection,
    ProjectionOptions,
    back_project,
    label_clot,
    project_labels,
    project_vessels,
)
from lvo_kedro.localization.vessel_metrics import check_vessels, measure_vessels, split_by_side

__all__ = [
    "NO_OCCLUSION",
    "BaselineOptions",
    "CallOptions",
    "Midplane",
    "OcclusionCall",
    "Projection",
    "ProjectionOptions",
    "SegmentBaseline",
    "back_project",
    "check_vessels",
    "describe_segments",
    "label_clot",
    "mark_called",
    "measure_vessels",
    "midplane_at",
    "midplane_of",
    "name_occlusion",
    "project_labels",
    "project_vessels",
    "split_by_side",
]
