"""A run in which too many cases fail stops and says why."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest

from lvo_kedro.datasets import CaseDataset
from lvo_kedro.errors import ScanError
from lvo_kedro.failure_limit import FailureHooks, TooManyFailuresError


def measure(number: int, worst: int) -> dict[str, object]:
    if number < worst:
        raise ScanError(f"{number} slices", "at least 10", "export the whole series")
    return {"quality": {"number": number}}


@pytest.mark.parametrize(
    ("name", "failed", "stops"),
    [
        ("scans", 3, True),
        ("scans", 2, False),
        ("scans", 0, False),
        ("new.scans", 3, False),
    ],
)
def test_the_share_of_failed_cases_decides(tmp_path, name, failed, stops):
    dataset = CaseDataset(path=str(tmp_path / "d"), files=["quality.json"])
    hooks = FailureHooks()
    loader = {"globals": {"max_failed_share": 0.5}}
    hooks.after_context_created(SimpleNamespace(config_loader=loader))
    hooks.before_pipeline_run({name: dataset, "table": object()})
    hooks.after_dataset_saved("table")
    dataset.save({f"case-{n}": partial(measure, n, failed) for n in range(4)})
    if not stops:
        hooks.after_dataset_saved(name)
        return
    with pytest.raises(TooManyFailuresError) as caught:
        hooks.after_dataset_saved(name)
    assert "scans: 3 of 4 cases failed" in caught.value.message
    assert "case-0: found 0 slices; expected at least 10" in caught.value.message
