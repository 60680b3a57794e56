"""Fixtures that several test folders share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

SHARED = Path(__file__).resolve().parents[2] / "shared"


class Grouped(LoadScopeScheduling):
    """Keeps a file's tests, and all of the pipelines', on one worker: they share what is costly."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", maxsplit=1)[0]
        return "pipelines" if "tests/pipelines/" in file else file


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Grouped:
    """Deal the tests out in groups, in the order in which they were collected."""
    config.option.loadscopereorder = False
    return Grouped(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the pipelines, by far the largest group: no worker waits for it in the end."""
    items.sort(key=lambda item: "tests/pipelines/" not in item.nodeid)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with the real scan and the published atlases, which lies beside the checkout."""
    if not (SHARED / "data").is_dir():
        pytest.skip(f"no real scan and published atlases at {SHARED}")
    return SHARED
