"""Bias and leakage checks: ways in which metrics come out better than they are.

``design`` and ``study`` look at the study as a whole, ``separation`` at what is fitted and what is
reported (patients, scans, predictions), ``scores`` at one table of scores that is to be reported,
``sources`` at whether its labels can be told from where the cases come from.
Each check returns findings; :func:`raise_on_errors` stops on those that make the metrics invalid.
"""

from lvo_kedro.evaluation.leakage.design import check_study_design
from lvo_kedro.evaluation.leakage.findings import Finding, findings_table, raise_on_errors
from lvo_kedro.evaluation.leakage.scores import (
    check_epoch_choice,
    check_fitted_elsewhere,
    check_informative,
    check_same_cases,
)
from lvo_kedro.evaluation.leakage.separation import (
    check_duplicate_scans,
    check_out_of_fold,
    check_patient_separation,
    training_patients,
)
from lvo_kedro.evaluation.leakage.sources import (
    LABEL_EQUALS_SOURCE,
    check_label_source,
    gravest_first,
)
from lvo_kedro.evaluation.leakage.study import check_external, check_study

__all__ = [
    "LABEL_EQUALS_SOURCE",
    "Finding",
    "check_duplicate_scans",
    "check_epoch_choice",
    "check_external",
    "check_fitted_elsewhere",
    "check_informative",
    "check_label_source",
    "check_out_of_fold",
    "check_patient_separation",
    "check_same_cases",
    "check_study",
    "check_study_design",
    "findings_table",
    "gravest_first",
    "raise_on_errors",
    "training_patients",
]
