"""What a check found, and the stop where that makes the metrics invalid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import pandas as pd

from lvo_kedro.errors import TableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Severity = Literal["error", "warning", "note"]
COLUMNS = ("check", "severity", "message", "cases")


@dataclass(frozen=True)
class Finding:
    """Something that a self-check noticed.

    Attributes:
        check: Name of the check.
        severity: ``error``: the metrics are invalid; ``warning``: they need a caveat; ``note``.
        message: What was found and what it means.
        cases: Cases concerned, where there are particular ones.
        expected: What would have been right, of an error.
        remedy: What the user can do about an error.
    """

    check: str
    severity: Severity
    message: str
    cases: tuple[str, ...] = ()
    expected: str = ""
    remedy: str = ""

    def __str__(self) -> str:
        """All of it in one line, as the project's errors say it."""
        cases = f" (cases {', '.join(self.cases)})" if self.cases else ""
        parts = [f"found {self.message}{cases}"]
        parts += [f"expected {self.expected}"] if self.expected else []
        parts += [self.remedy] if self.remedy else []
        return f"{self.check}: {'; '.join(parts)}"


def findings_table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings as a table.

    Args:
        findings: Of any checks.

    Returns:
        Columns check, severity, message, cases (joined with a blank), one row per finding.
    """
    rows = [(f.check, f.severity, f.message, " ".join(f.cases)) for f in findings]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def raise_on_errors(findings: Sequence[Finding], allow_errors: bool = False) -> list[Finding]:
    """Stop where a finding makes the metrics invalid, unless that is allowed.

    Args:
        findings: Of any checks.
        allow_errors: Go on all the same.

    Returns:
        The findings to go on with. Where errors were allowed a further one, in front, says so.

    Raises:
        TableError: At least one finding has severity ``error``; every one is in the message with
            its cases, what was expected and what to do.
    """
    errors = [finding for finding in findings if finding.severity == "error"]
    if not errors:
        return list(findings)
    if allow_errors:
        message = (
            f"{len(errors)} error(s) of the self-checks were allowed (evaluation.allow_errors): "
            "the metrics are not valid"
        )
        return [Finding("errors_allowed", "error", message), *findings]
    listing = "\n".join(f"  {finding}" for finding in errors)
    raise TableError(
        f"{len(errors)} error(s) in the self-checks, which make the metrics invalid:\n{listing}\n",
        "a clean separation of what is fitted and what is reported",
        "correct what is named and run again; what was computed is kept. With "
        "evaluation.allow_errors=true the report is made all the same, and says that its metrics "
        "are not valid",
    )


def ids_of(cases: Iterable[object]) -> tuple[str, ...]:
    """Case ids for :attr:`Finding.cases`.

    Args:
        cases: Ids in any order.

    Returns:
        The ids as text, sorted.
    """
    return tuple(sorted(str(case) for case in cases))
