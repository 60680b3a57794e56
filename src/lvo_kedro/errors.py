"""Errors that say what was found, what was expected and what to do.

Science code raises a :class:`CaseError` without knowing which case it works on; whoever runs the
case (see :mod:`lvo_kedro.datasets`) puts the case's id in front and lets the other cases go on.
"""

from __future__ import annotations

from typing import ClassVar


class CaseError(ValueError):
    """A scan, mask, table or model that cannot be used.

    Args:
        found: What was met, with the offending value.
        expected: What would have been right.
        remedy: What the user can do about it.
    """

    of_case: ClassVar[bool] = True
    """Whether it lies with the case's own data, so that it is not tried again as long as they and
    what is asked of them stay the same."""

    def __init__(self, found: str, expected: str, remedy: str) -> None:
        super().__init__(f"found {found}; expected {expected}; {remedy}")
        self.found = found
        self.expected = expected
        self.remedy = remedy

    def __reduce__(self) -> tuple[type[CaseError], tuple[str, str, str]]:
        """Rebuild from the three parts, so that the error survives the way back from a worker."""
        return type(self), (self.found, self.expected, self.remedy)


class ScanError(CaseError):
    """An image that is not a usable non-contrast head CT."""


class OutOfScopeError(ScanError):
    """A sound image of something else: no head, or a head with contrast medium.

    As a new scan it gets no call and this reason; in a cohort it is a case that failed.
    """

    PREFIX: ClassVar[str] = "out of scope: "

    def __str__(self) -> str:
        """Say it first, since a text is all that is kept of an error."""
        return f"{self.PREFIX}{super().__str__()}"


def without_score(error: str) -> dict[str, str]:
    """Return what the outcome of a scan says that was not scored: no call, or that it failed.

    Args:
        error: The text of its error.
    """
    out = error.startswith(OutOfScopeError.PREFIX)
    return {"no_call" if out else "failed": error}


class AtlasError(CaseError):
    """An atlas file whose geometry, labels or values are not what they should be."""

    of_case = False


class RegistrationError(CaseError):
    """A registration whose result cannot be trusted."""


class ModelError(CaseError):
    """A model file or folder that cannot be loaded or does not fit."""

    of_case = False


class TableError(CaseError):
    """A table whose rows do not allow what is asked of them."""

    of_case = False


class RunError(CaseError):
    """A tracked run that is not there, or that lacks what is asked of it."""

    of_case = False


class PrivacyError(CaseError):
    """What would put a secret or a name where it must not be, or a secret that cannot be used."""

    of_case = False
