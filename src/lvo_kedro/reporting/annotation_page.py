"""The page on which proposed vessel labels are looked at, and accepted or rejected."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from lvo_kedro import __version__
from lvo_kedro.reporting.page import environment
from lvo_kedro.vocabulary import RESEARCH_ONLY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


def render_annotation_page(
    proposals: Sequence[Mapping[str, Any]],
    pictures: Mapping[str, Path],
    failed: Mapping[str, str],
    *,
    simulated: bool = False,
) -> str:
    """Render the page: one proposal per row, those that disagree with the cohort table first.

    The page holds pictures of the patients' heads. What is chosen on it stays in the browser until
    it is saved as ``decisions.csv``; nothing is sent anywhere.

    Args:
        proposals: Of :func:`~lvo_kedro.annotation.compare_with_table`, with ``case_id``.
        pictures: PNG file of each case.
        failed: By case, why there is no proposal.
        simulated: Whether any case is simulated; marks the page.

    Returns:
        HTML that needs nothing else.
    """
    rows = sorted(proposals, key=lambda row: (row["agreement"] == "agrees", row["case_id"]))
    agreeing = sum(row["agreement"] == "agrees" for row in rows)
    counts = {
        "proposals": len(rows),
        "agree with the table": agreeing,
        "to look at first": len(rows) - agreeing,
        "failed": len(failed),
    }
    drawn = {
        case: "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")
        for case, path in pictures.items()
    }
    return (
        environment()
        .get_template("annotation.html.j2")
        .render(
            title="Proposed vessel labels",
            simulated=simulated,
            counts=counts,
            rows=rows,
            pictures=drawn,
            failed=dict(sorted(failed.items())),
            research_only=RESEARCH_ONLY,
            version=__version__,
        )
    )
