"""Whether where a case comes from tells its label: then every metric of it measures the source.

Cases from one archive and controls from another differ in scanner, protocol and preparation. A
detector that tells the archives apart then looks as if it told occlusions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.evaluation.leakage.findings import Finding, Severity
from lvo_kedro.evaluation.tables import listing, require_columns

if TYPE_CHECKING:
    from collections.abc import Collection

    import pandas as pd

LABEL_EQUALS_SOURCE: Final = "label_equals_source"
"""Name of the check, and the word by which it is acknowledged."""
FEWEST: Final = 5
"""Patients of a class, and of one value of a column, from which on it can say something: values
that fewer have count as one, or a cohort of many small sites would be told by its sites alone."""
NOT_RECORDED, FEW = "not recorded", f"values with fewer than {FEWEST} patients"


def check_label_source(
    cases: pd.DataFrame,
    columns: Collection[str],
    accuracy: float = 0.95,
    *,
    acknowledged: bool = False,
) -> list[Finding]:
    """A column such as the archive, the site or the vendor from which the label can be told.

    Args:
        cases: The cases of one set: patient_id, lvo, and any of ``columns``. An empty cell is a
            value like any other, if the column is not empty throughout.
        columns: Which columns could be the source.
        accuracy: Balanced accuracy of the best rule on the column alone, over patients, from which
            on it counts as telling the label. 1: each value has one label only.
        acknowledged: Whether the user said to know; it is then a warning.

    Returns:
        One finding that names every such column with its values by label. Nothing where a class
        has fewer than :data:`FEWEST` patients.
    """
    require_columns(cases, ("patient_id", "lvo"), "score")
    told = [text for name in columns if (text := _telling(cases, name, accuracy))]
    if not told:
        return []
    severity: Severity = "warning" if acknowledged else "error"
    known = " (acknowledged in evaluation.acknowledged)" if acknowledged else ""
    message = (
        f"label equals source: whether a case has LVO can be told from {' and from '.join(told)}; "
        f"areas, curves and specificity measure the source, not the occlusion{known}"
    )
    return [
        Finding(
            LABEL_EQUALS_SOURCE,
            severity,
            message,
            expected="cases with and without LVO from each source",
            remedy="add controls of the sources that the occlusions come from, or read what needs "
            "none (side, segment, the occluded against the opposite side); "
            f"evaluation.acknowledged: [{LABEL_EQUALS_SOURCE}] gives the areas all the same",
        )
    ]


def gravest_first(findings: pd.DataFrame) -> pd.DataFrame:
    """Sort findings: errors, warnings, notes; of each kind labels that equal the source first.

    Args:
        findings: Columns severity and check; of any number of tables.

    Returns:
        The same rows in that order.
    """
    kind = findings["severity"].map({"error": 0, "warning": 2, "note": 4}).astype(int)
    place = kind + (findings["check"] != LABEL_EQUALS_SOURCE)
    return findings.iloc[np.argsort(place.to_numpy(), kind="stable")]


def _telling(cases: pd.DataFrame, column: str, accuracy: float) -> str:
    """Say how a column tells the label; empty where it does not."""
    if column not in cases:
        return ""
    values = cases[column].replace("", np.nan)
    if values.isna().all():
        return ""
    patients = cases.assign(value=values.astype(object).where(values.notna(), NOT_RECORDED))
    patients = patients[["patient_id", "lvo", "value"]].drop_duplicates()
    patients["value"] = patients["value"].astype(str)
    sizes = patients.groupby("value")["patient_id"].transform("nunique")
    patients["value"] = patients["value"].where(sizes >= FEWEST, FEW)
    counts = patients.groupby(["lvo", "value"])["patient_id"].nunique().unstack(fill_value=0)
    if len(counts) < 2 or counts.sum(axis=1).min() < FEWEST:
        return ""
    shares = counts.div(counts.sum(axis=1), axis=0)
    found = float(shares.max(axis=0).sum()) / 2
    if found < accuracy:
        return ""
    of_lvo = shares.loc[1] > shares.loc[0]
    with_lvo, without = (
        listing(list(part)) for part in (of_lvo.index[of_lvo], of_lvo.index[~of_lvo])
    )
    return (
        f"{column} alone with a balanced accuracy of {found:.2f} (with LVO: {with_lvo}; without: "
        f"{without})"
    )
