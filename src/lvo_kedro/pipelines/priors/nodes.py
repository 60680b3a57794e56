"""Nodes of the priors pipeline."""

from __future__ import annotations

import functools
import logging
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro import stages
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.priors import (
    Atlas,
    PriorLimits,
    PriorOptions,
    Priors,
    compute_priors,
    find_faults,
    load_atlas,
)
from lvo_kedro.reporting import plot_priors

logger = logging.getLogger(__name__)


def compute_case_priors(
    scans: Cases, atlas_folder: str | None, options: PriorOptions
) -> dict[str, Task]:
    """Register the atlas to every scan: whose territory a voxel is, which side, how it differs.

    In: scans in HU with brain masks; the atlas in MNI space. Out: for each case, on the scan's
    grid, the probability (0 to 1) of the territories of the large vessels, the hemispheres (1 left,
    2 right, the patient's), the signed difference of each voxel from its mirror image (HU), and how
    well the atlas fits, in numbers.
    """
    folder = Path(atlas_folder) if atlas_folder else None
    return stages.each_case(compute_priors_of_case, scans, atlas_folder=folder, options=options)


def compute_priors_of_case(
    scan: Case, atlas_folder: Path | None, options: PriorOptions
) -> dict[str, Any]:
    """Compute the priors of one scan; their findings are put into words with the table's limits."""
    priors = compute_priors(scan["ncct"], scan["brain_mask"], _atlas(atlas_folder), options)
    return {
        "territory_probability": priors.territory_probability,
        "hemispheres": priors.hemispheres,
        "signed_difference": priors.signed_difference,
        "quality": {name: v for name, v in priors.quality.items() if name != "findings"},
    }


@functools.cache
def _atlas(folder: Path | None) -> Atlas:
    """Read the atlas once in each worker."""
    return load_atlas(folder)


def draw_previews(
    scans: Cases, priors: Cases, wanted: bool, options: PriorOptions
) -> dict[str, Task]:
    """Draw every case's priors over its scan in three planes; off unless asked for.

    Pictures of patients: they go to no tracking server.
    """
    limits = options.limits
    return stages.each_case(draw_preview, scans, priors, limits=limits) if wanted else {}


def draw_preview(scan: Case, priors: Case, limits: PriorLimits) -> dict[str, Any]:
    """Draw hemispheres, territory and signed difference of one scan in three planes."""
    found = dict(priors)
    found["quality"] |= {"findings": find_faults(found["quality"], limits)}
    return {"preview": plot_priors(scan["ncct"], Priors(**found), scan.name)}


def tabulate_priors(priors: Cases, options: PriorOptions) -> pd.DataFrame:
    """Put the quality of all priors into one table: overlap, Jacobians, midline shift, findings."""
    rows = [
        {"case_id": case} | record | {"findings": "; ".join(find_faults(record, options.limits))}
        for case, record in priors.records("quality").items()
    ]
    return pd.DataFrame(rows)


def tell_prior_findings(prior_quality: pd.DataFrame, prior_previews: Cases) -> None:
    """Say in the log which priors want a look, and where their pictures are."""
    stages.tell_findings(prior_quality)
    found = prior_quality.loc[prior_quality["findings"] != "", "case_id"]
    shown = [case for case in found if case in prior_previews]
    if shown:
        logger.info("their pictures are in %s", prior_previews[shown[0]].folder.parent.name)
