"""What a report is made of.

Everything in it is a table, a picture or a word that was handed over; the report computes no number
of its own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

NOT_TO_BE_USED_FOR: Final = (
    "Diagnosing, treating, triaging or transferring any patient.",
    "Claims about scanners, protocols, sites or patients that the cohort does not contain.",
    "Comparison with results published on other cohorts: prevalence, slice thickness and "
    "reference standard differ.",
    "Choosing a new operating point: one chosen on these cases would have to be tested on others.",
)
"""What a report and a model card say that the model is not for."""
SIMULATED_LIMIT: Final = (
    "Any statement about patients. The data are simulated: the numbers show that the software "
    "works, and support no comparison with any published result."
)


@dataclass(frozen=True)
class SplitTables:
    """The tables of one evaluated set.

    Attributes:
        name: For readers, such as ``Cross-validation``.
        detection: Tables of :class:`lvo_kedro.evaluation.DetectionEvaluation`, by name.
        localization: Tables of :class:`lvo_kedro.evaluation.LocalizationEvaluation`, by name.
        split: The value of the column split in the cohort table.
        note: One sentence on what this set can show.
        source: Folder in which the tables are kept, so that every number can be traced.
    """

    name: str
    detection: Mapping[str, pd.DataFrame]
    localization: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    split: str = ""
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class GalleryPicture:
    """The picture of one case.

    Attributes:
        case_id: Whose it is.
        caption: What was called and what is true, in words.
        png: The picture.
    """

    case_id: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class ReportContent:
    """Everything that a report shows.

    Attributes:
        title: Of the report.
        splits: Evaluated sets, the main one first.
        cohort: Cohort table: case_id, split, lvo and describing columns.
        simulated: Whether any of the data are simulated; marks every page.
        exclusions: case_id, stage, error, of cases that could not be processed.
        vessels: Table of :func:`lvo_kedro.evaluation.evaluate_vessels`.
        quality: case_id, stage, finding.
        findings: Self-checks: check, severity, message, cases.
        history: Training curves: fold, step, metric, value.
        source: Folder in which the tables of the whole study are kept.
        operating_point: The main one; the first of the first set where empty.
        operating_points_from: How and on which cases the operating points were fixed.
        explanations: Tables of :func:`lvo_kedro.evaluation.evaluate_explanations`, with split.
        gallery: Pictures of cases. They are images of patients: empty unless opted in.
        parameters: Parameters of the run, nested as they are.
        versions: Package to version.
        provenance: Run ids, git revision, digest of the cohort table, model hashes, date, ...
        given_weights: Whether a network's training started from given weights; the provenance says
            which and from what.
        limits: What the numbers may not be used for.
        confidence: Coverage of the intervals.
    """

    title: str
    splits: Sequence[SplitTables]
    cohort: pd.DataFrame
    simulated: bool
    exclusions: pd.DataFrame | None = None
    vessels: pd.DataFrame | None = None
    quality: pd.DataFrame | None = None
    findings: pd.DataFrame | None = None
    history: pd.DataFrame | None = None
    source: str = ""
    operating_point: str = ""
    operating_points_from: str = (
        "It is not recorded on which cases the operating points were fixed."
    )
    explanations: pd.DataFrame | None = None
    gallery: Sequence[GalleryPicture] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    given_weights: bool = False
    limits: Sequence[str] = NOT_TO_BE_USED_FOR
    confidence: float = 0.95

    @property
    def main_point(self) -> str:
        """The operating point of the summary."""
        if self.operating_point:
            return self.operating_point
        operating = self.splits[0].detection["operating"]["operating_point"]
        return str(operating.iloc[0]) if len(operating) else ""

    @property
    def all_limits(self) -> tuple[str, ...]:
        """The limits, with that of simulated data in front where it applies."""
        return ((SIMULATED_LIMIT,) if self.simulated else ()) + tuple(self.limits)
