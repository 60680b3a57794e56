"""The real scan: straight priors, and the known old infarct on its side."""

from __future__ import annotations

import numpy as np
import pytest

from lvo_kedro.imaging import extract_brain, read_ncct
from lvo_kedro.imaging.geometry import grid_of, world_axis
from lvo_kedro.priors import PriorOptions, compute_priors, load_atlas
from lvo_kedro.priors.engine import grid_points

INFARCT = np.array([-36.0, -49.0, 14.0], dtype=np.float32)
"""World mm, inside the old left temporo-occipital infarct."""

pytestmark = [pytest.mark.long, pytest.mark.shared]


@pytest.mark.parametrize("published_atlas", [False, True])
def test_real_scan(shared, published_atlas):
    atlas = load_atlas(shared / "atlases" if published_atlas else None)
    ncct = read_ncct(shared / "data" / "ncct_ge_hispeed_1x1x3.nii.gz")
    mask = extract_brain(ncct)
    priors = compute_priors(ncct, mask, atlas, PriorOptions(spacing_mm=4.0))
    brain = np.asarray(mask.dataobj) > 0
    sides = np.asarray(priors.hemispheres.dataobj)
    x = np.broadcast_to(world_axis(grid_of(ncct), 0), brain.shape)
    assert x[sides == 1].mean() < x[sides == 2].mean() - 40
    assert abs((sides == 1).sum() / (sides == 2).sum() - 1) < 0.1
    assert not sides[~brain].any()
    assert not np.asarray(priors.territory_probability.dataobj)[~brain].any()
    assert priors.quality["findings"] == []
    signed = np.asarray(priors.signed_difference.dataobj)
    points = grid_points(grid_of(ncct))
    infarct = np.linalg.norm(points - INFARCT.reshape(3, 1, 1, 1), axis=0) < 10
    assert (sides[infarct] == 1).mean() > 0.95
    assert signed[infarct].mean() < -4
    assert np.asarray(priors.difference.dataobj)[infarct].mean() > 2 * np.abs(signed[brain]).mean()
