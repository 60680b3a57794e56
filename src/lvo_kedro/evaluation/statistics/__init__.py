"""Estimates with their intervals, of arrays and plain tables: what any study of a test needs.

It knows nothing of stages, cohorts or runs, and nothing else of :mod:`lvo_kedro.evaluation`.
"""

from lvo_kedro.evaluation.statistics.auc import PairedTest, auc_interval, paired_delong
from lvo_kedro.evaluation.statistics.bootstrap import bootstrap_interval, patient_weights
from lvo_kedro.evaluation.statistics.calibration import (
    calibration_table,
    recalibration,
    reliability_table,
)
from lvo_kedro.evaluation.statistics.curves import decision_curve
from lvo_kedro.evaluation.statistics.intervals import (
    Interval,
    likelihood_ratio_interval,
    wilson_interval,
)
from lvo_kedro.evaluation.statistics.operating_points import fixed_points, predictive_values

__all__ = [
    "Interval",
    "PairedTest",
    "auc_interval",
    "bootstrap_interval",
    "calibration_table",
    "decision_curve",
    "fixed_points",
    "likelihood_ratio_interval",
    "paired_delong",
    "patient_weights",
    "predictive_values",
    "recalibration",
    "reliability_table",
    "wilson_interval",
]
