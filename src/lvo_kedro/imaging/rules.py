"""What an image must satisfy to be read as a head CT: bounds, and how a table of rules is applied.

Each rule looks at one property and returns what it found in words, with the value, or ``None``.
The first rule that finds something ends the case with a :class:`~lvo_kedro.errors.ScanError`.
The tables are in :mod:`~lvo_kedro.imaging.header_rules`, :mod:`~lvo_kedro.imaging.value_rules` and
:mod:`~lvo_kedro.imaging.series_rules`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lvo_kedro.errors import CaseError, ScanError
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class ScanLimits(Options):
    """Between which bounds a scan is accepted."""

    min_spacing_mm: float = 0.1
    """Finest distance between neighbouring voxels."""
    max_spacing_mm: float = 10.0
    """Coarsest distance between neighbouring voxels or slices."""
    min_extent_mm: float = 100.0
    """A field of view that is smaller cannot hold a head's cross-section."""
    max_extent_mm: float = 700.0
    """No scanner's field of view is larger."""
    max_length_mm: float = 2200.0
    """From head to foot a scan may go on; it is cut to the head."""
    min_coverage_mm: float = 40.0
    """Least extent along the slices' axis; the arteries of interest span about 50 mm."""
    air_hu: float = -300.0
    """Head scans hold air: some values lie below this."""
    bone_hu: float = 250.0
    """Head scans hold bone: some values lie above this."""
    allow_gaps: bool = False
    """Interpolate over missing slices instead of refusing the series."""
    min_part: float = 0.001
    """Part of the voxels that must be air, and part that must be bone."""
    max_bone_part: float = 0.35
    """Largest part of the voxels that is bone; 0.12 in a tight field of view."""
    soft_range_hu: tuple[float, float] = (-50.0, 150.0)
    """Range of brain, CSF, blood and muscle, single noisy voxels included."""
    min_soft_part: float = 0.4
    """Least part of the middle of the head within that range; 0.7 in what we measured."""
    air_range_hu: tuple[float, float] = (-1100.0, -900.0)
    """Range of air; what is lower is padding."""
    max_hu: float = 10000.0
    """Metal stays below this; a wrapped unsigned offset does not."""


class Rule(NamedTuple):
    """One check: what it looks for, and what to say when it finds it.

    Both texts may name a limit in braces, as in ``"at least {min_coverage_mm} mm"``.
    """

    finds: Callable[[Any, ScanLimits], str | None]
    expected: str
    remedy: str


def check(
    subject: object,
    rules: Sequence[Rule],
    limits: ScanLimits,
    error: type[CaseError] = ScanError,
    role: str = "",
) -> None:
    """Apply ``rules`` in order; an error calls the file by its ``role``, where that is given.

    Raises:
        CaseError: (of type ``error``) for the first rule that finds something.
    """
    values = limits.model_dump()
    for rule in rules:
        found = rule.finds(subject, limits)
        if found:
            found += f" in {role}" if role else ""
            raise error(found, rule.expected.format(**values), rule.remedy.format(**values))
