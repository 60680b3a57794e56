"""A limit that only words findings computes nothing again, and changes the words all the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel as nib
import pandas as pd
import pytest

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.datasets.fingerprint import fingerprint
from lvo_kedro.detection import TrainingOptions
from lvo_kedro.imaging import BrainOptions, QualityLimits, ScanLimits
from lvo_kedro.nnunet import NnUNetOptions
from lvo_kedro.options import Options
from lvo_kedro.pipelines.evaluation.nodes import record_scans
from lvo_kedro.pipelines.preprocessing.nodes import preprocess_scans, tabulate_scans
from lvo_kedro.pipelines.priors.nodes import compute_case_priors, tabulate_priors
from lvo_kedro.priors import PriorLimits, StartLimits
from lvo_kedro.simulation import SimulationOptions, simulate_case
from tests.priors.phantoms import COARSE


class Study:
    """A scan and its priors on disk, computed again where what they depend on has changed."""

    def __init__(self, folder: Path) -> None:
        case = simulate_case(3, SimulationOptions(spacing_mm=2.4, slice_thickness_mm=(4.0,)))
        nib.save(case.ncct, folder / "scan.nii.gz")
        row = {"case_id": "a", "ncct": str(folder / "scan.nii.gz"), "brain_mask": ""}
        self.cohort = pd.DataFrame([row])
        names = ["ncct.nii.gz", "brain_mask.nii.gz", "quality.json"]
        self.scans = CaseDataset(path=str(folder / "scans"), files=names)
        maps = ("territory_probability", "hemispheres", "difference", "signed_difference")
        names = [*(f"{name}.nii.gz" for name in maps), "quality.json"]
        self.priors = CaseDataset(path=str(folder / "priors"), files=names)
        self.records = [folder / part / "a" / "case.json" for part in ("scans", "priors")]

    def run(self, quality: QualityLimits, limits: PriorLimits) -> dict[str, list[str]]:
        """Do what a run does; return the findings, which all tables must tell alike."""
        options = COARSE.model_copy(update={"limits": limits})
        self.scans.save(preprocess_scans(self.cohort, ScanLimits(), BrainOptions(), quality))
        scans = self.scans.load()
        self.priors.save(compute_case_priors(scans, None, options))
        priors = self.priors.load()
        recorded = record_scans(scans, priors, quality, options)
        found = {stage: cases["a"] for stage, cases in recorded["findings"].items()}
        shown = {"scan": tabulate_scans(scans, quality), "priors": tabulate_priors(priors, options)}
        assert {k: "; ".join(words) for k, words in found.items()} == {
            stage: table["findings"].iloc[0] for stage, table in shown.items()
        }
        assert recorded["options"]["scans"]["quality"] == quality.model_dump(mode="json")
        assert recorded["options"]["priors"]["options"]["limits"] == limits.model_dump()
        return found

    def written(self) -> list[int]:
        return [record.stat().st_mtime_ns for record in self.records]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    return Study(tmp_path_factory.mktemp("study"))


def test_another_limit_changes_the_words_and_computes_nothing(study: Study) -> None:
    before = study.run(QualityLimits(), PriorLimits())
    written = study.written()
    after = study.run(
        QualityLimits(max_noise_hu=0.01, max_slice_thickness_mm=9.0), PriorLimits(overlap=1.0)
    )
    assert study.written() == written
    assert not any("noise" in words for words in before["scan"])
    assert any(words.endswith("HU (limit 0)") for words in after["scan"])
    assert any("thick slices" in words for words in before["scan"])
    assert not any("thick slices" in words for words in after["scan"])
    assert any("overlap" in words for words in after["priors"])
    assert not any("overlap" in words for words in before["priors"])


def test_a_limit_that_refuses_is_looked_at_again(study: Study) -> None:
    study.run(QualityLimits(), PriorLimits())
    written = study.written()
    with pytest.raises(Exception, match="contrast medium in the vessels"):
        study.run(QualityLimits(refused_bright_vessels_mm=-1.0), PriorLimits())
    assert study.written()[0] != written[0]


@pytest.mark.parametrize(
    ("options", "silent", "counts"),
    [
        (NnUNetOptions(), {"checkpoint_every": 7}, {"epochs": 7}),
        (TrainingOptions(), {"checkpoint_every": 7}, {"epochs": 7}),
        (
            COARSE,
            {"limits": PriorLimits(coverage=0.5)},
            {"starts": StartLimits(coverage=0.5)},
        ),
        (
            QualityLimits().refusals(),
            {},
            {"refused_turned_deg": 90.0},
        ),
    ],
)
def test_what_changes_no_image_and_no_weight_is_in_no_fingerprint(
    options: Options, silent: dict[str, Any], counts: dict[str, Any]
) -> None:
    assert fingerprint(options.model_copy(update=silent)) == fingerprint(options)
    assert fingerprint(options.model_copy(update=counts)) != fingerprint(options)
