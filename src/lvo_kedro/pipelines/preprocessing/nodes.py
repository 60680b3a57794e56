"""Nodes of the preprocessing pipeline."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from lvo_kedro.cohort import FoldOptions, assign_folds, validate_cohort
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.imaging import (
    BrainOptions,
    QualityLimits,
    ScanLimits,
    check_side,
    describe_scan,
    extract_brain,
    hash_scan,
    read_labels,
    read_mask,
    read_scan,
    refuse_scan,
)
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.vocabulary import OCCLUSION_LABELS, VESSEL_LABELS, Side


def check_cohort(cases: pd.DataFrame, folder: str) -> pd.DataFrame:
    """Validate the cohort table; nothing runs before every row is right."""
    return validate_cohort(cases, Path(folder))


def split_patients(cohort: pd.DataFrame, options: FoldOptions) -> pd.DataFrame:
    """Divide the development patients into the folds that all three stages use."""
    return assign_folds(cohort, options)


def preprocess_scans(
    cohort: pd.DataFrame, limits: ScanLimits, brain: BrainOptions, quality: QualityLimits
) -> dict[str, Task]:
    """Read every scan to a straight RAS+ image in HU and find its brain."""
    return {
        row.case_id: partial(
            preprocess_scan,
            Path(row.ncct),
            Path(row.brain_mask) if row.brain_mask else None,
            limits,
            brain,
            quality,
        )
        for row in cohort.itertuples()
    }


def preprocess_scan(
    path: Path,
    mask_path: Path | None,
    limits: ScanLimits,
    brain: BrainOptions,
    quality: QualityLimits,
) -> dict[str, Any]:
    """Read one scan; its brain mask is the user's own where the cohort table gives one."""
    scan = read_scan(path, limits)
    ncct = _whole_hu(scan.ncct)
    mask = read_mask(mask_path, ncct) if mask_path else extract_brain(ncct, brain)
    description = describe_scan(ncct, mask, quality, scan.contrast_named)
    refuse_scan(description, quality)
    findings = [*scan.findings, *description["findings"]]
    record = description | {"findings": findings, "content_hash": hash_scan(ncct)}
    return {"ncct": ncct, "brain_mask": mask, "quality": record}


def _whole_hu(ncct: nib.Nifti1Image) -> nib.Nifti1Image:
    """Round to whole HU, the resolution of CT: half the disk space, twice the reading speed."""
    return make_image(np.rint(ncct.get_fdata(dtype=np.float32)).astype(np.int16), ncct.affine)


def align_annotations(cohort: pd.DataFrame, scans: Cases) -> dict[str, Task]:
    """Bring vessel labels and occlusion masks onto the grids of their preprocessed scans."""
    rows = cohort[(cohort["vessel_labels"] != "") | (cohort["occlusion_mask"] != "")]
    return {
        row.case_id: partial(
            align_annotation,
            scans[row.case_id],
            Path(row.vessel_labels) if row.vessel_labels else None,
            Path(row.occlusion_mask) if row.occlusion_mask else None,
            row.side or None,
        )
        for row in rows.itertuples()
        if row.case_id in scans
    }


def align_annotation(
    scan: Case, vessel_labels: Path | None, occlusion_mask: Path | None, side: Side | None
) -> dict[str, Any]:
    """Read the annotations that one case has; its clot must lie on the side that is named."""
    ncct, fields = scan["ncct"], {}
    if vessel_labels:
        known = VESSEL_LABELS.values()
        fields["vessel_labels"] = read_labels(vessel_labels, ncct, known, "vessel_labels")
    if occlusion_mask:
        known = OCCLUSION_LABELS.values()
        mask = read_labels(occlusion_mask, ncct, known, "occlusion_mask")
        if side:
            check_side(mask, scan["brain_mask"], side)
        fields["occlusion_mask"] = mask
    return fields


def tabulate_scans(scans: Cases) -> pd.DataFrame:
    """One row a scan: geometry, brain volume and findings in words."""
    rows = [
        {"case_id": case} | record | {"findings": "; ".join(record["findings"])}
        for case, record in scans.records("quality").items()
    ]
    return pd.DataFrame(rows)
