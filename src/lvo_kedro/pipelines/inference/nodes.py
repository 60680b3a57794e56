"""Nodes of the inference pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lvo_kedro.cohort import list_new_scans, scan_id
from lvo_kedro.datasets.cases import Cases

CHANGED = (
    "found that the scan was changed or taken away while it was scored; expected one that stays as "
    "it is; score it again when nothing writes to it any more"
)


def name_scans(paths: Any) -> pd.DataFrame:
    """List new scans under ids that tell nothing about the patient.

    Args:
        paths: A list, or one path as ``--params new_scans=SCAN`` gives it.
    """
    return list_new_scans([paths] if isinstance(paths, str) else paths)


def gather_outcome(
    cohort: pd.DataFrame,
    detection_scores: pd.DataFrame,
    localization_calls: pd.DataFrame,
    calibration: dict[str, Any],
    scans: Cases,
    priors: Cases,
    occlusions: Cases,
) -> pd.DataFrame:
    """Say for each scan what was found, how sure that is, and why it may not be trusted."""
    scores = detection_scores.set_index("case_id")
    calls = localization_calls.set_index("case_id")
    rows = []
    for case, path in zip(cohort["case_id"], cohort["ncct"], strict=True):
        if not _is_still(path, case):
            rows.append({"case_id": case, "failed": CHANGED})
            continue
        if case not in scores.index or case not in calls.index:
            errors = (stage.failed.get(case) for stage in (scans, priors, occlusions))
            failed = next((error for error in errors if error), "see the log")
            rows.append({"case_id": case, "failed": failed})
            continue
        probability, call = float(scores.loc[case, "probability"]), calls.loc[case]
        points = calibration["all"]["operating_points"]
        row = {"case_id": case, "probability": probability}
        row |= {
            f"at_{name}": "occlusion" if probability >= threshold else "no occlusion"
            for name, threshold in points.items()
        }
        row |= {
            "side": call["called_side"],
            "segment": call["called_segment"],
            "confidence": call["confidence"],
            "localization": call["finding"],
            "point_mm": _point(call),
            "findings": "; ".join(_findings(case, scans, priors, occlusions)),
        }
        rows.append(row)
    return pd.DataFrame(rows).fillna("")


def _is_still(path: str, case: str) -> bool:
    """Tell whether a scan is what it was when it got its id: it is read some time after that."""
    try:
        return scan_id(path) == case
    except OSError:
        return False


def _point(call: Any) -> str:
    point = [call[name] for name in ("point_x", "point_y", "point_z")]
    return "" if any(pd.isna(x) for x in point) else " ".join(f"{float(x):.0f}" for x in point)


def _findings(case: str, scans: Cases, priors: Cases, occlusions: Cases) -> list[str]:
    found = [scans[case]["quality"]["findings"], priors[case]["quality"]["findings"]]
    return [text for part in [*found, occlusions[case]["call"]["vessel_findings"]] for text in part]
