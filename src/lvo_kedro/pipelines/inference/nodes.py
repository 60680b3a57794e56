"""Nodes of the inference pipeline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lvo_kedro.cohort import list_new_scans, scan_id
from lvo_kedro.datasets.cases import Case, Cases
from lvo_kedro.detection import knows_controls
from lvo_kedro.errors import without_score

CHANGED = (
    "found that the scan was changed or taken away while it was scored; expected one that stays as "
    "it is; score it again when nothing writes to it any more"
)

WITHOUT_CONTROLS = (
    "the models were trained on occlusions alone: they tell no probability, and side and segment "
    "only where it is known that there is an occlusion"
)

UNLIKE = "unlike the scans that the models were trained on"


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
    scan_results: Case,
    occlusions: Cases,
) -> pd.DataFrame:
    """Say for each scan what was found, how sure that is, and why it may not be trusted.

    Out: a row per scan. One that is out of scope gets no call, no side and no segment: the reason
    stands in ``no_call``, and the number that the models gave in ``unreliable_probability``, never
    in ``probability``. One that is no non-contrast head CT at all has the reason alone. Models that
    learned of occlusions alone give side and segment, but neither a probability nor a call, and the
    first finding says so.
    """
    scores = detection_scores.set_index("case_id")
    calls = localization_calls.set_index("case_id")
    found, failed = scan_results["findings"], scan_results["failures"]
    errors = dict(zip(failed["case_id"], failed["error"], strict=True))
    rows = []
    for case, path in zip(cohort["case_id"], cohort["ncct"], strict=True):
        if not _is_still(path, case):
            rows.append({"case_id": case, "failed": CHANGED})
            continue
        if case not in scores.index or case not in calls.index:
            reason = errors.get(case) or occlusions.failed.get(case, "see the log")
            rows.append({"case_id": case, **without_score(reason)})
            continue
        vessels = occlusions[case]["call"]["vessel_findings"]
        words = [*found["scan"][case], *found["priors"][case], *vessels]
        points = calibration["all"]["operating_points"] if knows_controls(calibration) else None
        row = _outcome(scores.loc[case], calls.loc[case], points, words)
        words = [*([WITHOUT_CONTROLS] if points is None else []), *words]
        rows.append({"case_id": case, **row, "findings": "; ".join(words)})
    return pd.DataFrame(rows).fillna("")


def _outcome(
    score: Any, call: Any, points: dict[str, float] | None, findings: list[str]
) -> dict[str, Any]:
    """Give the calls of one scan, or the reason why there are none."""
    probability = float(score["probability"])
    called = {
        f"at_{name}": "occlusion" if probability >= threshold else "no occlusion"
        for name, threshold in (points or {}).items()
    }
    called |= {
        "side": call["called_side"],
        "segment": call["called_segment"],
        "confidence": call["confidence"],
        "localization": call["finding"],
        "point_mm": _point(call),
    }
    against = score["out_of_scope"]
    known = {"probability": "" if points is None else probability, "unreliable_probability": ""}
    if not against:
        return {"no_call": "", **known, **called}
    compared = set(against.split("; ")) - set(findings)  # a finding holds for any cohort
    reason = {"no_call": f"{against} ({UNLIKE})" if compared else against}
    unreliable = {"probability": "", "unreliable_probability": known["probability"]}
    return reason | unreliable | dict.fromkeys(called, "")


def _is_still(path: str, case: str) -> bool:
    """Tell whether a scan is what it was when it got its id: it is read some time after that."""
    try:
        return scan_id(path) == case
    except OSError:
        return False


def _point(call: Any) -> str:
    point = [call[name] for name in ("point_x", "point_y", "point_z")]
    return "" if any(pd.isna(x) for x in point) else " ".join(f"{float(x):.0f}" for x in point)
