"""Simulated patients in the layout of ISLES'24, with every quirk that is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from lvo_kedro.adopted_cohort import Adopted, adopt_cohort
from lvo_kedro.adopted_files import CaseWriter
from lvo_kedro.adoption import ADAPTERS
from lvo_kedro.simulation.public_layouts import Isles24Patient, write_isles24


def patient(number: int, side: str, segment: str, *quirks: str, **more: str) -> Isles24Patient:
    return Isles24Patient(number, side, segment, quirks=frozenset(quirks), **more)  # type: ignore[arg-type]


PATIENTS = [
    patient(1, "left", "M1", orientation="RAS"),
    patient(2, "right", "M1", center="2", orientation="LPS"),
    patient(3, "right", "M1", "MCA missing", orientation="PIR"),
    patient(4, "left", "M2", "far marker", orientation="SPL"),
    patient(6, "left", "M1", "empty marker"),
    patient(7, "left", "M1", "marker of another shape", center="3"),
    patient(8, "right", "M1", "no vessels", "upper case", "uncompressed lesion", orientation="ASR"),
    patient(9, "right", "C7", "no marker", "no phenotype", "lesion named as compressed"),
    patient(10, "left", "M1", "no scan", "stray lesion"),
]
OLDER = [patient(2, "right", "M1", center="2"), patient(5, "left", "C7")]


@dataclass
class Folder:
    """A simulated archive, and what is true of it."""

    root: Path
    truth: pd.DataFrame

    def adopt(self, out: Path, **options: object) -> Adopted:
        adapter = ADAPTERS["isles24"].at(self.root)
        chosen = adapter.options(**options)
        archive = adapter.find(self.root, chosen)
        return adopt_cohort(CaseWriter(adapter, archive, chosen, out))


@pytest.fixture(scope="session")
def newer(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("newer") / "train"
    root.mkdir()
    return Folder(root, write_isles24(root, PATIENTS, spacing_mm=3.0))


@pytest.fixture(scope="session")
def older(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    root = tmp_path_factory.mktemp("older")
    return Folder(root, write_isles24(root, OLDER, older=True, workbook=True, spacing_mm=3.0))


@pytest.fixture(scope="session")
def adopted(newer: Folder, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Adopted]:
    out = tmp_path_factory.mktemp("cohort") / "01_raw"
    out.mkdir()
    return out, newer.adopt(out)
