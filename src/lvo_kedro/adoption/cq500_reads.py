"""What three radiologists read in each scan of CQ500: ``reads.csv`` by majority."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lvo_kedro.adoption.source import AdoptionError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

READERS: Final = ("R1", "R2", "R3")
FINDINGS: Final = {
    "ICH": "bleed",
    "Fracture": "fracture",
    "MassEffect": "mass effect",
    "MidlineShift": "midline shift",
}
"""Columns of each reader that keep a scan out of the controls, and what they say."""
_KINDS: Final = {"IPH": "bleed", "IVH": "bleed", "SDH": "bleed", "EDH": "bleed", "SAH": "bleed"}
"""Kinds of bleed: two readers who see one of them see a bleed, whatever they said of ICH."""
_NAME: Final = re.compile(r"CQ500-?CT-?(\d{1,4})", re.IGNORECASE)


@dataclass(frozen=True)
class Reads:
    """What was read in one scan."""

    category: str
    """Batch of the collection, B1 or B2."""
    votes: Mapping[str, tuple[str, str, str]]
    """By finding, the three readers' cells: 1 seen, 0 not seen, anything else not told."""

    def found(self) -> list[str]:
        """Return what a majority saw, such as ``bleed (3 of 3)``."""
        seen = {name: cells.count("1") for name, cells in self.votes.items()}
        words = FINDINGS | _KINDS
        most: dict[str, int] = {}
        for name, count in seen.items():
            if count >= 2:
                most[words[name]] = max(count, most.get(words[name], 0))
        return [f"{word} ({count} of 3)" for word, count in most.items()]

    def untold(self) -> list[str]:
        """Return of which findings no majority says that they are absent or there."""
        return [
            FINDINGS[name]
            for name in FINDINGS
            if max(self.votes[name].count("0"), self.votes[name].count("1")) < 2
        ]


def subject_of(name: str) -> str | None:
    """Return a scan's name in one spelling: ``CQ500CT12`` for ``CQ500-CT-12`` and its like.

    Args:
        name: A folder or a cell.

    Returns:
        The name; None where it is none of CQ500.
    """
    match = _NAME.match(name.strip())
    return f"CQ500CT{int(match[1])}" if match else None


def read_reads(path: Path) -> dict[str, Reads]:
    """Read ``reads.csv``.

    Args:
        path: The table, with ``name``, ``Category`` and of each reader at least the columns of
            :data:`FINDINGS`, such as ``R1:ICH``; others do not count.

    Returns:
        By scan, in the table's order.

    Raises:
        AdoptionError: Another table, a column that is missing, or a scan that stands there twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AdoptionError(
            "a reads.csv that cannot be read", "CSV in UTF-8", "download it again"
        ) from error
    rows = csv.DictReader(text.splitlines())
    present = [str(name).strip() for name in rows.fieldnames or ()]
    wanted = ["name", *(f"{reader}:{name}" for reader in READERS for name in FINDINGS)]
    missing = [name for name in wanted if name not in present]
    if missing:
        raise AdoptionError(
            f"a reads.csv without {', '.join(missing)}",
            "the columns of the published table, such as R1:ICH",
            "download reads.csv again: the version with a row per scan and three readers",
        )
    kinds = [name for name in _KINDS if all(f"{r}:{name}" in present for r in READERS)]
    found: dict[str, Reads] = {}
    for row in rows:
        cells = {str(k).strip(): str(v or "").strip() for k, v in row.items() if k is not None}
        subject = subject_of(cells["name"])
        if subject is None or subject in found:
            raise AdoptionError(
                f"line {rows.line_num} of reads.csv, "
                + ("a scan that stands there twice" if subject else "which names no scan"),
                "a row for each scan, such as CQ500-CT-12",
                "download reads.csv again",
            )
        votes = {
            name: (cells[f"R1:{name}"], cells[f"R2:{name}"], cells[f"R3:{name}"])
            for name in (*FINDINGS, *kinds)
        }
        found[subject] = Reads(cells.get("Category", ""), votes)
    return found
