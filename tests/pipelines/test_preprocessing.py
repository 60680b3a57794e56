"""What the cohort table says about a scan's brain mask is heeded."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from lvo_kedro.errors import CaseError
from lvo_kedro.imaging import BrainOptions, QualityLimits, ScanLimits
from lvo_kedro.imaging.geometry import grid_of, make_image
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scans
from lvo_kedro.simulation import SimulationOptions, simulate_case


@pytest.fixture(scope="module")
def case():
    return simulate_case(3, SimulationOptions(spacing_mm=2.4, slice_thickness_mm=(4.0,)))


def preprocess(folder, case, mask) -> dict:
    """Preprocess a cohort of one scan, with or without a mask of the user's own."""
    nib.save(case.ncct, folder / "scan.nii.gz")
    if mask is not None:
        nib.save(mask, folder / "mask.nii.gz")
    row = {
        "case_id": "case",
        "ncct": str(folder / "scan.nii.gz"),
        "brain_mask": "" if mask is None else str(folder / "mask.nii.gz"),
    }
    tasks = preprocess_scans(pd.DataFrame([row]), ScanLimits(), BrainOptions(), QualityLimits())
    return dict(tasks["case"]())


def test_a_brain_mask_of_the_users_own_takes_the_place_of_ours(case, tmp_path):
    own = np.asarray(preprocess(tmp_path, case, None)["brain_mask"].dataobj)
    # brain by its shape, but far smaller than ours would ever be
    eroded = ndimage.binary_erosion(np.asarray(case.brain_mask.dataobj) > 0, iterations=6)
    grid = grid_of(case.ncct)
    cropped = (slice(None), slice(4, None), slice(2, None))  # and on a grid of its own
    affine = grid.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ [0, 4, 2]
    mask = make_image(eroded[cropped].astype(np.uint8), affine)
    fields = preprocess(tmp_path, case, mask)
    given = np.asarray(fields["brain_mask"].dataobj) > 0
    assert given.shape == fields["ncct"].shape
    assert given.sum() == pytest.approx(eroded[cropped].sum(), rel=1e-3)
    assert given.sum() < 0.7 * own.sum()
    volume = float(given.sum()) * grid.voxel_volume_ml
    assert fields["quality"]["brain_volume_ml"] == pytest.approx(volume, rel=0.01)


def test_a_mask_that_lies_elsewhere_is_refused(case, tmp_path):
    affine = case.ncct.affine.copy()
    affine[:3, 3] += 1000.0
    mask = make_image(np.asarray(case.brain_mask.dataobj), affine)
    with pytest.raises(CaseError):
        preprocess(tmp_path, case, mask)
