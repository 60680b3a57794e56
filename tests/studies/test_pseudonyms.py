"""Ids from a secret, and that secret and link table stay out of reach."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pandas as pd
import pytest

from lvo_kedro.cohort import IDENTIFIER
from lvo_kedro.errors import PrivacyError
from lvo_kedro.studies.pseudonyms import Pseudonyms, read_secret, write_link_table

ONE, OTHER = Pseudonyms(bytes(32)), Pseudonyms(bytes([1] * 32))


def test_an_id_is_valid_its_own_and_follows_from_the_secret_alone() -> None:
    keys = [f"1.2.{n}" for n in range(500)]
    cases = [ONE.case_id(key) for key in keys]
    assert all(IDENTIFIER.fullmatch(case) for case in cases)
    assert len({case.lower() for case in cases}) == len(keys)
    assert cases == [Pseudonyms(bytes(32)).case_id(key) for key in keys]
    assert not set(cases) & {OTHER.case_id(key) for key in keys}
    assert not any(key in case for key, case in zip(keys, cases, strict=True))


def test_a_study_and_a_patient_of_one_name_have_nothing_in_common() -> None:
    case, patient = ONE.case_id("77"), ONE.patient_id("77")
    assert case.split("-")[1] != patient.split("-")[1]
    assert patient == ONE.patient_id(" 77 ")  # DICOM pads with blanks


def test_a_short_secret_is_refused_and_none_is_shown() -> None:
    with pytest.raises(PrivacyError, match="8 bytes"):
        Pseudonyms(b"password")
    assert "0" not in repr(ONE)


def test_a_secret_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "secret"
    before = os.umask(0)
    try:
        secret = read_secret(path, tmp_path / "data")
    finally:
        os.umask(before)
    assert len(secret) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert read_secret(path, tmp_path / "data") == secret
    assert read_secret(tmp_path / "another", tmp_path / "data") != secret


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_secret_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "secret"
    read_secret(path, tmp_path / "data")
    path.chmod(mode)
    with pytest.raises(PrivacyError, match="chmod 600"):
        read_secret(path, tmp_path / "data")


@pytest.mark.parametrize("text", [b"", b"0123", b"\xff\xfe", b"no digits at all " * 9])
def test_a_file_that_holds_no_secret_is_refused_and_kept(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(text)
    path.chmod(0o600)
    with pytest.raises(PrivacyError, match="hexadecimal"):
        read_secret(path, tmp_path / "data")
    assert path.read_bytes() == text


@pytest.mark.parametrize("place", ["data/secret", "data/deep/er/secret", "link/secret", "out"])
def test_neither_secret_nor_link_table_may_lie_in_the_data_folder(
    tmp_path: Path, place: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "link").symlink_to(data)
    (tmp_path / "out").symlink_to(data / "table")
    for action in (
        lambda: read_secret(tmp_path / place, data),
        lambda: write_link_table(tmp_path / place, pd.DataFrame({"a": ["b"]}), data),
    ):
        with pytest.raises(PrivacyError, match="inside the data folder"):
            action()
    assert not list(data.iterdir())


def test_the_link_table_is_for_its_owner_alone_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "links" / "link.csv"
    for name in ("first", "second"):
        write_link_table(path, pd.DataFrame({"case_id": [name]}), tmp_path / "data")
    assert path.read_text("utf-8").split() == ["case_id", "second"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(AttributeError):
        write_link_table(path, "no table", tmp_path / "data")  # type: ignore[arg-type]
    assert [p.name for p in path.parent.iterdir()] == ["link.csv"]
    assert path.read_text("utf-8").split() == ["case_id", "second"]
