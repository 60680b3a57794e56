"""What of the evaluation can be chosen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lvo_kedro.options import Options


class Subgroup(Options):
    """One column of the cohort table by which the cases are divided."""

    column: str
    """Column of the cohort table, such as ``site``."""
    title: str = ""
    """Name in tables and plots; the column's name where empty."""
    bands: tuple[float, ...] = ()
    """Inner edges for a numeric column: (65, 80) gives below 65, 65 to below 80, 80 and above."""


DEFAULT_SUBGROUPS = (
    Subgroup(column="segment", title="Occluded segment"),
    Subgroup(column="side", title="Side"),
    Subgroup(column="site", title="Site"),
    Subgroup(column="manufacturer", title="Vendor"),
    Subgroup(column="model", title="Scanner model"),
    Subgroup(column="kernel", title="Kernel"),
    Subgroup(column="slice_thickness_mm", title="Slice thickness (mm)", bands=(1.5, 3.0)),
    Subgroup(column="age", title="Age (years)", bands=(65, 80)),
    Subgroup(column="sex", title="Sex"),
    Subgroup(column="nihss", title="NIHSS", bands=(6, 15)),
)


class EvaluationOptions(Options):
    """How metrics and their intervals are made."""

    confidence: float = Field(default=0.95, gt=0.5, lt=1)
    """Coverage of every interval."""
    auc_method: Literal["delong", "logit", "score"] = "delong"
    """Interval of the AUC; ``score`` keeps its coverage where cases are few and the AUC is high."""
    resamples: int = Field(default=2000, ge=100)
    """Resamples of the patient-level bootstrap."""
    seed: int = 20240229
    """Seed of the bootstrap."""
    prevalences: tuple[float, ...] = (0.05, 0.10, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
    """Prevalences for which predictive values are given."""
    decision_thresholds: tuple[float, ...] = tuple(round(0.01 * i, 2) for i in range(1, 100))
    """Threshold probabilities of the decision curve."""
    calibration_bins: int = Field(default=10, ge=2)
    """Bins of the reliability table, of equal counts; fewer where cases are few."""
    minimum_bin: int = Field(default=5, ge=1)
    """Fewest cases in a bin of the reliability table."""
    subgroups: tuple[Subgroup, ...] = DEFAULT_SUBGROUPS
    """Columns by which the cases are divided; one that the cohort lacks is shown as lacking."""
    minimum_cases: int = Field(default=10, ge=1)
    """A subgroup with fewer cases in a class is shown with counts and marked as too few."""
    operating_point: str = ""
    """The main operating point, for subgroups and failures; the first given where empty."""
    failures: int = Field(default=20, ge=0)
    """How many false negatives and false positives are ranked, of each."""
    distances_mm: tuple[float, ...] = (5.0, 10.0, 20.0)
    """Distances within which the share of called points is given."""
    source_columns: tuple[str, ...] = ("source", "site", "manufacturer")
    """Columns of the cohort table that must not tell the label, where the cohort has them."""
    source_accuracy: float = Field(default=0.95, gt=0.5, le=1)
    """Balanced accuracy of one of them alone from which on the label equals the source."""
    acknowledged: tuple[Literal["label_equals_source"], ...] = ()
    """Findings that you know of: the areas that they withhold are given, with a warning."""
    allow_errors: bool = False
    """Report metrics that the study checks found invalid (a leak), and say so on the report."""
