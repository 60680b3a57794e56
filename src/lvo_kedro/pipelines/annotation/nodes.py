"""Nodes of the annotation pipeline."""

from __future__ import annotations

import functools
import logging
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import pandas as pd

from lvo_kedro.annotation import (
    CtaRegistrationOptions,
    LabellerOptions,
    TracingOptions,
    annotate,
    compare_with_table,
    name_labels,
    read_cta,
    register_cta,
)
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.nnunet import NnUNetOptions, Predictor, load_foreign
from lvo_kedro.priors import PriorOptions, load_atlas, register_atlas
from lvo_kedro.reporting import plot_annotation, render_annotation_page

logger = logging.getLogger(__name__)


def annotate_scans(
    cohort: pd.DataFrame,
    scans: Cases,
    atlas_folder: str | None,
    priors: PriorOptions,
    registration: CtaRegistrationOptions,
    tracing: TracingOptions,
    labeller: LabellerOptions,
) -> dict[str, Task]:
    """Draw the arteries of every scan that has an angiography.

    In: paths of NIfTI files in the column cta, scans in HU with brain masks. Out: for each case, on
    the scan's grid: vessel labels (1 C7, 2 M1, 3 M2), where they were completed without contrast,
    the proposed clot, what was found in numbers, and a picture.
    """
    rows = cohort[cohort["cta"] != ""] if "cta" in cohort else cohort.head(0)
    if rows.empty:
        raise TableError(
            "no angiography in the cohort table",
            "a column cta with NIfTI files relative to 01_raw",
            "name them there (data/README.md); kedro import-studies does it by itself",
        )
    if labeller.model_folder and not labeller.labels:
        raise ModelError(
            "a model that labels angiographies, without a word on its labels",
            "cta_labeller.labels, such as {4: C7, 6: C7, 5: M1, 7: M1}",
            "name what each of its label values is",
        )
    shared: dict[str, Any] = {
        "atlas_folder": Path(atlas_folder) if atlas_folder else None,
        "priors": priors,
        "registration": registration,
        "tracing": tracing,
        "labeller": labeller,
        "model": Path(labeller.model_folder) if labeller.model_folder else None,
    }
    return {
        row.case_id: partial(
            annotate_scan, scans[row.case_id], Path(row.cta), occluded=int(row.lvo) == 1, **shared
        )
        for row in rows.itertuples()
        if row.case_id in scans
    }


def annotate_scan(
    scan: Case,
    cta_path: Path,
    *,
    occluded: bool,
    atlas_folder: Path | None,
    priors: PriorOptions,
    registration: CtaRegistrationOptions,
    tracing: TracingOptions,
    labeller: LabellerOptions,
    model: Path | None,
) -> dict[str, Any]:
    """Draw the arteries of one scan."""
    ncct, brain_mask, cta = scan["ncct"], scan["brain_mask"], read_cta(cta_path)
    alignment = register_cta(cta, ncct, registration)
    atlas = register_atlas(ncct, brain_mask, load_atlas(atlas_folder), priors)
    labels = _label(cta, model, labeller) if model else None
    found = annotate(ncct, cta, alignment, atlas.mapping, tracing, occluded=occluded, labels=labels)
    return {
        "vessel_labels": found.vessel_labels,
        "completed": found.completed,
        "occlusion_mask": found.occlusion_mask,
        "record": found.record | alignment.record(),
        "picture": plot_annotation(ncct, cta, alignment, found),
    }


def _label(cta: nib.Nifti1Image, model: Path, labeller: LabellerOptions) -> nib.Nifti1Image:
    return name_labels(_model(model, labeller.device).predict(cta), labeller.labels)


@functools.cache
def _model(folder: Path, device: str) -> Predictor:
    """Read the user's model once in each worker."""
    return load_foreign(folder, NnUNetOptions(device=device, mirror_prediction="none"))


def tabulate_annotations(annotations: Cases, cohort: pd.DataFrame) -> pd.DataFrame:
    """Put all proposals into one table, beside what the cohort table says of side and segment."""
    rows = cohort.set_index("case_id")
    return pd.DataFrame(
        [
            {"case_id": case} | compare_with_table(record, dict(rows.loc[case]))
            for case, record in annotations.records("record").items()
        ]
    )


def write_annotation_page(table: pd.DataFrame, annotations: Cases, cohort: pd.DataFrame) -> str:
    """Write the page on which proposals are looked at and accepted or rejected, one by one."""
    pictures = {case: annotations[case].path("picture") for case in table["case_id"]}
    agreeing = int((table["agreement"] == "agrees").sum())
    logger.info("%d of %d proposals agree with the cohort table", agreeing, len(table))
    simulated = "simulated" in cohort and bool((cohort["simulated"] == "yes").any())
    return render_annotation_page(
        table.to_dict("records"), pictures, annotations.failed, simulated=simulated
    )
