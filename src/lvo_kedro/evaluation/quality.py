"""What is remarkable about the cases, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def list_quality_findings(found: Mapping[str, Mapping[str, Iterable[str]]]) -> pd.DataFrame:
    """One row per finding about a case.

    Args:
        found: Stage (scan, priors, vessels) to case id to its findings, in words.

    Returns:
        Columns case_id, stage, finding, in the order of ``found``.
    """
    rows = [
        {"case_id": case, "stage": stage, "finding": finding}
        for stage, cases in found.items()
        for case, findings in cases.items()
        for finding in findings
    ]
    return pd.DataFrame(rows, columns=["case_id", "stage", "finding"])
