"""Metrics that a reviewer believes: intervals, calibration, subgroups, self-checks.

Tables go in (scores, cohort, calls, quality), tidy tables and flat metrics come out; see
:func:`evaluate_detection`, :func:`evaluate_localization`, :func:`evaluate_vessels` and
:func:`compare_runs`. Every estimate has its n, its interval and the name of its method
(:mod:`~lvo_kedro.evaluation.statistics`). Operating points and calibrations are fitted elsewhere
and never re-chosen here; :func:`check_study` and the findings of each evaluation say where metrics
would be better than they should (:mod:`~lvo_kedro.evaluation.leakage`). Images are looked at by
:func:`measure_vessels` alone.
"""

from lvo_kedro.evaluation.comparison import Comparison, compare_runs
from lvo_kedro.evaluation.detection import DetectionEvaluation, evaluate_detection
from lvo_kedro.evaluation.explanations import evaluate_explanations
from lvo_kedro.evaluation.failures import choose_cases
from lvo_kedro.evaluation.flow import count_flow, list_exclusions
from lvo_kedro.evaluation.hemispheres import hemisphere_table
from lvo_kedro.evaluation.infarcts import InfarctOptions, measure_infarct, summarize_infarcts
from lvo_kedro.evaluation.leakage import (
    LABEL_EQUALS_SOURCE,
    Finding,
    check_duplicate_scans,
    check_epoch_choice,
    check_external,
    check_fitted_elsewhere,
    check_informative,
    check_label_source,
    check_out_of_fold,
    check_patient_separation,
    check_same_cases,
    check_study,
    check_study_design,
    findings_table,
    gravest_first,
    raise_on_errors,
    training_patients,
)
from lvo_kedro.evaluation.localization import LocalizationEvaluation, evaluate_localization
from lvo_kedro.evaluation.localization_comparison import compare_locations, compare_methods
from lvo_kedro.evaluation.options import EvaluationOptions, Subgroup
from lvo_kedro.evaluation.quality import list_quality_findings
from lvo_kedro.evaluation.robustness import evaluate_robustness
from lvo_kedro.evaluation.scope import reasons_out_of_scope
from lvo_kedro.evaluation.shuffles import evaluate_shuffles
from lvo_kedro.evaluation.statistics import (
    Interval,
    PairedTest,
    auc_interval,
    bootstrap_interval,
    calibration_table,
    decision_curve,
    fixed_points,
    likelihood_ratio_interval,
    paired_delong,
    patient_weights,
    predictive_values,
    recalibration,
    reliability_table,
    wilson_interval,
)
from lvo_kedro.evaluation.summary import summarize_evaluation
from lvo_kedro.evaluation.tables import require_same_cases
from lvo_kedro.evaluation.trainings import NOT_BEGUN, WITHOUT_CONTROLS, check_began, check_controls
from lvo_kedro.evaluation.vessel_metrics import measure_vessels
from lvo_kedro.evaluation.vessels import evaluate_vessels

__all__ = [
    "LABEL_EQUALS_SOURCE",
    "NOT_BEGUN",
    "WITHOUT_CONTROLS",
    "Comparison",
    "DetectionEvaluation",
    "EvaluationOptions",
    "Finding",
    "InfarctOptions",
    "Interval",
    "LocalizationEvaluation",
    "PairedTest",
    "Subgroup",
    "auc_interval",
    "bootstrap_interval",
    "calibration_table",
    "check_began",
    "check_controls",
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
    "choose_cases",
    "compare_locations",
    "compare_methods",
    "compare_runs",
    "count_flow",
    "decision_curve",
    "evaluate_detection",
    "evaluate_explanations",
    "evaluate_localization",
    "evaluate_robustness",
    "evaluate_shuffles",
    "evaluate_vessels",
    "findings_table",
    "fixed_points",
    "gravest_first",
    "hemisphere_table",
    "likelihood_ratio_interval",
    "list_exclusions",
    "list_quality_findings",
    "measure_infarct",
    "measure_vessels",
    "paired_delong",
    "patient_weights",
    "predictive_values",
    "raise_on_errors",
    "reasons_out_of_scope",
    "recalibration",
    "reliability_table",
    "require_same_cases",
    "summarize_evaluation",
    "summarize_infarcts",
    "training_patients",
    "wilson_interval",
]
