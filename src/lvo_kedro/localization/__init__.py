"""Stage 3: where the occlusion is, from the scan's large vessels seen from above.

The scan inside C7, M1 and M2 is *projected* along the patient's z axis with a depth map
(:func:`project_vessels`); what a network marks there is *named* (:func:`name_occlusion`), with the
side told in world coordinates, and brought back to a point in the patient (:func:`back_project`).
Beside it stand a transparent baseline without a network (:class:`SegmentBaseline`) and a look at
whether the vessels can be right (:func:`check_vessels`).
"""

from lvo_kedro.localization.baseline import BaselineOptions, SegmentBaseline
from lvo_kedro.localization.calls import (
    NO_OCCLUSION,
    CallOptions,
    OcclusionCall,
    mark_called,
    name_occlusion,
)
from lvo_kedro.localization.naming import (
    LocalizationOptions,
    call_by_densities,
    call_record,
    cross_fit_baseline,
    given_side,
    measure_points,
    merge_calls,
    told_sides,
)
from lvo_kedro.localization.projection import (
    Projection,
    ProjectionOptions,
    back_project,
    label_clot,
    project_labels,
    project_vessels,
)
from lvo_kedro.localization.vessel_checks import check_vessels, split_by_side

__all__ = [
    "NO_OCCLUSION",
    "BaselineOptions",
    "CallOptions",
    "LocalizationOptions",
    "OcclusionCall",
    "Projection",
    "ProjectionOptions",
    "SegmentBaseline",
    "back_project",
    "call_by_densities",
    "call_record",
    "check_vessels",
    "cross_fit_baseline",
    "given_side",
    "label_clot",
    "mark_called",
    "measure_points",
    "merge_calls",
    "name_occlusion",
    "project_labels",
    "project_vessels",
    "split_by_side",
    "told_sides",
]
