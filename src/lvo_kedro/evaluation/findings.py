"""What self-checks find.

A check returns findings; whoever calls decides: :func:`raise_on_errors` turns those of severity
``error`` into a :class:`~lvo_kedro.errors.TableError`.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Severity = Literal["error", "warning", "note"]


@dataclass(frozen=True)
class Finding:
    """Something that a self-check noticed.

    Attributes:
        check: Name of the check.
        severity: ``error``: the figures are invalid; ``warning``: they need a caveat; ``note``.
        message: What was found and what it means.
        cases: Cases concerned, where there are particular ones.
    """

    check: str
    severity: Severity
    message: str
    cases: tuple[str, ...] = ()


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table: check, severity, message, cases (joined with a blank)."""
    rows = [(*astuple(finding)[:3], " ".join(finding.cases)) for finding in findings]
    return pd.DataFrame(rows, columns=["check", "severity", "message", "cases"])


def raise_on_errors(findings: Sequence[Finding]) -> None:
    """Stop where a finding makes the figures invalid.

    Args:
        findings: Of any checks.

    Raises:
        TableError: At least one finding has severity ``error``; all of them are in the message.
    """
    errors = [finding.message for finding in findings if finding.severity == "error"]
    if errors:
        raise TableError(
            " | ".join(errors),
            "a clean separation of what is fitted and what is reported",
            "repair the tables named; figures made from them would mislead",
        )


def ids_of(cases: Iterable[object]) -> tuple[str, ...]:
    """Case ids in order, for :attr:`Finding.cases`."""
    return tuple(sorted(str(case) for case in cases))
