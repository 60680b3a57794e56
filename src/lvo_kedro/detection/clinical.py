"""How much a patient's NIHSS and age speak for an occlusion, as a log likelihood ratio.

Added to the log odds of an image model, which knows the prevalence already. Fitted on the training
cases of a fold, so it leaks nothing about those held out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from sklearn.linear_model import LogisticRegression

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

Clinical = Literal["nihss", "age"]
CLINICAL: tuple[Clinical, ...] = ("nihss", "age")


def fit_clinical(
    table: pd.DataFrame, names: Sequence[Clinical], labels: Sequence[int]
) -> dict[str, Any]:
    """Fit a logistic regression on standardised values.

    Args:
        table: A row per training case with the columns ``names``; NaN where unknown.
        names: Which.
        labels: 1 with, 0 without an occlusion.

    Returns:
        Plain numbers, for JSON.

    Raises:
        TableError: A column that the cohort does not have, or one class alone.
    """
    absent = [name for name in names if name not in table or table[name].isna().all()]
    if absent or len(set(labels)) < 2:
        raise TableError(
            f"no values of {', '.join(absent) or 'one of the classes'}",
            f"{', '.join(names)} of cases with and without an occlusion",
            "fill the columns of the cohort table, or take them out of detection.clinical",
        )
    values = table[list(names)].to_numpy(dtype=float)
    mean, scale = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-6
    fitted = LogisticRegression().fit(np.nan_to_num((values - mean) / scale), labels)
    share = float(np.mean(labels))
    return {
        "names": list(names),
        "mean": mean.tolist(),
        "scale": scale.tolist(),
        "weights": fitted.coef_[0].tolist(),
        "constant": float(fitted.intercept_[0] - np.log(share / (1 - share))),
    }


def clinical_evidence(fitted: Mapping[str, Any], case: Mapping[str, Any]) -> float:
    """Return the log likelihood ratio of one patient.

    Args:
        fitted: Of :func:`fit_clinical`.
        case: The patient's values by name; what is missing or NaN counts as average.
    """
    values = np.array([case.get(name, np.nan) for name in fitted["names"]], dtype=float)
    standard = np.nan_to_num((values - fitted["mean"]) / np.array(fitted["scale"]))
    return float(standard @ np.array(fitted["weights"]) + fitted["constant"])
