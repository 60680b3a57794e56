"""What is refused or said around a run: misspelt parameters, a disk that is full."""

from __future__ import annotations

import errno
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy.exc import OperationalError

from lvo_kedro.disk import storage_error
from lvo_kedro.run_hooks import UnknownParameterError

DATA = Path("/mnt/lvo")


@pytest.mark.parametrize(
    ("given", "nearest"), [("detectr", "detector"), ("vesel_network", "vessel_network")]
)
def test_a_block_that_nothing_takes_is_refused_with_the_nearest_name(empty, given, nearest):
    with pytest.raises(UnknownParameterError) as caught:
        empty.run("simulation", **{given: {"epochs": 3}})
    assert f"{given} (did you mean {nearest}?)" in caught.value.message
    assert "conf/tiny/parameters*.yml or with --params" in caught.value.message
    assert not (empty.data / "01_raw").exists()


def test_a_misspelt_setting_of_the_machine_is_refused_as_well(empty):
    with (empty.folder / "conf" / "tiny" / "globals.yml").open("a") as file:
        file.write("\nworkres: 2\n")
    with pytest.raises(UnknownParameterError, match=r"workres \(did you mean workers\?\)"):
        empty.run("simulation")


def _behind(error: Exception) -> Exception:
    """An error of SQLAlchemy around one of SQLite, as MLflow meets it."""
    return OperationalError("INSERT INTO metrics ...", {}, error)


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "no space is left for /mnt/lvo"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "raise the quota"),
        (OSError(errno.EROFS, "Read-only file system"), "/mnt/lvo is read-only"),
        (sqlite3.OperationalError("database or disk is full"), "no space is left"),
        (sqlite3.OperationalError("attempt to write a readonly database"), "is read-only"),
        (sqlite3.DatabaseError("file is not a database"), "tracking database in /mnt/lvo"),
    ],
)
def test_what_is_wrong_with_the_disk_is_said_in_plain_words(error, said):
    for raised in (error, _behind(error)):
        if raised is not error:
            raised.__cause__ = error
        found = storage_error(raised, DATA)
        assert found is not None
        assert said in found.message
        assert "INSERT" not in found.message


@pytest.mark.parametrize(
    "error",
    [ValueError("no"), OSError(errno.ENOENT, "No such file"), sqlite3.OperationalError("syntax")],
)
def test_other_errors_are_not_blamed_on_the_disk(error):
    assert storage_error(error, DATA) is None
