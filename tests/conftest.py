"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real scan and the published atlases, which lies beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real scan and published atlases at {SHARED}")
    return SHARED
