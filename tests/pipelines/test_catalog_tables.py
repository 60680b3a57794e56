"""Text stays text in every table that is written and read back, whatever it looks like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.io import DatasetError

from lvo_kedro.cohort import fold_of_cases
from lvo_kedro.datasets import RecordTable
from lvo_kedro.evaluation import EvaluationOptions
from lvo_kedro.folds import FoldOptions
from lvo_kedro.pipelines.evaluation.nodes import (
    describe_cohort,
    report_detection,
    report_localization,
)
from lvo_kedro.pipelines.evaluation.report_nodes import ReportOptions, choose_gallery
from lvo_kedro.pipelines.preprocessing.nodes import check_cohort, divide_patients
from tests.lengths import one_of
from tests.synthetic_study import OPERATING_POINTS, make_study

IDS = ["1e5", "007", "7", "1_0", "True", "NA", "nan", "None", "Infinity", "1.50", "0x1F", "1E400"]
"""Ids that are numbers, truths or nothing to a reader that guesses."""
CELLS = [*IDS, "", " 1 ", "-", "<NA>", "1,5", 'a "b"', "a\nb", "a\rb", "2026-01-31", "1" * 30]
"""What may stand in a user's column, or in words about a case."""
TEXTS = ("case_id", "patient_id", "site", "sex", "scanner", "level", "case_ids", "computed_from")
WRITTEN = "lvo_kedro.datasets.RecordTable"
EVALUATION = EvaluationOptions(resamples=100, minimum_cases=1)


@pytest.fixture
def context(empty):
    with empty.session() as session:
        return session.load_context()


TABLES = (WRITTEN, "lvo_kedro.datasets.ContinuedTable")


@pytest.fixture
def catalog(context):
    return context.catalog  # made anew each time that it is asked for


def stored(catalog, name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Write a table as the catalog says, and read it back."""
    if "/" in name:  # a file of a folder
        name, _, field = name.rpartition("/")
        catalog.save(name, {field: table})
        return catalog.load(name)[field]
    if type(catalog.get(name)).__name__ == "PartitionedDataset":
        catalog.save(name, {"part": table})
        return catalog.load(name)["part"]()
    continued = type(catalog.get(name)).__name__ == "ContinuedTable" and not callable(table)
    catalog.save(name, (lambda _: table) if continued else table)
    return catalog.load(name)


def test_every_table_of_the_catalog_gives_back_what_was_written(context, catalog):
    tables = {}
    for name, entry in context.config_loader["catalog"].items():
        if name.startswith("_"):
            continue
        if entry["type"].endswith(".FolderDataset"):
            for file, kind in entry["files"].items():
                if file.endswith(".csv"):
                    of_one = kind if isinstance(kind, dict) else {"type": kind}
                    assert of_one["type"] == WRITTEN, f"{name}/{file}"
                    tables[f"{name}/{file[:-4]}"] = of_one.get("numbers", [])
            continue
        of_one = entry.get("dataset", entry)
        if name != "cases" and "csv" in str([of_one["type"], *entry.values()]).lower():
            assert entry["type"].endswith(".CaseDataset") or of_one["type"] in TABLES, name
        if of_one["type"] in TABLES:
            tables[name] = of_one.get("numbers", [])
    assert len(tables) > 25
    for name, patterns in tables.items():
        table = pd.DataFrame(dict.fromkeys(TEXTS, CELLS), dtype=str)
        for number, pattern in enumerate(patterns):
            values = np.arange(len(CELLS)) + (0.5 if number % 2 else 0)
            table[pattern.replace("*", "x")] = np.where(values > 9, np.nan, values)
        place = name.replace("{", "").replace("}", "")
        pd.testing.assert_frame_equal(stored(catalog, place, table), table)
        preview = None if "/" in place else getattr(catalog.get(place), "preview", None)
        if preview:
            assert [row[0] for row in preview(nrows=3)["data"]] == CELLS[:3]


def test_a_column_of_numbers_keeps_its_type_and_holds_nothing_else(catalog):
    table = pd.DataFrame({"case_id": ["p"], "fold": [3]})
    assert stored(catalog, "cohort", table)["fold"].tolist() == [3]
    assert stored(catalog, "cohort", table)["fold"].dtype == int
    with pytest.raises(DatasetError, match="a column fold with something else than numbers"):
        stored(catalog, "cohort", table.assign(fold="1_0"))
    flags = pd.DataFrame({"case_id": ["a", "b"], "missing": [True, False]})
    assert stored(catalog, "vessel_metrics", flags)["missing"].tolist() == [1, 0]


@pytest.fixture
def raw(empty) -> Path:
    folder = empty.data / "01_raw"
    folder.mkdir(parents=True)
    return folder


def write_cases(raw: Path, sites: list[str], **columns: list[str]) -> list[str]:
    """Write a cohort of scans that are empty files, half of them of each site with an occlusion."""
    rows = []
    for n in range(12 * len(sites)):
        name, lvo = f"s{n}.nii.gz", n // len(sites) % 2
        (raw / name).touch()
        row = {"case_id": f"c{n}", "patient_id": f"p{n}", "ncct": name, "split": "development"}
        row |= {"lvo": str(lvo), "side": "left" if lvo else "", "segment": "M1" if lvo else ""}
        rows.append(row | {"site": sites[n % len(sites)]})
    table = pd.DataFrame(rows)
    for column, values in columns.items():
        table.loc[: len(values) - 1, column] = values
    table.fillna("").to_csv(raw / "cases.csv", index=False)
    return table["site"].tolist()


def split(catalog, raw: Path) -> pd.DataFrame:
    """Do what the pipeline does from the user's file to the cohort's file."""
    given = catalog.load("cases"), str(raw)
    folds = stored(catalog, "folds", divide_patients(*given, FoldOptions(count=3)))
    return stored(catalog, "cohort", check_cohort(*given, folds))


def count_strata(cohort: pd.DataFrame) -> pd.DataFrame:
    return cohort.groupby(["lvo", "site"])["fold"].value_counts().unstack()


@pytest.mark.parametrize(
    "sites",
    one_of(4, [["1", "2", "3"], ["True", "False"], ["1e5", "100000"], ["1", "01", "NA", ""]]),
)
def test_folds_are_stratified_by_sites_that_look_like_numbers(catalog, raw, sites):
    written = write_cases(raw, sites)
    cohort = split(catalog, raw)
    assert cohort["site"].tolist() == written
    counts = count_strata(cohort)
    assert counts.shape == (2 * len(sites), 3)
    assert (counts == 2).all(axis=None)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.shared
def test_folds_of_a_table_with_numbered_sites(empty, raw, shared):
    (raw / "scans").mkdir()
    given = pd.read_csv(shared / "data" / "faults" / "01_site_numbers" / "cases.csv", dtype=str)
    given.to_csv(raw / "cases.csv", index=False)
    for name in given["ncct"]:
        (raw / name).touch()
    with empty.session(folds={"count": 3}) as session:
        names = ["preprocessing.divide_patients", "preprocessing.check_cohort"]
        session.run(pipeline_names=["preprocessing"], node_names=names)
    cohort = empty.load("cohort")
    assert cohort["site"].tolist() == given["site"].tolist()
    counts = count_strata(cohort)
    assert set(counts.index.get_level_values("site")) == {"1", "2", "3"}
    assert counts.max(axis=None) - counts.min(axis=None) <= 1


def test_a_users_columns_and_ids_keep_every_character(catalog, raw):
    notes = [cell.strip().replace("\r", "") for cell in CELLS]
    columns = {"case_id": IDS, "patient_id": IDS[::-1], "scanner": notes, "value": notes}
    write_cases(raw, ["1", "2"], **columns, age=["70", "", "1e1"], nihss=["", "3.5"])
    cohort = split(catalog, raw)
    for column, values in columns.items():
        assert cohort[column].tolist()[: len(values)] == values, column
    assert cohort["lvo"].dtype == int
    assert cohort["age"].tolist()[:3] == pytest.approx([70, np.nan, 10], nan_ok=True)
    assert cohort["nihss"].tolist()[:2] == pytest.approx([np.nan, 3.5], nan_ok=True)
    assert cohort["nihss"].dtype == float
    assert set(fold_of_cases(cohort)) == set(cohort["case_id"])


@pytest.fixture
def study():
    """Development cases whose ids and sites look like something else."""
    study = make_study(4 * len(IDS), separation=1.0)
    names = dict(zip(study.cohort["case_id"], [*IDS, *(f"{i}e3" for i in range(99))], strict=False))

    def renamed(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(case_id=table["case_id"].map(names))

    sites = np.resize(["1", "01", "NA", "1e5"], len(study.cohort))
    cohort = renamed(study.cohort).assign(site=sites, sex="")
    cohort["patient_id"] = cohort["case_id"]
    return {
        "cohort": cohort.fillna(""),
        "detection_scores": renamed(study.scores).assign(patient_id=cohort["case_id"]),
        "localization_calls": renamed(study.calls).fillna({"called_side": "", "side": ""}),
        "quality": renamed(study.quality),
        "exclusions": pd.DataFrame(columns=["case_id", "split", "stage", "error"]),
    }


def fixed_without_its_own(scores: pd.DataFrame) -> dict[str, object]:
    """The same operating points for every fold, fitted on the cases of the others."""

    def fit(part: pd.DataFrame) -> dict[str, object]:
        return {"operating_points": OPERATING_POINTS, "fitted_on": part["case_id"].tolist()}

    folds = {str(fold): fit(scores[scores["fold"] != fold]) for fold in range(4)}
    return {"all": fit(scores), "folds": folds}


def test_ids_and_sites_that_look_like_numbers_reach_the_evaluations_tables(catalog, study):
    catalog.save("cohort", study["cohort"])
    detection = {"scores": study["detection_scores"], "sides": {}, "options": {}}
    detection["calibration"] = fixed_without_its_own(detection["scores"])
    catalog.save("detection_results", detection)
    catalog.save("localization_results", {"calls": study["localization_calls"]})
    catalog.save("study", {name: study[name] for name in ("quality", "exclusions")})
    cohort, detection = catalog.load("cohort"), catalog.load("detection_results")
    ids = set(study["cohort"]["case_id"])
    tables = report_detection(detection, cohort, catalog.load("study"), EVALUATION, "development")
    catalog.save("cross_validation.detection", tables)
    kept = {name: load() for name, load in catalog.load("cross_validation.detection").items()}
    sites = kept["subgroups"].query("subgroup == 'site'")
    assert set(sites["level"]) == {"1", "01", "NA", "1e5"}
    assert set(kept["scores"]["case_id"]) == ids
    assert set(kept["failures"]["case_id"]) <= ids
    assert set(kept["failures"]["site"]) <= {"1", "01", "NA", "1e5"}
    for name, table in tables.items():
        for column in set(table.select_dtypes("number")) - {"fold", "slice_thickness_mm"}:
            assert pd.api.types.is_numeric_dtype(kept[name][column]), f"{name}.{column}"
    localization = catalog.load("localization_results")
    detected = catalog.load("cross_validation.detection")
    arguments = (localization, detection, detected, cohort, EVALUATION, "development")
    places = report_localization(*arguments)
    catalog.save("cross_validation.localization", places)
    kept_calls = catalog.load("cross_validation.localization")["calls"]()
    assert kept_calls["case_id"].tolist() == places["calls"]["case_id"].tolist()
    assert kept_calls["segment_correct"].sum() == places["calls"]["segment_correct"].sum()
    stored_tables = catalog.load("cross_validation.detection")
    options = ReportOptions(gallery=8)
    gallery = choose_gallery(localization, detection, options, development=stored_tables)
    assert set(stored(catalog, "gallery", gallery)["case_id"]) == set(gallery["case_id"]) <= ids
    overview = stored(catalog, "study/cohort", describe_cohort(cohort))
    assert overview["site"].tolist() == cohort["site"].tolist()


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_no_column_of_numbers_is_forgotten(tiny):
    with tiny.session() as session:
        catalog = session.load_context().catalog
    written = sorted(pipelines["__default__"].all_outputs())
    tables = {n: catalog.load(n) for n in written if isinstance(catalog.get(n), RecordTable)}
    for name in ("study", "segmentation_results", "detection_results", "localization_results"):
        fields = catalog.load(name)
        found = {f"{name}.{field}": fields[field] for field in fields}
        tables |= {field: t for field, t in found.items() if isinstance(t, pd.DataFrame)}
    for split in ("cross_validation", "external_test"):
        for stage in ("detection", "localization"):
            parts = catalog.load(f"{split}.{stage}").items()
            tables |= {f"{split}.{stage}.{part}": load() for part, load in parts}
    assert len(tables) > 40
    for name, table in tables.items():
        for column in table.columns[table.dtypes == "str"]:
            cells = table.loc[table[column] != "", column]
            looks = len(cells) and pd.to_numeric(cells, errors="coerce").notna().all()
            assert not looks or column in ("fold", "slice_thickness_mm"), f"{column} of {name}"
