"""The priors of several cases: the same maps from any number of workers, pictures where wanted."""

from __future__ import annotations

import matplotlib.image
import numpy as np
import pytest
import yaml

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.pipelines.priors.nodes import (
    compute_case_priors,
    draw_previews,
    tabulate_priors,
)
from tests.pipelines.conftest import ROOT
from tests.priors.phantoms import COARSE, centred_grid, make_phantom

pytestmark = pytest.mark.long

MAPS = ("territory_probability", "hemispheres", "signed_difference")


def files_of(entry: str) -> dict:
    """The files that the project's own catalog names for an entry."""
    catalog = (ROOT / "conf" / "base" / "catalog_priors.yml").read_text()
    return yaml.safe_load(catalog)[entry]["files"]


def phantom_fields(seed: int) -> dict:
    phantom = make_phantom(centred_grid((3.0, 3.0, 4.0)), turn=(3 * seed, 0, 5), seed=seed)
    hu = np.rint(np.asarray(phantom.ncct.dataobj)).astype(np.int16)
    return {"ncct": make_image(hu, phantom.ncct.affine), "brain_mask": phantom.mask}


class Given:
    """A task that hands over what is there already."""

    def __init__(self, seed: int) -> None:
        self.fingerprint, self.seed = str(seed), seed

    def __call__(self) -> dict:
        return phantom_fields(self.seed)


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    image = "lvo_kedro.datasets.NiftiDataset"
    dataset = CaseDataset(
        path=str(tmp_path_factory.mktemp("scans")),
        files={"ncct.nii.gz": image, "brain_mask.nii.gz": image},
    )
    dataset.save({f"case-{seed}": Given(seed) for seed in (1, 2)})
    return dataset.load()


@pytest.fixture(scope="module")
def computed(scans, tmp_path_factory):
    def compute(workers: int):
        folder = tmp_path_factory.mktemp(f"priors-{workers}")
        dataset = CaseDataset(path=str(folder), files=files_of("priors"), workers=workers)
        dataset.save(compute_case_priors(scans, None, COARSE))
        return dataset.load()

    return {workers: compute(workers) for workers in (1, 2)}


def test_workers_do_not_change_the_maps(computed):
    assert sorted(computed[1]) == ["case-1", "case-2"]
    for case, alone in computed[1].items():
        beside = computed[2][case]
        for name in MAPS:
            np.testing.assert_array_equal(
                np.asarray(alone[name].dataobj), np.asarray(beside[name].dataobj), err_msg=name
            )
        for key in ("overlap", "similarity", "jacobian_max", "midline_shift_mm"):
            assert alone["quality"][key] == beside["quality"][key]
    different = [np.asarray(case["territory_probability"].dataobj) for case in computed[1].values()]
    assert not np.array_equal(*different)


def test_quality_becomes_a_table(computed):
    table = tabulate_priors(computed[1], COARSE)
    assert table["case_id"].tolist() == ["case-1", "case-2"]
    assert (table["overlap"] > 0.9).all()
    assert table["findings"].tolist() == ["", ""]


def test_pictures_of_patients_are_drawn_only_where_they_are_wanted(scans, computed, tmp_path):
    parameters = yaml.safe_load((ROOT / "conf" / "base" / "parameters_priors.yml").read_text())
    assert parameters["prior_previews"] is False
    dataset = CaseDataset(path=str(tmp_path), files=files_of("prior_previews"))
    dataset.save(draw_previews(scans, computed[1], wanted=False, options=COARSE))
    assert dataset.load() == {}
    assert not list(tmp_path.rglob("*.png"))
    dataset.save(draw_previews(scans, computed[1], wanted=True, options=COARSE))
    for case in dataset.load().values():
        picture = matplotlib.image.imread(case["preview"])[..., :3]
        assert min(picture.shape[:2]) > 500
        assert (np.ptp(picture, axis=-1) > 0.3).mean() > 0.01  # colours over the grey scan
