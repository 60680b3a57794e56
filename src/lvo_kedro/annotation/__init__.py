"""Vessel labels for the plain scan, drawn from the CT angiography of the same study.

The angiography is brought onto the plain scan (:func:`register_cta`); contrast-filled arteries are
followed from the carotids outwards and cut into C7, M1 and M2 (:func:`annotate`). Where contrast
stops, the missing stretch is completed along the lumen and proposed as the occlusion. A person
accepts, rejects or corrects every proposal (``kedro take-annotations``).
"""

from lvo_kedro.annotation.exporting import export_proposal, write_colours
from lvo_kedro.annotation.labelled import name_labels
from lvo_kedro.annotation.occlusion import Proposal
from lvo_kedro.annotation.options import (
    CtaRegistrationOptions,
    LabellerOptions,
    TracingOptions,
)
from lvo_kedro.annotation.proposals import Annotation, annotate
from lvo_kedro.annotation.reading import read_cta
from lvo_kedro.annotation.registration import CtaAlignment, register_cta
from lvo_kedro.annotation.review import compare_with_table, names_by_clot

__all__ = [
    "Annotation",
    "CtaAlignment",
    "CtaRegistrationOptions",
    "LabellerOptions",
    "Proposal",
    "TracingOptions",
    "annotate",
    "compare_with_table",
    "export_proposal",
    "name_labels",
    "names_by_clot",
    "read_cta",
    "register_cta",
    "write_colours",
]
