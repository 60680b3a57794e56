"""``result.json``: what was found in one scan, in plain values that a schema describes."""

from __future__ import annotations

import json
import math
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jsonschema
import pandas as pd

from lvo_kedro import __version__
from lvo_kedro.detection import knows_controls
from lvo_kedro.tracking import package_versions
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from kedro.io import DataCatalog

    from lvo_kedro.scoring.models import Models

FORMAT: Final = "lvo_kedro.result"
VERSION: Final = 1
SCHEMA: Final = "result.schema.json"
POINT: Final = ("point_x", "point_y", "point_z")
GEOMETRY: Final = ("shape", "spacing_mm", "slice_thickness_mm", "coverage_mm", "brain_volume_ml")
MEASURED: Final = ("noise_hu", "brain_median_hu", "contrast_named")


class Computed(NamedTuple):
    """What the pipeline left of one scan.

    Attributes:
        case_id: A digest of its content.
        scan: Where it came from; goes into no result.
        outcome: The row of the pipeline's table of outcomes.
        catalog: In which its images are, as far as they were computed.
    """

    case_id: str
    scan: Path
    outcome: dict[str, Any]
    catalog: DataCatalog

    def images(self, name: str) -> Mapping[str, Any]:
        """Return what a step computed for the scan; nothing where it did not come to that."""
        entry = f"new.{name}"
        if entry not in self.catalog or not self.catalog.exists(entry):
            return {}
        found: Mapping[str, Any] = self.catalog.load(entry).get(self.case_id, {})
        return found


def make_record(computed: Computed, models: Models, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return the record of one scan.

    Args:
        computed: What came of it.
        models: What it was scored with.
        seconds: Of each step.

    Returns:
        What ``result.schema.json`` describes; no name of a person or a file is in it.
    """
    row = computed.outcome
    failed, no_call = _text(row, "failed"), _text(row, "no_call")
    status = "failed" if failed else "no_call" if no_call else "scored"
    quality = computed.images("scans").get("quality", {})
    return {
        "format": FORMAT,
        "version": VERSION,
        "research_only": RESEARCH_ONLY,
        "case_id": computed.case_id,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "status": status,
        "failed": failed,
        "no_call": no_call,
        "findings": [part for part in _text(row, "findings").split("; ") if part],
        "probability": _number(row, "probability"),
        "unreliable_probability": _number(row, "unreliable_probability"),
        "operating_points": _operating_points(computed, models),
        "side": _text(row, "side") or None,
        "segment": _text(row, "segment") or None,
        "confidence": _number(row, "confidence"),
        "localization": _text(row, "localization"),
        "point_mm": _point(computed) if status == "scored" else None,
        "scan": {
            "kind": "dicom" if computed.scan.is_dir() else "nifti",
            **{name: quality.get(name) for name in (*GEOMETRY, *MEASURED)},
        },
        "seconds": {"steps": {name: round(value, 2) for name, value in seconds.items()}},
        "models": {
            "source": models.source,
            "sha256": models.sha256,
            "parts": dict(models.parts),
            "cohort": models.figures["cohort"],
            "origin": models.figures["origin"],
        },
        "versions": package_versions() | {"lvo-kedro": __version__},
        "files": [],
    }


def check_record(record: Mapping[str, Any]) -> None:
    """Compare a record with the schema.

    Raises:
        jsonschema.ValidationError: It does not fit; that is a fault of this package.
    """
    jsonschema.Draft202012Validator(result_schema()).validate(record)


@cache
def result_schema() -> dict[str, Any]:
    """Return the JSON Schema of ``result.json``."""
    schema: dict[str, Any] = json.loads(
        files("lvo_kedro.scoring").joinpath(SCHEMA).read_text(encoding="utf-8")
    )
    return schema


def _operating_points(computed: Computed, models: Models) -> list[dict[str, Any]]:
    """Say what is called at each operating point, and what that was worth."""
    if "calibration" not in computed.catalog:
        return []
    calibration = computed.catalog.load("calibration")
    if not knows_controls(calibration):  # there is no call, and nothing that it was worth
        return []
    points = calibration["all"]["operating_points"]
    worth = models.figures["operating_points"]
    return [
        {
            "name": name,
            "threshold": float(threshold),
            "call": _text(computed.outcome, f"at_{name}") or None,
            "worth": worth.get(name, []),
        }
        for name, threshold in points.items()
    ]


def _point(computed: Computed) -> list[float] | None:
    """Return where the occlusion is: world mm, RAS, the patient's own."""
    if "new.localization_calls" not in computed.catalog:
        return None
    calls = computed.catalog.load("new.localization_calls").set_index("case_id")
    point = [_number(calls.loc[computed.case_id], axis) for axis in POINT]
    return None if None in point else [round(float(x or 0.0), 2) for x in point]


def _text(row: Mapping[Any, Any], name: str) -> str:
    value = row.get(name, "")
    return "" if pd.isna(value) else str(value)


def _number(row: Mapping[Any, Any], name: str) -> float | None:
    value = row.get(name)
    if value is None or value == "" or not math.isfinite(float(value)):
        return None
    return float(value)
