"""A disk that is full or read-only, and a tracking database that cannot be read, in plain words."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from click import ClickException

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ELSEWHERE = "or use another data folder ('data' in conf/local/globals.yml)"
KEPT = "Nothing that was finished is lost: the same command goes on from there."
FULL = f"no space is left for {{data}}. Free some (or raise the quota), {ELSEWHERE}. {KEPT}"
READ_ONLY = (
    f"{{data}} is read-only. Mount it for writing and see to the rights, {ELSEWHERE}. {KEPT}"
)
DAMAGED = (
    "the tracking database in {data} cannot be used ({said}). See to the rights, put a copy of "
    "it in its place, or move it away: the next run makes a new one, which lists no earlier runs"
)
ERRORS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: FULL,
    errno.EROFS: READ_ONLY,
}
"""What to do about an error of the operating system."""
WORDS = {
    "database or disk is full": FULL,
    "disk I/O error": FULL.replace("is left for", "is left, or a disk fails, for"),
    "readonly database": READ_ONLY,
    "unable to open database file": DAMAGED,
    "file is not a database": DAMAGED,
    "disk image is malformed": DAMAGED,
}
"""What to do about an error of SQLite, by what it says."""


class StorageError(ClickException):
    """The data folder cannot be used as a run needs it; shown on the command line as it is."""


def storage_error(error: BaseException, data: Path) -> StorageError | None:
    """Return what an error, or one behind it, says of the disk in plain words.

    Args:
        error: Any error.
        data: The folder that is written to.

    Returns:
        Nothing where the disk is not the reason.
    """
    for cause in _causes(error):
        remedy = ERRORS.get(cause.errno or 0, "") if isinstance(cause, OSError) else ""
        if remedy:
            return StorageError(remedy.format(data=data))
        if "sqlite" in type(cause).__module__:
            for said, text in WORDS.items():
                if said in str(cause):
                    return StorageError(text.format(data=data, said=said))
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__
