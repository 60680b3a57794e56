"""The mark by which a simulated folder in a public layout is told from the real one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvo_kedro.adoption.source import SIMULATED

if TYPE_CHECKING:
    from pathlib import Path


def mark_simulated(folder: Path) -> None:
    """Say in a folder that it is simulated; every cohort that is made of it then says so too.

    Args:
        folder: That of the archive.
    """
    text = "Simulated by lvo_kedro. No patient is in this folder.\n"
    (folder / SIMULATED).write_text(text, encoding="utf-8")
