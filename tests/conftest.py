"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in this hook, too
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a file's tests, and all of the pipelines', on one worker: they share what is costly."""
    for item in items:
        place = item.path.relative_to(TESTS)
        group = "pipelines" if place.parts[0] == "pipelines" else str(place)
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real scan and the published atlases, which lies beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real scan and published atlases at {SHARED}")
    return SHARED
