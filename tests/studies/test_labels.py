"""From a spreadsheet to labels of studies; every row that is not taken is listed."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest

from lvo_kedro.cohort import CHOICES, NUMBERS
from lvo_kedro.errors import TableError
from lvo_kedro.studies import label_rows
from lvo_kedro.studies.label_rows import LABELS, LabelMapping
from lvo_kedro.studies.label_tables import read_label_table
from lvo_kedro.studies.labels import Joined, join_labels, read_mapping

STUDIES = pd.DataFrame(
    [("1.1", "A1", "P1"), ("1.2", "A2", "P1"), ("1.3", "0012", "P3"), ("1.4", "", "P4"),
     ("1.5", "A5", "P5"), ("1.6", "A5", "P6")],
    columns=["study_uid", "accession", "patient_id"],
)  # fmt: skip
NAME = "Muster, Erika"


def join(*rows: dict[str, str], **mapping: object) -> Joined:
    table = pd.DataFrame(list(rows), index=range(2, len(rows) + 2)).fillna("")
    return join_labels(table, LabelMapping(**mapping), STUDIES)


def one(**cells: str) -> tuple[str, list[str]]:
    """Side, segment and so on of one study, and its problems."""
    labels, problems = join({"study_uid": "1.1", **cells})
    said = ",".join(labels.loc["1.1", ["lvo", "side", "segment"]]) if len(labels) else "not taken"
    return said, [f"{p.column}: {p.reason}" for p in problems]


def test_a_row_becomes_the_words_of_the_cohort_table() -> None:
    row = {
        "Fall": "A1", "Befund": "linke MCA M1", "Alter": "67 J", "Geschlecht": "W",
        "NIHSS": "12", "Beginn": "01.03.2024 22:15", "Haus": "Nord 2", "Satz": "Test",
    }  # fmt: skip
    columns = {
        "accession": "Fall", "finding": "Befund", "age": "Alter", "sex": "Geschlecht",
        "onset": "Beginn", "site": "Haus", "split": "Satz",
    }  # fmt: skip
    labels, problems = join(row, columns=columns)  # NIHSS has its own name
    assert problems == []
    assert labels.index.tolist() == ["1.1"]
    assert labels.loc["1.1"].to_dict() == {
        "lvo": "1", "side": "left", "segment": "M1", "split": "external", "site": "Nord 2",
        "age": "67", "sex": "female", "nihss": "12", "onset": "2024-03-01T22:15",
    }  # fmt: skip
    assert tuple(labels.columns) == LABELS


@pytest.mark.parametrize(
    ("cells", "said"),
    [
        ({"lvo": "ja", "side": "R", "segment": "M1"}, "1,right,M1"),
        ({"lvo": "0", "side": "", "segment": ""}, "0,,"),
        ({"lvo": "nein", "side": "-", "segment": "none"}, "0,,"),
        ({"segment": "left carotid T"}, "1,left,C7+M1"),
        ({"finding": "MCA", "side": "L", "segment": "M2"}, "1,left,M2"),
        ({"lvo": "1", "side": "both", "segment": "other"}, "1,both,other"),
        ({"lvo": "1", "side": "unknown", "segment": "unknown"}, "1,unknown,unknown"),
        ({"lvo": "1", "segment": "ICA-T", "side": "links"}, "1,left,C7+M1"),
    ],
)
def test_columns_say_it_together_without_a_problem(cells, said) -> None:
    assert one(**cells) == (said, [])


@pytest.mark.parametrize(
    ("cells", "said", "column", "reason"),
    [
        ({"lvo": "1", "side": "L", "segment": "ICA"}, "1,left,unknown", "segment", "not told"),
        ({"lvo": "1", "side": NAME, "segment": "M1"}, "1,unknown,M1", "side", "not understood"),
        ({"lvo": "1", "side": "", "segment": "M1"}, "1,unknown,M1", "lvo", "side is not told"),
        ({"finding": "basilaris"}, "1,unknown,other", "finding", "side is not told"),
        ({"lvo": "0", "side": "L"}, "0,,", "side", "without an occlusion"),
        ({"lvo": "0", "segment": "M1"}, "not taken", "segment", "contradicts"),
        ({"lvo": "1", "side": "L", "segment": "R M1"}, "not taken", "segment", "contradicts"),
        ({"lvo": "1", "finding": "M2 L", "segment": "M1"}, "not taken", "segment", "contradicts"),
        ({"finding": "M1 links?"}, "not taken", "finding", "does not tell"),
        ({"finding": "no LVO but M1 left"}, "not taken", "finding", "does not tell"),
        ({"lvo": NAME}, "not taken", "lvo", "not understood"),
        ({"lvo": ""}, "not taken", "lvo", "does not tell"),
        ({"lvo": "0", "age": "670"}, "0,,", "age", "0 to 120"),
        ({"lvo": "0", "nihss": NAME}, "0,,", "nihss", "0 to 42"),
        ({"lvo": "0", "sex": NAME}, "0,,", "sex", "not understood"),
        ({"lvo": "0", "site": NAME}, "0,,", "site", "left out"),
        ({"lvo": "0", "onset": "01.03.2024"}, "0,,", "onset", "time of day"),
        ({"lvo": "0", "split": NAME}, "not taken", "split", "not understood"),
    ],
)
def test_what_is_not_clear_is_listed_by_row_and_column(cells, said, column, reason) -> None:
    taken, problems = one(**cells)
    assert taken == said
    assert any(p.startswith(f"{column}: ") and reason in p for p in problems), problems
    assert not any(part in p for p in problems for part in ("Muster", "Erika", "670"))


def test_every_word_is_one_that_the_cohort_table_takes() -> None:
    for role in ("split", "sex"):
        assert set(label_rows._EXACT[role]) <= set(CHOICES[role])
    assert label_rows._BOUNDS == NUMBERS


def test_own_words_win() -> None:
    values = {"segment": {"Hauptast": "M1", "ICA": "C7"}, "lvo": {"gross": "1"}, "side": {"S": ""}}
    labels, problems = join(
        {"study_uid": "1.1", "lvo": "GROSS", "side": "L", "segment": "hauptast"},
        {"study_uid": "1.2", "lvo": "gross", "side": "R", "segment": "ica"},
        {"study_uid": "1.3", "lvo": "nein", "side": "S", "segment": ""},
        values=values,
    )
    assert labels["segment"].tolist() == ["M1", "C7", ""]
    assert problems == []


@pytest.mark.parametrize(
    ("cells", "column", "reason"),
    [
        ({"accession": "A9"}, "accession", "no such study"),
        ({"accession": "12"}, "accession", "zeros in front"),
        ({"accession": "A5"}, "accession", "leads to 2 studies"),
        ({"patient_id": "P1"}, "patient_id", "leads to 2 studies"),
        ({"accession": "A2", "patient_id": "P4"}, "patient_id", "another study than accession"),
        ({"accession": "A2", "study_uid": "1.1"}, "accession", "another study than study_uid"),
        ({"accession": ""}, "accession", "leads to no study"),
    ],
)
def test_a_row_that_leads_to_no_single_study_is_listed(cells, column, reason) -> None:
    labels, (problem,) = join({**cells, "lvo": "0"})
    assert labels.empty
    assert (problem.row, problem.column) == (2, column)
    assert reason in problem.reason


def test_keys_together_lead_where_one_alone_does_not() -> None:
    labels, problems = join({"accession": "A5", "patient_id": "P6", "lvo": "0"})
    assert labels.index.tolist() == ["1.6"] and problems == []
    labels, problems = join({"accession": "12", "lvo": "0"}, leading_zeros=False)
    assert labels.index.tolist() == ["1.3"] and problems == []


def test_two_rows_of_one_study() -> None:
    first, same = {"study_uid": "1.1", "lvo": "0"}, {"study_uid": "1.1", "lvo": "nein"}
    labels, (problem,) = join(first, same)
    assert labels.index.tolist() == ["1.1"]
    assert problem == (3, "study_uid", "a second row of one study; row 2 says the same")
    for other in ({"study_uid": "1.1", "lvo": "1"}, {"study_uid": "1.1", "lvo": "?"}):
        labels, problems = join(first, other)
        assert labels.empty
        assert any(p.row == 3 and "neither is taken" in p.reason for p in problems)


def test_a_patient_in_two_splits_is_listed_and_not_taken() -> None:
    labels, problems = join(
        {"study_uid": "1.1", "lvo": "0", "split": "train"},
        {"study_uid": "1.2", "lvo": "0", "split": "test"},
        {"study_uid": "1.3", "lvo": "0", "split": "test"},
    )
    assert labels.index.tolist() == ["1.3"]
    assert [(p.row, p.column) for p in problems] == [(2, "split"), (3, "split")]


@pytest.mark.parametrize(
    ("table", "columns", "message"),
    [
        ({"Name": [NAME], "lvo": ["1"]}, {}, "leads to a study"),
        ({"accession": ["A1"], "Name": [NAME]}, {}, "says what was found"),
        ({"accession": ["A1"], "lvo": ["1"]}, {"side": "Seite"}, "'Seite'"),
        ({"accession": ["A1"], "lvo": ["1"], " LVO": ["0"]}, {}, "2 columns"),
    ],
)
def test_a_table_without_the_columns_is_refused_without_quoting_it(table, columns, message) -> None:
    with pytest.raises(TableError, match=message) as error:
        join_labels(pd.DataFrame(table), LabelMapping(columns=columns), STUDIES)
    assert "Muster" not in str(error.value)


TEXT = 'Fall;Befund\nA1;"linke MCA;\nM1"\n\nA2;Gefäß\n'


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_text_in_any_usual_form(tmp_path: Path, encoding: str, separator: str) -> None:
    path = tmp_path / "labels.csv"
    text = TEXT.replace("MCA;", "MCA").replace(";", separator)
    path.write_bytes(text.encode(encoding))
    table = read_label_table(path)
    assert table.columns.tolist() == ["Fall", "Befund"]
    assert table["Befund"].tolist() == ["linke MCA\nM1", "Gefäß"]
    assert table.index.tolist() == [2, 4]


def test_excel_is_read_as_it_is_seen_and_nothing_in_it_is_run(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    for row in [["accession", "lvo", "onset", "nihss"], ["0012", 1, None, 7.0],
                [12345678, True, pd.Timestamp("2024-03-01 22:15"), "=1+1"],
                [None] * 4, ["NA", 0.5, "x", "#N/A"]]:  # fmt: skip
        book.active.append(row)
    path = tmp_path / "labels.xlsx"
    book.save(path)
    table = read_label_table(path)
    assert table["accession"].tolist() == ["0012", "12345678", "NA"]
    assert table["lvo"].tolist() == ["1", "True", "0.5"]
    assert table["onset"].tolist() == ["", "2024-03-01 22:15:00", "x"]
    assert table["nihss"].tolist()[:2] == ["7", ""]  # a formula that no program has computed
    assert table.index.tolist() == [2, 3, 5]


def bomb() -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for n in range(3):
            archive.writestr(f"xl/{n}.xml", bytes(100 * 2**20))
    return data.getvalue()


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.xlsx", b"no zip", "cannot be read"),
        ("a.xls", b"old", "another format"),
        ("a.csv", b"accession,lvo", "1 rows"),
        ("a.csv", b"", "0 rows"),
        ("a.csv", b"a,b\n\0\0", "cannot be read"),
        ("a.csv", None, "no table"),
        ("a.csv", b"a,b\n1," + b"x" * 200_000, "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, name, data, message) -> None:
    if data is not None:
        (tmp_path / name).write_bytes(data)
    with pytest.raises(TableError, match=message):
        read_label_table(tmp_path / name)


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.xlsx").write_bytes(bomb())
    with pytest.raises(TableError, match="at most"):
        read_label_table(tmp_path / "labels.xlsx")


def test_a_mapping_file(tmp_path: Path) -> None:
    path = tmp_path / "mapping.yml"
    path.write_text("columns: {accession: Fall}\nvalues: {side: {Li: left}}\nsplit: external\n")
    mapping = read_mapping(path)
    assert mapping.columns == {"accession": "Fall"}
    assert mapping.meaning("side", " LI ") == "left"
    for text, said in [
        ("columns: {acession: Fall}", "acession"),
        ("values: {side: {Li: links}}", "links"),
        ("values: {age: {alt: '1'}}", "age"),
        ("colums: {}", "colums"),
        ("- a\n- b", "TypeError"),
        ("a: [", "ParserError"),
        ("!!python/object/apply:os.system [ls]", "ConstructorError"),
    ]:
        path.write_text(text)
        with pytest.raises(TableError, match=said):
            read_mapping(path)
