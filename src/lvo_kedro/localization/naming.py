"""One call a case from two methods: the published network's and the densities'."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from lvo_kedro.localization.baseline import BaselineOptions, SegmentBaseline
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd

    from lvo_kedro.localization.calls import OcclusionCall
    from lvo_kedro.vocabulary import SegmentClass, Side


class LocalizationOptions(Options):
    """Which of the two methods names the occlusion; both are computed and kept side by side."""

    renamed: ClassVar[dict[str, str]] = {"guess": "force_call"}

    method: Literal["network", "densities"] = "network"
    """``network``: the published way. ``densities``: the transparent baseline."""
    side: Literal["own", "detection"] = "own"
    """``own``: each method tells the side as well. ``detection``: that of stage 2 is kept, and only
    what lies on it is named, where the detector tells sides (a network of whole heads does not).
    """
    force_call: bool = True
    """Name the likeliest segment and side even where none reaches its threshold.

    Whether there is an occlusion at all is the second stage's to say. The finding tells when.
    """


def call_record(call: OcclusionCall) -> dict[str, Any]:
    """Return a call as plain values; nothing called is empty text, ``point_mm`` is in world mm.

    Args:
        call: Of :func:`lvo_kedro.localization.name_occlusion` or of the baseline.
    """
    return {
        "called_side": call.side or "",
        "called_segment": call.segment or "",
        "best_side": call.best_side,
        "best_segment": call.best_segment,
        "confidence": round(call.confidence, 4),
        "finding": call.finding,
        "point_mm": call.best_point,
    }


def told_sides(
    scores: Mapping[str, Mapping[str, Any]], options: LocalizationOptions
) -> dict[str, Side]:
    """Return the side that detection found likelier, for the cases whose side is to be kept.

    Args:
        scores: By case: ``likely_side``, empty where the detector does not tell sides.
        options: Whether detection tells the side.
    """
    if options.side == "own":
        return {}
    return {case: score["likely_side"] for case, score in scores.items() if score["likely_side"]}


def given_side(record: Mapping[str, Any], side: Side | None) -> Mapping[str, Any]:
    """Return a network's call, or the one it makes when only one side counts.

    Args:
        record: Of :func:`call_record`, with ``on_left`` and ``on_right`` of the same kind.
        side: The patient's, None for both.
    """
    return record if side is None else record[f"on_{side}"]


def cross_fit_baseline(
    densities: Mapping[str, pd.DataFrame],
    truths: Mapping[str, tuple[Side, SegmentClass] | None],
    held_out: Mapping[str, int],
    options: BaselineOptions,
    *,
    controls: bool = True,
) -> dict[str, Any]:
    """Fit the baseline on all cases, and for each fold on those of the others.

    Args:
        densities: By case: the arteries of :func:`lvo_kedro.features.measure_sides`.
        truths: By case: side and class of its occlusion, None without one.
        held_out: By case: the fold that holds it out.
        options: Of the baseline.
        controls: Whether there are cases without an occlusion, of :meth:`SegmentBaseline.fit`.

    Returns:
        ``all`` and ``folds`` (fold to the same), each the weights as plain numbers.
    """

    def fit(without: int | None) -> dict[str, Any]:
        chosen = [case for case, fold in held_out.items() if fold != without]
        cases, known = [densities[case] for case in chosen], [truths[case] for case in chosen]
        return SegmentBaseline(options).fit(cases, known, controls=controls).to_json()

    folds = {str(fold): fit(fold) for fold in sorted(set(held_out.values()))}
    return {"all": fit(None), "folds": folds}


def call_by_densities(
    fitted: Mapping[str, Any], densities: pd.DataFrame, side: Side | None = None
) -> dict[str, Any]:
    """Name the occlusion of one case by its densities, as :func:`call_record` has it.

    Args:
        fitted: Weights of a baseline.
        densities: The arteries of :func:`lvo_kedro.features.measure_sides`.
        side: The patient's, where another method has told it.

    Returns:
        The call; without a name, and with the reason, where the segment was not found at all.
    """
    call = SegmentBaseline.from_json(fitted).call(densities, side)
    # a segment that was found on neither side has no density to go by: that names nothing
    volumes = densities.groupby("segment")["volume_ml"].sum()
    absent = [segment for segment in call.best_segment.split("+") if volumes[segment] == 0]
    if absent:
        finding = f"not named: {', '.join(absent)} not found in the scan"
        parts = ("called_side", "called_segment", "best_side", "best_segment")
        return dict.fromkeys(parts, "") | {"confidence": 0.0, "finding": finding, "point_mm": None}
    return call_record(call)


def merge_calls(
    by: Mapping[str, Mapping[str, Any]], options: LocalizationOptions
) -> dict[str, Any]:
    """Put the chosen method's call first and every method's own words behind it.

    Args:
        by: Records of :func:`call_record`, by method.
        options: Which method counts, and whether the likeliest is named in any case.

    Returns:
        called_side, called_segment, confidence, finding, point_x, point_y, point_z (world mm, NaN
        without a side), and ``<method>_side`` and ``<method>_segment``.
    """
    chosen = by[options.method]
    kind = "best" if options.force_call else "called"
    row = {f"called_{part}": chosen[f"{kind}_{part}"] for part in ("side", "segment")}
    row |= {"confidence": chosen["confidence"], "finding": chosen["finding"]}
    point = (chosen["point_mm"] if row["called_side"] else None) or (np.nan,) * 3
    row |= dict(zip(("point_x", "point_y", "point_z"), np.round(point, 1), strict=True))
    for method, call in by.items():
        row |= {f"{method}_{part}": call[f"{kind}_{part}"] for part in ("side", "segment")}
    return row


def measure_points(
    calls: pd.DataFrame, centres: Mapping[str, tuple[float, float, float]]
) -> pd.DataFrame:
    """Add where each annotated clot is, and how far from it the called point lies.

    Args:
        calls: Case_id, point_x, point_y, point_z in world mm.
        centres: World position in mm of the annotated clot, by case.

    Returns:
        The calls with ``clot_annotated`` (0 or 1), ``clot_x``, ``clot_y``, ``clot_z`` and
        ``point_error_mm``, NaN without an annotated clot or a point.
    """
    points = calls[["point_x", "point_y", "point_z"]].to_numpy(dtype=float).reshape(-1, 3)
    known = [centres.get(case, (np.nan,) * 3) for case in calls["case_id"]]
    clots = np.array(known, dtype=float).reshape(-1, 3)
    errors = np.linalg.norm(points - clots, axis=1)
    named = dict(zip(("clot_x", "clot_y", "clot_z"), clots.T, strict=True))
    annotated = calls["case_id"].isin(list(centres)).astype(int)
    return calls.assign(point_error_mm=errors, clot_annotated=annotated, **named)
