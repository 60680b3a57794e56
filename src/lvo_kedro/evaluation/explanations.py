"""Whether maps that explain a score point to the right side of the head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from lvo_kedro.evaluation.statistics.intervals import COLUMNS, wilson_interval
from lvo_kedro.evaluation.tables import require_columns
from lvo_kedro.vocabulary import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

METRIC = "explained_by_occluded_side"


def evaluate_explanations(
    scores: pd.DataFrame, sides: Mapping[str, Mapping[str, float]], confidence: float = 0.95
) -> pd.DataFrame:
    """Count the true positives whose map lies more on the occluded than on the other side.

    Occlusions of both sides, or of an unknown one, are not counted.

    Args:
        scores: case_id, lvo, side, and ``call_<operating point>`` (0 or 1) for each point, as
            :func:`~lvo_kedro.evaluation.evaluate_detection` returns them.
        sides: Case to the map's sum on its left and right. Cases without one are not counted; an
            empty map counts as wrong.
        confidence: Coverage of the interval (Wilson).

    Returns:
        Tidy table with one row per operating point; half would be chance. Empty without maps.

    Raises:
        TableError: A column is missing.
    """
    require_columns(scores, ("case_id", "lvo", "side"), "score")
    sided = scores["side"].isin(SIDES)
    points = [name for name in scores if str(name).startswith("call_")]
    rows = []
    for point in points if sides else ():
        detected = scores[(scores["lvo"] == 1) & (scores[point] == 1) & sided]
        explained = detected[detected["case_id"].isin(list(sides))]
        right = [
            sides[case][side] > sides[case][_other(side)]
            for case, side in zip(explained["case_id"], explained["side"], strict=True)
        ]
        figure = wilson_interval(sum(right), len(right), confidence)
        rows.append(figure.row(METRIC, operating_point=str(point).removeprefix("call_")))
    return pd.DataFrame(rows, columns=["operating_point", *COLUMNS])


def _other(side: str) -> str:
    return "right" if side == "left" else "left"
