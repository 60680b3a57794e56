"""A whole import of simulated patients: no name, number or date of theirs is in what it leaves."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pandas as pd
import pytest

from lvo_kedro.reporting import StudyLine, write_import_page
from lvo_kedro.simulation import write_export
from lvo_kedro.studies.importing import import_studies
from lvo_kedro.studies.label_tables import read_label_table
from lvo_kedro.studies.labels import join_labels, read_mapping
from lvo_kedro.studies.pseudonyms import Pseudonyms, read_secret, write_link_table
from tests.studies.leaks import find_leaks, secrets_of


@pytest.fixture(scope="module")
def imported(tmp_path_factory) -> tuple[Path, pd.DataFrame, list[str]]:
    """What an import leaves in the data folder and says in its log, the truth, its secrets."""
    base = tmp_path_factory.mktemp("import")
    export, out = base / "export", base / "data"
    truth = write_export(export, 4, seed=5, spacing_mm=3.0, plane_mm=3.0)
    out.mkdir()
    handler = logging.FileHandler(out / "import.log")
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        names = Pseudonyms(read_secret(base / "keys" / "secret", out))
        found = import_studies([export], out, base / "work", names)
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()
    table, mapping = read_label_table(export / "labels.xlsx"), read_mapping(export / "mapping.yml")
    labels, problems = join_labels(table, mapping, found.studies)
    ids = found.studies.set_index("study_uid")["case_id"]
    labels.drop(columns="onset").rename(index=ids).to_csv(out / "labels.csv")
    lines = [
        StudyLine(o.case_id, out / o.ncct if o.ncct else None, label="see labels.csv")
        for o in found.outcomes
    ]
    write_import_page(out, lines, [str(problem) for problem in problems], simulated=True)
    write_link_table(base / "link.csv", found.studies, out)
    return base, truth, secrets_of(truth.to_dict("records"))


def test_nothing_in_the_data_folder_or_the_log_names_a_patient(imported) -> None:
    base, truth, secrets = imported
    out = base / "data"
    assert len(list(out.rglob("*.nii.gz"))) >= len(truth)
    assert len(pd.read_csv(out / "labels.csv")) == len(truth) - 2  # two rows are not taken
    assert find_leaks(out, secrets) == []


def test_the_link_table_alone_leads_back(imported) -> None:
    base, truth, _ = imported
    path = base / "link.csv"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    link = pd.read_csv(path, dtype=str)
    assert set(link["accession"]) == set(truth["AccessionNumber"])
    cases = {name.split(".")[0] for name in map(str, (p.name for p in base.rglob("case-*.nii.gz")))}
    assert cases <= set(link["case_id"])
    assert stat.S_IMODE((base / "work").stat().st_mode) == 0o700
