"""Figures, the HTML report, the model card and the reporting checklist.

Figures take tidy tables and return matplotlib figures; :func:`render_report` puts everything that a
:class:`ReportContent` holds into one HTML file that needs nothing else. No metric is
computed here, so that every number in a report stands in a table as well.
"""

from lvo_kedro.reporting.annotation_page import render_annotation_page
from lvo_kedro.reporting.annotation_pictures import plot_annotation
from lvo_kedro.reporting.breakdowns import (
    plot_cohort,
    plot_confusion,
    plot_subgroups,
    plot_vessels,
)
from lvo_kedro.reporting.card_and_checklist import render_checklist, render_model_card
from lvo_kedro.reporting.case_pictures import CasePictures, plot_case
from lvo_kedro.reporting.comparison import (
    ComparisonContent,
    plot_two_curves,
    plot_two_scores,
    render_comparison,
)
from lvo_kedro.reporting.content import (
    NOT_TO_BE_USED_FOR,
    GalleryPicture,
    ReportContent,
    SplitTables,
)
from lvo_kedro.reporting.contribution_pictures import plot_contributions
from lvo_kedro.reporting.curves import (
    plot_calibration,
    plot_decision_curve,
    plot_precision_recall,
    plot_predictive_values,
    plot_roc,
    plot_scores,
)
from lvo_kedro.reporting.detectors import plot_detectors
from lvo_kedro.reporting.hyperdensity_pictures import plot_hyperdensity
from lvo_kedro.reporting.import_page import SeriesLine, StudyLine, write_import_page
from lvo_kedro.reporting.prior_pictures import plot_priors
from lvo_kedro.reporting.report import render_report
from lvo_kedro.reporting.robustness import plot_robustness, render_robustness
from lvo_kedro.reporting.scan import render_scan
from lvo_kedro.reporting.style import to_png, to_svg
from lvo_kedro.reporting.training import long_history, plot_training

__all__ = [
    "NOT_TO_BE_USED_FOR",
    "CasePictures",
    "ComparisonContent",
    "GalleryPicture",
    "ReportContent",
    "SeriesLine",
    "SplitTables",
    "StudyLine",
    "long_history",
    "plot_annotation",
    "plot_calibration",
    "plot_case",
    "plot_cohort",
    "plot_confusion",
    "plot_contributions",
    "plot_decision_curve",
    "plot_detectors",
    "plot_hyperdensity",
    "plot_precision_recall",
    "plot_predictive_values",
    "plot_priors",
    "plot_robustness",
    "plot_roc",
    "plot_scores",
    "plot_subgroups",
    "plot_training",
    "plot_two_curves",
    "plot_two_scores",
    "plot_vessels",
    "render_annotation_page",
    "render_checklist",
    "render_comparison",
    "render_model_card",
    "render_report",
    "render_robustness",
    "render_scan",
    "to_png",
    "to_svg",
    "write_import_page",
]
