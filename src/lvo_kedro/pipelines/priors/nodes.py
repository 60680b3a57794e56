"""Nodes of the priors pipeline."""

from __future__ import annotations

import functools
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.priors import (
    Atlas,
    PriorOptions,
    Priors,
    compute_priors,
    load_atlas,
)
from lvo_kedro.reporting import plot_priors


def compute_case_priors(
    scans: Cases, atlas_folder: str | None, options: PriorOptions
) -> dict[str, Task]:
    """Register the atlas to every scan: territory, hemispheres, hemispheric difference."""
    folder = Path(atlas_folder) if atlas_folder else None
    return {
        name: partial(compute_priors_of_case, scan, folder, options) for name, scan in scans.items()
    }


def compute_priors_of_case(
    scan: Case, atlas_folder: Path | None, options: PriorOptions
) -> dict[str, Any]:
    """Compute the priors of one scan."""
    priors = compute_priors(scan["ncct"], scan["brain_mask"], _atlas(atlas_folder), options)
    return {
        "territory_probability": priors.territory_probability,
        "hemispheres": priors.hemispheres,
        "difference": priors.difference,
        "signed_difference": priors.signed_difference,
        "quality": priors.quality,
    }


@functools.cache
def _atlas(folder: Path | None) -> Atlas:
    """Read the atlas once in each worker."""
    return load_atlas(folder)


def draw_previews(scans: Cases, priors: Cases, wanted: bool) -> dict[str, Task]:
    """Draw every case's priors over its scan, where that is wanted: pictures of patients."""
    if not wanted:
        return {}
    return {name: partial(draw_preview, scans[name], maps) for name, maps in priors.items()}


def draw_preview(scan: Case, priors: Case) -> dict[str, Any]:
    """Draw hemispheres, territory and signed difference of one scan in three planes."""
    return {"preview": plot_priors(scan["ncct"], Priors(**priors), scan.name)}


def tabulate_priors(priors: Cases) -> pd.DataFrame:
    """One row a case: how well the atlas fits, and findings in words."""
    rows = [
        {"case_id": case} | record | {"findings": "; ".join(record["findings"])}
        for case, record in priors.records("quality").items()
    ]
    return pd.DataFrame(rows)
