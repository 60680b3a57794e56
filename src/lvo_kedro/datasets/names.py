"""Names of cases, and texts without the names of a user's files, which may be patients'."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHHELD = "(name withheld)"
CASE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What may name a case, and with it a folder."""


def withhold_names(text: str, task: Any, folder: Path) -> str:
    """Take out of ``text`` what names a file that a task was given, or a folder around it.

    For the words of libraries: errors of this package name no file in the first place.

    Args:
        text: What is to be shown, such as an error.
        task: A function bound to its arguments. Paths among them are a user's files, or folders
            of such; a computed case is no path.
        folder: Where the task's results go. The names of the folders around it are no secret.

    Returns:
        The text with ``(name withheld)`` in place of every such path or single name.
    """
    open_names = {str(folder.absolute()), *map(str, folder.absolute().parents), *folder.parts}
    names: set[str] = set()
    for path in _paths(task):
        inside = (Path(top, name) for top, subs, files in os.walk(path) for name in subs + files)
        for member in (path.absolute(), *path.absolute().parents, *inside):
            names |= {str(member), member.name}
    for name in sorted(names - open_names - {""}, key=len, reverse=True):
        # what follows a slash is inside, even where it is no longer there to be listed
        pattern = rf"(?<!\w){re.escape(name)}(?:/[^'\"\n]*|(?!\w))"
        text = re.sub(pattern, WITHHELD, text)
    return text


def _paths(value: Any) -> Iterator[Path]:
    """Yield the paths among a task's arguments, however deep."""
    if isinstance(value, Path):
        yield value
    elif isinstance(value, functools.partial):
        yield from _paths([*value.args, *value.keywords.values()])
    elif isinstance(value, dict):
        yield from _paths(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _paths(item)
