"""What was found as a structured report (SR, template TID 1500)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import highdicom as hd
import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    ImageRegion3D,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    SourceImageForMeasurementGroup,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.sr.codedict import codes

import lvo_kedro
from lvo_kedro.dicom import codes as own
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydicom.sr.coding import Code

    from lvo_kedro.dicom.results import DicomResult
    from lvo_kedro.dicom.source import SourceSeries

Group = MeasurementsAndQualitativeEvaluations | PlanarROIMeasurementsAndQualitativeEvaluations

NUMBER = 9003
"""Of the series."""


def make_report(source: SourceSeries, result: DicomResult) -> Comprehensive3DSR:
    """Return probability, calls, side, segment, point and findings as a measurement report.

    A scan without a call has its reason as a comment, and no probability, side or segment.

    Args:
        source: The frames that it refers to.
        result: What was found.
    """
    first = source.datasets[0]
    uid = own.uid_of(first.SeriesInstanceUID, result.models, "report", result.digest())
    groups: list[Group] = [_summary(source, result, uid)]
    if result.point_mm is not None and not result.no_call:
        groups.append(_place(source, result, uid))
    content = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=_observer(result)),
        procedure_reported=CodedConcept("24725-4", "LN", "CT Head"),
        imaging_measurements=groups,
        title=codes.DCM.ImagingMeasurementReport,
    )
    return Comprehensive3DSR(
        evidence=source.datasets,
        content=content[0],
        series_instance_uid=own.uid_of(first.SeriesInstanceUID, result.models, "report"),
        series_number=NUMBER,
        sop_instance_uid=uid,
        instance_number=1,
        manufacturer=own.MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
        series_description="Occlusion (lvo_kedro, research only)",
    )


def _observer(result: DicomResult) -> ObserverContext:
    return ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=own.uid_of("device", result.models),
            name=own.MODEL,
            manufacturer_name=own.MANUFACTURER,
            model_name=own.MANUFACTURER,
            serial_number=result.models[:16],
        ),
    )


def _summary(
    source: SourceSeries, result: DicomResult, uid: str
) -> MeasurementsAndQualitativeEvaluations:
    measurements = []
    if result.probability is not None and not result.no_call:
        measurements.append(
            Measurement(own.PROBABILITY, round(result.probability, 4), codes.UCUM.NoUnits)
        )
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(own.uid_of(uid, "summary"), "occlusion"),
        finding_type=own.OCCLUSION,
        algorithm_id=AlgorithmIdentification("lvo_kedro", lvo_kedro.__version__),
        finding_sites=[FindingSite(codes.SCT.Brain)],
        measurements=measurements,
        qualitative_evaluations=[QualitativeEvaluation(n, v) for n, v in _evaluations(result)],
        source_images=[SourceImageForMeasurementGroup.from_source_image(source.datasets[0])],
    )
    for sentence in _sentences(result):
        group[0].ContentSequence.append(
            TextContentItem(codes.DCM.Comment, sentence, hd.sr.RelationshipTypeValues.CONTAINS)
        )
    return group


def _evaluations(result: DicomResult) -> Iterator[tuple[Code, Code]]:
    """Yield the calls as pairs of codes; none where the scan gets no call."""
    if result.no_call:
        return
    for name, call in result.calls.items():
        yield own.at_point(name), own.CALLS[call]
    if result.side in own.SIDES:
        yield own.SIDE, own.SIDES[result.side]
    if result.segment in own.SEGMENTS:
        yield own.SEGMENT, own.SEGMENTS[result.segment]


def _sentences(result: DicomResult) -> Iterator[str]:
    yield RESEARCH_ONLY
    if result.no_call:
        yield f"No call: {result.no_call}"
    elif result.calls and "occlusion" not in result.calls.values():
        yield "Side, segment and place are those of the likeliest occlusion, if there is one."
    yield from result.findings


def _place(
    source: SourceSeries, result: DicomResult, uid: str
) -> PlanarROIMeasurementsAndQualitativeEvaluations:
    point = np.asarray(result.point_mm, dtype=float) * [-1.0, -1.0, 1.0]  # RAS+ to DICOM's LPS
    region = ImageRegion3D(
        graphic_type=hd.sr.GraphicTypeValues3D.POINT,
        graphic_data=point[None, :],
        frame_of_reference_uid=source.datasets[0].FrameOfReferenceUID,
    )
    return PlanarROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(own.uid_of(uid, "place"), "place"),
        referenced_region=region,
        finding_type=own.PLACE,
        finding_sites=[FindingSite(codes.SCT.Brain)],
    )
