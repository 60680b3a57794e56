"""The division of the development patients into folds, and how it is kept as a cohort grows.

A division is a table: ``patient_id``, ``fold``, and ``count`` and ``seed`` that it was dealt with.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

import pandas as pd
from pydantic import Field
from sklearn.model_selection import StratifiedKFold

from lvo_kedro.cohort import has_controls
from lvo_kedro.errors import TableError
from lvo_kedro.options import Options

COLUMNS: Final = ("patient_id", "fold", "count", "seed")
KINDS: Final = {1: "with", 0: "without"}
"""Label of a patient to how it has an occlusion, in words."""
ANYONE: Final = "anyone"
"""The group of all patients of a fold; no stratum and no label is called that."""


class FoldOptions(Options):
    """How development patients are divided for cross-validation.

    The division is remembered (``02_intermediate/folds.csv``): patients keep their fold when others
    come or go. Another count or seed deals all of them anew, and so does deleting that file.
    """

    count: int = Field(default=5, ge=2, le=20)
    """Number of folds."""
    seed: int = 20260101
    """Decides which patient goes where when all are dealt."""
    controls: bool = True
    """Whether there must be development patients without an occlusion. Of occlusions alone vessels,
    sides and segments can be learned, not whether there is an occlusion: no network detects, no
    probability is calibrated, and the report says so first."""


def deal_folds(
    cohort: pd.DataFrame, options: FoldOptions, known: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Divide the development patients into folds: all scans of a patient go into the same one.

    Stratified by occlusion, and within it by segment and site where at least as many patients as
    folds share them; rarer combinations are joined first by site, then by segment. Patients of an
    earlier division by the same options keep their fold. Those who are new go, one by one, to the
    fold that has fewest of their stratum, then fewest with their label, then fewest patients.

    Args:
        cohort: The checked cohort table.
        options: Number of folds, and the seed.
        known: The earlier division; None or empty where there is none. Patients who are no longer
            in the cohort lose their place.

    Returns:
        The division, in the order of the patients' ids.

    Raises:
        TableError: Too few patients with, or without, an occlusion to have both in every fold; the
            kept division leaves a fold without one of them; an earlier division that is none; or a
            cohort table with folds of its own.
    """
    patients = development_patients(cohort, options)
    strata = _strata(patients, options.count)
    kept = _kept(known, options)
    places = {p: kept[p] for p in patients["patient_id"] if p in kept}
    if places:
        _add(places, patients, strata, options.count)
    else:
        places = _deal(patients["patient_id"], strata, options)
    held_out = patients["patient_id"].map(places)
    for lvo, kind in _kinds(cohort, options).items():
        left = sorted(set(range(options.count)) - set(held_out[patients["lvo"] == lvo]))
        if left:
            raise TableError(
                f"no development patient {kind} an occlusion in fold {', '.join(map(str, left))}, "
                "since patients left the cohort or changed their label",
                "both in every fold",
                "delete 02_intermediate/folds.csv or take another folds.seed: all are dealt anew",
            )
    columns = (patients["patient_id"], held_out.astype(int), options.count, options.seed)
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True))).reset_index(drop=True)


def development_patients(cohort: pd.DataFrame, options: FoldOptions) -> pd.DataFrame:
    """Return a row for each development patient, in the order of their ids.

    Args:
        cohort: The checked cohort table.
        options: Number of folds.

    Returns:
        A patient's first case; with one occluded and one open scan, the occluded one.

    Raises:
        TableError: Too few patients with, or without, an occlusion to have both in every fold, or
            a table with folds of its own.
    """
    if "fold" in cohort:
        raise TableError(
            "a cohort table with a column 'fold'",
            "a table without: all stages use one division, and it is made here",
            "rename the column; options 'folds' (count, seed) say how patients are divided",
        )
    development = cohort[cohort["split"] == "development"]
    patients = development.sort_values("lvo", ascending=False).drop_duplicates("patient_id")
    for lvo, kind in _kinds(cohort, options).items():
        number = int((patients["lvo"] == lvo).sum())
        if not number:
            raise TableError(
                f"{len(patients)} development patients, none {kind} an occlusion",
                f"at least {options.count} of them, one for each fold: detector, calibration and "
                "operating points are learned from patients with and without",
                f"add development cases {kind} an occlusion, best of the same sources; occlusions "
                "alone can be evaluated as split external, by models of a cohort that has both; "
                "folds.controls: false lets vessels, sides and segments be learned of them alone, "
                "where no development case is without one",
            )
        if number < options.count:
            raise TableError(
                f"{number} development patients {kind} an occlusion",
                f"at least {options.count}, one for each fold",
                "add cases or lower the number of folds",
            )
    return patients.sort_values("patient_id")


def _kinds(cohort: pd.DataFrame, options: FoldOptions) -> dict[int, str]:
    """Return the kinds of patients that every fold must have.

    A single case without an occlusion makes it a cohort with controls, an open second scan, too.
    """
    alone = not options.controls and not has_controls(cohort)
    return {lvo: kind for lvo, kind in KINDS.items() if lvo or not alone}


def assign_folds(cohort: pd.DataFrame, division: pd.DataFrame) -> pd.DataFrame:
    """Tell of each case in which fold it is held out.

    Args:
        cohort: The checked cohort table.
        division: Of :func:`deal_folds`.

    Returns:
        The cohort with a column ``fold``, from 0 on; missing for cases of other splits, which no
        fold sees.
    """
    places = dict(zip(division["patient_id"], division["fold"], strict=True))
    fold = cohort["patient_id"].map(places).where(cohort["split"] == "development")
    return cohort.assign(fold=fold.astype("Int64"))


def _kept(known: pd.DataFrame | None, options: FoldOptions) -> dict[str, int]:
    """Return the folds of an earlier division by the same options, by patient."""
    if known is None or known.empty:
        return {}
    if set(COLUMNS) <= set(known.columns):
        same = known[(known["count"] == options.count) & (known["seed"] == options.seed)]
        patients, folds = same["patient_id"], same["fold"]
        if not patients.duplicated().any() and folds.isin(range(options.count)).all():
            return dict(zip(patients, folds.astype(int), strict=True))
    raise TableError(
        "an earlier division (02_intermediate/folds.csv) that was changed by hand",
        f"the columns {', '.join(COLUMNS)}, each patient once, folds from 0 to count - 1",
        "put it back, or delete it: all patients are then dealt anew",
    )


def _deal(patients: pd.Series, strata: pd.Series, options: FoldOptions) -> dict[str, int]:
    """Give every patient a fold."""
    splitter = StratifiedKFold(options.count, shuffle=True, random_state=options.seed)
    return {
        patient: fold
        for fold, (_, held_out) in enumerate(splitter.split(strata, strata))
        for patient in patients.iloc[held_out]
    }


def _add(kept: dict[str, int], patients: pd.DataFrame, strata: pd.Series, count: int) -> None:
    """Give those a fold who have none yet, stratum by stratum."""
    rows = sorted(zip(strata, patients["patient_id"], patients["lvo"], strict=True))
    sizes: list[Counter[object]] = [Counter() for _ in range(count)]
    for stratum, patient, lvo in rows:
        if patient in kept:
            sizes[kept[patient]].update((stratum, lvo, ANYONE))
    for stratum, patient, lvo in rows:
        if patient not in kept:
            groups = (stratum, lvo, ANYONE)
            fold = min(range(count), key=lambda k: [*(sizes[k][g] for g in groups), k])
            kept[patient] = fold
            sizes[fold].update(groups)


def _strata(patients: pd.DataFrame, minimum: int) -> pd.Series:
    """Return the finest stratum of each patient that at least ``minimum`` patients share."""
    lvo = patients["lvo"].astype(str)
    segment = lvo + "|" + patients["segment"]
    strata = segment + "|" + patients["site"]
    for coarser in (segment, lvo):
        rare = strata.map(strata.value_counts()) < minimum
        strata = strata.where(~rare, coarser)
    # joining the rare ones may leave a stratum that is rare itself: those go by occlusion alone
    rare = strata.map(strata.value_counts()) < minimum
    return lvo if rare.any() else strata
