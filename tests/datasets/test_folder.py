"""Files that belong together are one entry, whose fields are read when they are asked for."""

from __future__ import annotations

import pandas as pd
import pytest
from kedro.io import DatasetError

from lvo_kedro.datasets import FolderDataset, ReportDataset

TABLE = pd.DataFrame({"case_id": ["007"], "n": [1]})
RECORDS = {"type": "lvo_kedro.datasets.RecordTable", "numbers": ["n"]}


def folder(tmp_path, **more) -> FolderDataset:
    files = {"table.csv": RECORDS, "notes.json": "json.JSONDataset"}
    return FolderDataset(path=str(tmp_path / "results"), files=files | more)


def test_fields_come_back_as_they_were(tmp_path):
    dataset = folder(tmp_path)
    assert not dataset.exists()
    dataset.save({"table": TABLE, "notes": {"a": [1]}})
    assert dataset.exists()
    stored = dataset.load()
    assert list(stored) == ["table", "notes"]
    pd.testing.assert_frame_equal(stored["table"], TABLE)
    assert stored["notes"] == {"a": [1]}


def test_a_field_that_is_left_out_is_gone_and_other_files_stay(tmp_path):
    dataset = folder(tmp_path)
    dataset.save({"table": TABLE, "notes": {}})
    (tmp_path / "results" / "own.txt").write_text("mine")
    dataset.save({"table": TABLE})
    assert list(dataset.load()) == ["table"]
    assert (tmp_path / "results" / "own.txt").read_text() == "mine"


def test_a_folder_that_was_written_in_part_is_not_there(tmp_path):
    dataset = folder(tmp_path)
    dataset.save({"table": TABLE, "notes": {"run": 1}})
    with pytest.raises(DatasetError):
        dataset.save({"table": TABLE, "notes": {"run": object()}})
    assert not dataset.exists()
    dataset.save({"table": TABLE, "notes": {"run": 2}})
    (tmp_path / "results" / "table.csv").unlink()
    assert not dataset.exists()


def test_a_field_without_a_file_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="no file for other"):
        folder(tmp_path).save({"other": 1})


def test_the_suffix_tells_the_type_and_the_report_is_previewed(tmp_path):
    report = ReportDataset(path=str(tmp_path), files=["report.html", "model_card.md"])
    report.save({"report": "<p>AUC</p>", "model_card": "# Card"})
    assert report.preview() == "<p>AUC</p>"
    assert report.report == tmp_path / "report.html"
    assert report.paths == [tmp_path / "report.html", tmp_path / "model_card.md"]
    assert report.load()["model_card"] == "# Card"
