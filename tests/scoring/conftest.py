"""Models that are small files, and a scorer that takes no time."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lvo_kedro.artifacts import sha256_of, write_json
from lvo_kedro.cohort import scan_id
from lvo_kedro.datasets import FoldDataset
from lvo_kedro.scoring import Models, Result
from lvo_kedro.scoring.models import files_of_models

COHORT = {
    "simulated": True,
    "development": {"cases": 48, "with_lvo": 25},
    "external": None,
    "slice_thickness_mm": [1.5, 5.0],
    "age_years": None,
}


def train(folder: Path) -> dict[str, Any]:
    (folder / "plans").mkdir()
    (folder / "plans" / "weights.safetensors").write_bytes(b"weights of one fold")
    return {}


@pytest.fixture
def models(tmp_path: Path) -> Models:
    """Two folds of one network, a calibration and an atlas of the user's."""
    data = tmp_path / "data"
    FoldDataset(path=str(data / "vessels")).save({"fold_0": train, "fold_1": train})
    write_json(data / "calibration.json", {"all": {"operating_points": {"youden": 0.5}}})
    (data / "atlas").mkdir()
    (data / "atlas" / "labels.nii.gz").write_bytes(b"an atlas")
    trained = {
        "vessel_models": {
            "type": "lvo_kedro.datasets.FoldDataset",
            "path": str(data / "vessels"),
        },
        "calibration": {
            "type": "json.JSONDataset",
            "filepath": str(data / "calibration.json"),
        },
    }
    scan = {
        "new.scans": {
            "type": "lvo_kedro.datasets.CaseDataset",
            "path": "scans",
            "files": {"ncct.nii.gz": {"type": "lvo_kedro.datasets.NiftiDataset"}, "a.json": None},
        }
    }
    parameters = {"vessel_network": {"device": "cpu"}, "atlas_folder": str(data / "atlas")}
    figures = {"cohort": COHORT, "operating_points": {}, "origin": {}}
    files = files_of_models(trained, parameters)
    parts = {name: sha256_of(path) for name, path in files.items()}
    return Models(trained, scan, parameters, figures, parts, {"torch": "2"})


@dataclass
class QuickScorer:
    """Writes what stands in a scan as its result; ``broken`` is an error."""

    out: Path
    seen: list[str] = field(default_factory=list)

    def score(self, scan: Path) -> Result:
        text = scan.read_text()
        self.seen.append(text)
        if text == "broken":
            raise RuntimeError("/data/Smith^John is broken")
        case = scan_id(str(scan))
        status = "failed" if text == "unfit" else "scored"
        record = {"case_id": case, "status": status, "seconds": {"total": float(len(self.seen))}}
        (self.out / case).mkdir(parents=True, exist_ok=True)
        (self.out / case / "result.json").write_text(json.dumps(record))
        return Result(record, self.out / case)


@pytest.fixture
def scorer(tmp_path: Path) -> QuickScorer:
    return QuickScorer(tmp_path / "out")
