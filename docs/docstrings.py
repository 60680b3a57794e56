"""Lets docstrings, which are written in reStructuredText, be shown as Markdown."""

from __future__ import annotations

import re
from typing import Any

import griffe


class PlainRoles(griffe.Extension):
    """Shows roles such as ``:func:`~package.name``` as code, and ``::`` before code as a colon."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Change the docstring of one object, before it is parsed."""
        if obj.docstring:
            text = re.sub(r":\w+:`~?\.?([^`]+)`", _name, obj.docstring.value)
            obj.docstring.value = re.sub(r"::$", ":", text, flags=re.MULTILINE)


def _name(role: re.Match[str]) -> str:
    return f"`{role[1].rpartition('.')[2]}`"
