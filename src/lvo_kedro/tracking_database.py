"""The embedded tracking database, which may be copied or moved with its data folder."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy import URL

if TYPE_CHECKING:
    from pathlib import Path

DATABASE = "mlflow.db"
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
    ("logged_models", "artifact_location"),
)
"""Tables and columns in which MLflow keeps where artifacts lie."""


def embedded_address(folder: Path) -> str:
    """Return the address of a folder's database, the same from wherever it is used."""
    # SQLAlchemy knows which characters of a path an address must not show as they are
    return URL.create("sqlite", database=str(folder / DATABASE)).render_as_string()


def follow_artifacts(database: Path, place: str) -> None:
    """Let an embedded database that was copied or moved with its artifacts name their new place.

    MLflow stores absolute locations, of which a copy's would still be those of the original. Only
    what lies in a place that this project made (``.../mlflow/artifacts``) is renamed.

    Args:
        database: The SQLite file; an empty one is made where there is none yet.
        place: Address of the folder of artifacts, as it is now.
    """
    own = place.split("/")[-2:]
    with closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")  # fails at once where nothing could be written
        columns = [pair for pair in LOCATIONS if _has_column(connection, *pair)]
        if LOCATIONS[0] not in columns:  # MLflow has not got as far as its tables yet
            return
        known = connection.execute("SELECT DISTINCT artifact_location FROM experiments").fetchall()
        moved = [old for (old,) in known if old and old != place and old.split("/")[-2:] == own]
        for old in moved:
            for table, column in columns:
                # not LIKE, to which the % of an address is a wildcard
                rename = (
                    f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "  # noqa: S608
                    f"WHERE substr({column} || '/', 1, length(:old) + 1) = :old || '/'"
                )
                connection.execute(rename, {"old": old, "new": place})
        connection.execute("COMMIT")


def _has_column(connection: sqlite3.Connection, table: str, column: str) -> bool:
    query = "SELECT 1 FROM pragma_table_info(?) WHERE name = ?"
    return connection.execute(query, (table, column)).fetchone() is not None
