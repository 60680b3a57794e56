"""Writes ``licences.md``: what is installed with this package, by what each part says of itself.

``python docs/generate_licences.py`` (``make licences`` runs it). It follows the requirements of the
installed package, without its extras, and reads the metadata of what it finds; nothing is fetched.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = Path(__file__).resolve().parents[1]
PAGE = PROJECT / "docs" / "licences.md"
PACKAGE = "lvo-kedro"
LONGEST = 60
"""Letters of a licence's name; a field that is longer holds its whole text."""
COPYLEFT = re.compile(
    r"\b(A?GPL|LGPL|MPL|EPL|EUPL|CDDL|OSL|GNU|Mozilla Public|CC-BY-SA)", re.IGNORECASE
)
TEXTS = {
    "Apache License 2.0": "Apache License Version 2.0",
    "MIT": "Permission is hereby granted, free of charge, to any person obtaining",
    "BSD": "Redistribution and use in source and binary forms",
}
"""Words by which the text of a licence is known where no field names it."""

HEAD = """\
# Licences of what it is made of

Made by `python docs/generate_licences.py` (`make licences`) from what the installed packages say of
themselves, on Linux with Python 3.11 and the versions of `constraints.txt`; a test compares these.
Without the extras `dev`, `docs`, `viz` and `dask`. It is what metadata say, and no legal advice.

Not in the table, because no metadata tell it:

- The wheels of NumPy, SciPy and scikit-learn bring compiled run-time libraries (GNU Fortran,
  OpenMP), which are GPL-3.0 with the GCC run-time library exception: programs that use them are
  not bound by it.
- torch here is the build for processors alone. The one with CUDA brings NVIDIA's libraries as
  packages of their own, under NVIDIA's terms: `make licences` shows them where it is installed.
"""

LEFT = """
## Copyleft among them

{listing}

All of them are used as installed and unchanged; none is copied into this package. Whoever hands on
an image or a wheelhouse hands on their licences (and, where changed, their sources) as well.
"""


def installed_for(package: str) -> dict[str, set[str]]:
    """Return all that a package needs to run, by name, and who asks for it.

    Args:
        package: An installed distribution.

    Returns:
        Normalized names, without the package itself; for each those that require it.

    Raises:
        PackageNotFoundError: Something that is required is not installed.
    """
    needed: dict[str, set[str]] = {}
    done: set[tuple[str, str]] = set()
    due = [(canonicalize_name(package), "")]
    while due:
        name, extra = due.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        for text in distribution(name).requires or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker and not marker.evaluate({"extra": extra}):
                continue
            child = canonicalize_name(requirement.name)
            if child not in (name, package):
                needed.setdefault(child, set()).add(name)
            due += [(child, asked) for asked in ("", *requirement.extras)]
    return needed


def licence_of(package: Distribution) -> str:
    """Return a licence's name: expression, field, classifiers or the words of its text."""
    fields = package.metadata
    expression = fields.get("License-Expression")
    if expression:
        return str(expression)
    field = " ".join((fields.get("License") or "").split())
    classes = [c.split(" :: ")[-1] for c in fields.get_all("Classifier") or [] if "License ::" in c]
    named = "; ".join(name for name in classes if name != "OSI Approved")
    if COPYLEFT.search(named) or not 0 < len(field) <= LONGEST or field == "UNKNOWN":
        field = named
    return field or _by_its_text(package)


def _by_its_text(package: Distribution) -> str:
    files = [f for f in package.files or [] if re.match(r"LICEN[CS]E|COPYING", f.name, re.I)]
    for file in sorted(files, key=lambda f: len(f.parts)):
        text = " ".join(file.read_text("utf-8").split())
        for name, words in TEXTS.items():
            if words in text:
                return f"{name} (by its text)"
    return "not named"


def render() -> str:
    """Return the page."""
    rows, copyleft = [], []
    for name, asked in sorted(installed_for(PACKAGE).items()):
        package = distribution(name)
        licence = licence_of(package)
        by = "**this project**" if PACKAGE in asked else ", ".join(sorted(asked)[:2])
        rows.append(f"| {name} | {Version(package.version).public} | {licence} | {by} |")
        if COPYLEFT.search(licence):
            copyleft.append(f"- {name} (needed by {', '.join(sorted(asked))}): {licence}")
    own = sum("**this project**" in row for row in rows)
    return (
        HEAD
        + LEFT.format(listing="\n".join(copyleft))
        + f"\n## All\n\n{len(rows)} packages, {own} of them asked for by this project.\n\n"
        + "| package | version | licence | needed by |\n| --- | --- | --- | --- |\n"
        + "\n".join(rows)
        + "\n"
    )


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
