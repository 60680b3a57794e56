"""Nodes of the preprocessing pipeline."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from lvo_kedro.cohort import validate_cohort
from lvo_kedro.datasets.cases import Cases, Task
from lvo_kedro.folds import FoldOptions, assign_folds, deal_folds, development_patients
from lvo_kedro.imaging import (
    BrainOptions,
    QualityLimits,
    RefusalLimits,
    ScanLimits,
    extract_brain,
    find_hyperdensity,
    find_remarkable,
    hash_scan,
    measure_scan,
    read_mask,
    read_scan,
    refuse_scan,
)
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.pose import find_pose
from lvo_kedro.reporting import plot_hyperdensity


def divide_patients(
    cases: pd.DataFrame, folder: str, folds: FoldOptions
) -> Callable[[pd.DataFrame], pd.DataFrame]:
    """Check every row of the cohort table and divide the development patients into folds.

    In: the table as it was written by hand. Out: how the division that there is goes on: patients
    keep their fold, and those who are new are dealt. Nothing runs before every row is right.
    """
    cohort = validate_cohort(cases, Path(folder))
    development_patients(cohort, folds)  # what is wrong with the table is said here
    return partial(deal_folds, cohort, folds)


def check_cohort(cases: pd.DataFrame, folder: str, folds: pd.DataFrame) -> pd.DataFrame:
    """Put the folds beside the checked cases.

    In: the table as it was written by hand, and the division of the patients. Out: the table with
    absolute paths, numbers where numbers belong, and the fold that holds each development case out,
    by patient and for all stages.
    """
    return assign_folds(validate_cohort(cases, Path(folder)), folds)


def preprocess_scans(
    cohort: pd.DataFrame, limits: ScanLimits, brain: BrainOptions, quality: QualityLimits
) -> dict[str, Task]:
    """Read every scan, straighten it and find its brain.

    In: paths of NIfTI files or DICOM folders, tilted or uneven as they may be. Out: for each case
    the scan in HU (RAS+, even slices), a brain mask, and its quality in numbers: geometry in mm,
    volumes in ml; a picture, where something is as dense as fresh blood. A scan that cannot be used
    is listed as failed, with the reason.
    """
    return {
        row.case_id: partial(
            preprocess_scan,
            Path(row.ncct),
            Path(row.brain_mask) if row.brain_mask else None,
            limits,
            brain,
            quality.refusals(),
        )
        for row in cohort.itertuples()
    }


def preprocess_scan(
    path: Path,
    mask_path: Path | None,
    limits: ScanLimits,
    brain: BrainOptions,
    quality: RefusalLimits,
) -> dict[str, Any]:
    """Read one scan; its brain mask is the user's own where the cohort table gives one.

    What is kept is numbers: words for them are found when they are put into tables, so that another
    limit of a finding makes no scan out of date.
    """
    scan = read_scan(path, limits)
    ncct = _whole_hu(scan.ncct)
    mask = read_mask(mask_path, ncct) if mask_path else extract_brain(ncct, brain)
    numbers = measure_scan(ncct, mask, scan.contrast_named, scan.child)
    refuse_scan(numbers, quality)
    record = numbers | {"reading": scan.findings, "content_hash": hash_scan(ncct)}
    images: dict[str, Any] = {"ncct": ncct, "brain_mask": mask}
    if numbers["hyperdense_ml"] > 0:
        found = find_hyperdensity(ncct, mask, find_pose(ncct, mask).right)
        images["hyperdensity"] = plot_hyperdensity(ncct, found)
    return images | {"quality": record}


def _whole_hu(ncct: nib.Nifti1Image) -> nib.Nifti1Image:
    """Round to whole HU, the resolution of CT: half the disk space, twice the reading speed."""
    return make_image(np.rint(ncct.get_fdata(dtype=np.float32)).astype(np.int16), ncct.affine)


def tabulate_scans(scans: Cases, quality: QualityLimits) -> pd.DataFrame:
    """Put the quality of all scans into one table: geometry (mm), brain volume (ml), findings."""
    rows = [
        {"case_id": case} | record | {"findings": "; ".join(find_remarkable(record, quality))}
        for case, record in scans.records("quality").items()
    ]
    return pd.DataFrame(rows).drop(columns="reading", errors="ignore")
