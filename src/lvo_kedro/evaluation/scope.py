"""Cases out of the scope of the models: counted and named, and left out of nothing.

A new scan of that kind gets no call. In an evaluation its score counts like any other, since a
metric of the cases that suit a model would flatter it; a subgroup shows what difference that makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.evaluation.leakage.findings import Finding, ids_of
from lvo_kedro.evaluation.options import Subgroup

if TYPE_CHECKING:
    import pandas as pd

    from lvo_kedro.evaluation.options import EvaluationOptions

COLUMN: Final = "out_of_scope"
"""Column of the score table: the reasons, joined with a semicolon; empty within scope."""
WITHIN, OUT = "within scope", "out of scope"
SCOPE: Final = Subgroup(column=COLUMN, title="Scope of the training cases")
"""Not one of the declared subgroups: it is shown where it has two levels."""


def reasons_out_of_scope(scores: pd.DataFrame) -> dict[str, list[str]]:
    """Say of each case out of scope why.

    Args:
        scores: Score table: case_id; ``out_of_scope``, where scans were looked at for that.

    Returns:
        Case to its reasons in words; nothing of the cases within scope.
    """
    if COLUMN not in scores:
        return {}
    told = scores[COLUMN].fillna("").astype(str).str.strip()
    return {
        str(case): [part.strip() for part in text.split(";")]
        for case, text in zip(scores["case_id"], told, strict=True)
        if text
    }


def scope_findings(scores: pd.DataFrame) -> list[Finding]:
    """Return the note that cases are out of scope, if any are.

    Args:
        scores: Score table: case_id, ``out_of_scope``.
    """
    out = reasons_out_of_scope(scores)
    if not out:
        return []
    message = (
        f"{len(out)} of {len(scores)} cases are out of scope and would get no call as "
        "new scans; all metrics keep them, and the subgroups show what they are without them"
    )
    return [Finding(COLUMN, "note", message, ids_of(out))]


def name_scope(scores: pd.DataFrame) -> pd.DataFrame:
    """Put :data:`WITHIN` or :data:`OUT` in the place of the reasons, for the subgroups.

    Args:
        scores: Score table: case_id, ``out_of_scope``; one without it stays as it is.
    """
    if COLUMN not in scores:
        return scores
    out = scores["case_id"].astype(str).isin(list(reasons_out_of_scope(scores)))
    return scores.assign(**{COLUMN: np.where(out, OUT, WITHIN)})


def with_scope(named: pd.DataFrame, options: EvaluationOptions) -> EvaluationOptions:
    """Return options with the subgroup of scope, if any case is out of it.

    Args:
        named: Of :func:`name_scope`.
        options: The declared subgroups.
    """
    if COLUMN not in named or not (named[COLUMN] == OUT).any():
        return options
    return options.model_copy(update={"subgroups": (*options.subgroups, SCOPE)})
