"""What is remarkable about a scan, as a table of rules over the numbers that describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from lvo_kedro.errors import OutOfScopeError, ScanError
from lvo_kedro.options import Options

if TYPE_CHECKING:
    from collections.abc import Callable


Kind = Literal["contrast", "haemorrhage", "metal"]
"""What a finding is about, if it may leave a new scan without a call."""


class RefusalLimits(Options):
    """Beyond which values a scan is refused; all that a preprocessed scan depends on of them."""

    max_bright_vessels_mm: float = 10.0
    """More length of vessels as bright as contrast medium: suspected."""
    refused_bright_vessels_mm: float = 30.0
    """More than this: the scan is refused as one with contrast medium. Where its header names an
    agent, what is suspected is refused as well."""
    refused_turned_deg: float = 60.0
    """More than this: the scan is refused, as its sides are not what its header says. 180 refuses
    none."""


class QualityLimits(RefusalLimits):
    """Beyond which values a property of the scan is reported as a finding.

    Those that refuse no scan change words alone: no scan is read again for them.
    """

    max_slice_thickness_mm: float = 3.0
    """Thicker slices blur the arteries' cross-sections."""
    max_in_plane_mm: float = 1.0
    """Coarser pixels blur them as well."""
    min_brain_ml: float = 900.0
    """A smaller mask is not a whole adult brain."""
    max_brain_ml: float = 1700.0
    """A larger mask holds more than an adult brain."""
    brain_hu: tuple[float, float] = (18.0, 50.0)
    """Between these lies the median of a brain without contrast medium."""
    max_noise_hu: float = 15.0
    """More noise hides differences of a few HU, even after smoothing."""
    max_vertex_cm2: float = 10.0
    """More brain than this in the topmost slice: the vertex is cut off."""
    max_base_cm2: float = 30.0
    """More brain than this in the lowest slice: the skull base is cut off."""
    max_side_cm2: float = 1.0
    """More brain than this on another face of the image: the field of view is too small."""
    max_rotation_deg: float = 15.0
    """Turn of the head about the vertical axis."""
    max_turned_deg: float = 45.0
    """Angle between the head and the image's axes, about any axis."""
    max_off_centre_mm: float = 40.0
    """Distance, across the slices, from the brain's centre to the image's."""
    width_mm: tuple[float, float] = (100.0, 165.0)
    """Brain from left to right. Adults' heads (1st to 99th centile of both sexes, ANSUR 1988) are
    133 to 164 mm wide and 173 to 214 mm long; scalp and skull take about 12 mm on either side."""
    length_mm: tuple[float, float] = (130.0, 205.0)
    """Brain from back to front; atrophy, masks that leave out CSF, and turned heads have room."""
    height_mm: tuple[float, float] = (95.0, 195.0)
    """Brain from its lowest point, with what of the cord is in the mask, to the vertex."""
    width_to_length: tuple[float, float] = (0.65, 1.02)
    """Cephalic indices are 0.65 to 0.95; a turned head seems wider."""
    height_to_length: tuple[float, float] = (0.62, 1.1)
    """About 0.8 in a straight head."""

    min_haemorrhage_ml: float = 1.5
    """From this volume on what is as dense as fresh blood, and thicker than vessels, is said."""
    max_metal_ml: float = 0.2
    """More than this of clips, coils and the like, in the brain or within 10 mm of it."""
    no_call: tuple[Kind, ...] = ("contrast", "haemorrhage", "metal")
    """Findings that leave a new scan without a call (``detection.scope.enabled``), whatever the
    training cases had: contrast medium that is suspected or named, haemorrhage, metal."""

    def refusals(self) -> RefusalLimits:
        """Return those of the limits beyond which a scan is refused."""
        return RefusalLimits(**self.model_dump(include=set(RefusalLimits.model_fields)))


class Finding(NamedTuple):
    """What is said when a scan's numbers exceed its limits; both fill the words' braces."""

    applies: Callable[[dict[str, Any], QualityLimits], bool]
    words: str
    kind: Kind | None = None


class Refusal(NamedTuple):
    """What ends a case, in the words of a :class:`~lvo_kedro.errors.ScanError`."""

    applies: Callable[[dict[str, Any], RefusalLimits], bool]
    found: str
    expected: str
    remedy: str
    error: type[ScanError] = ScanError


FINDINGS: tuple[Finding, ...] = (
    Finding(
        lambda d, q: d["slice_thickness_mm"] > q.max_slice_thickness_mm,
        "thick slices: {slice_thickness_mm:.1f} mm (limit {max_slice_thickness_mm:.1f})",
    ),
    Finding(
        lambda d, q: max(d["spacing_mm"][:2]) > q.max_in_plane_mm,
        "coarse pixels: {spacing_mm[0]:.2f} x {spacing_mm[1]:.2f} mm (limit {max_in_plane_mm:.2f})",
    ),
    Finding(
        lambda d, q: d["brain_volume_ml"] < q.min_brain_ml,
        "small brain volume: {brain_volume_ml:.0f} ml (limit {min_brain_ml:.0f})",
    ),
    Finding(
        lambda d, q: d["brain_volume_ml"] > q.max_brain_ml,
        "large brain volume: {brain_volume_ml:.0f} ml (limit {max_brain_ml:.0f})",
    ),
    Finding(
        lambda d, q: not q.brain_hu[0] <= d["brain_median_hu"] <= q.brain_hu[1],
        "unusual brain density: median {brain_median_hu:.0f} HU "
        "(expected {brain_hu[0]:.0f} to {brain_hu[1]:.0f})",
    ),
    Finding(
        lambda d, q: d["noise_hu"] > q.max_noise_hu,
        "high noise: {noise_hu:.0f} HU (limit {max_noise_hu:.0f})",
    ),
    Finding(
        lambda d, q: d["vertex_cut_cm2"] > q.max_vertex_cm2,
        "partial coverage: vertex cut off, {vertex_cut_cm2:.0f} cm2 of brain in the top slice",
    ),
    Finding(
        lambda d, q: d["base_cut_cm2"] > q.max_base_cm2,
        "partial coverage: skull base cut off, {base_cut_cm2:.0f} cm2 of brain in the lowest slice",
    ),
    Finding(
        lambda d, q: d["side_cut_cm2"] > q.max_side_cm2,
        "field of view too small: {side_cut_cm2:.0f} cm2 of brain on the image's rim",
    ),
    Finding(
        lambda d, q: d["bright_vessels_mm"] > q.max_bright_vessels_mm,
        "contrast medium suspected: {bright_vessels_mm:.0f} mm of vessels above {bright_hu:.0f} HU "
        "(limit {max_bright_vessels_mm:.0f})",
        "contrast",
    ),
    Finding(
        lambda d, q: d["contrast_named"] and d["bright_vessels_mm"] <= q.max_bright_vessels_mm,
        "a contrast agent is named in the header, but its vessels are not bright",
        "contrast",
    ),
    Finding(
        lambda d, q: d["hyperdense_ml"] > 0 and d["hyperdense_ml"] >= q.min_haemorrhage_ml,
        "haemorrhage-like hyperdensity: {hyperdense_ml:.1f} ml, the largest region of "
        "{hyperdense_largest_ml:.1f} ml {hyperdense_at} (limit {min_haemorrhage_ml:.1f})",
        "haemorrhage",
    ),
    Finding(
        lambda d, q: d["metal_ml"] > q.max_metal_ml,
        "metal: {metal_ml:.1f} ml above {metal_hu:.0f} HU in or beside the brain "
        "(limit {max_metal_ml:.1f})",
        "metal",
    ),
    Finding(
        lambda d, q: (d["turned_deg"] or 0) > q.max_turned_deg,
        "head turned by {turned_deg:.0f} degrees in its axes (limit {max_turned_deg:.0f}): its "
        "front points to {front_towards}, its vertex to {vertex_towards}; sides may be wrong",
    ),
    Finding(
        lambda d, q: abs(d["rotation_deg"]) > q.max_rotation_deg,
        "head turned by {rotation_deg:.0f} degrees (limit {max_rotation_deg:.0f})",
    ),
    Finding(
        lambda d, q: d["off_centre_mm"] > q.max_off_centre_mm,
        "head off centre by {off_centre_mm:.0f} mm (limit {max_off_centre_mm:.0f})",
    ),
)
"""What does not end a case."""

REFUSALS: tuple[Refusal, ...] = (
    Refusal(
        lambda d, q: (d["turned_deg"] or 0) > q.refused_turned_deg,
        "a head turned by {turned_deg:.0f} degrees in its axes: its front points to "
        "{front_towards}, its vertex to {vertex_towards}",
        "the front at anterior and the vertex at superior, within {refused_turned_deg:.0f} degrees",
        "correct the orientation in the header (patient position) or export the scan again: left "
        "and right are wrong; or raise refused_turned_deg",
    ),
    Refusal(
        lambda d, q: (
            d["bright_vessels_mm"] > q.refused_bright_vessels_mm
            or (d["contrast_named"] and d["bright_vessels_mm"] > q.max_bright_vessels_mm)
        ),
        "contrast medium in the vessels: {bright_vessels_mm:.0f} mm of arteries, {bright_ml:.1f} "
        "ml, above {bright_hu:.0f} HU",
        "a non-contrast head CT",
        "use the scan from before the contrast medium, or raise refused_bright_vessels_mm",
        OutOfScopeError,
    ),
)
"""What ends a case: numbers that every later stage would take for something else."""


def find_remarkable(numbers: dict[str, Any], limits: QualityLimits) -> list[str]:
    """Return the findings in sentences.

    Args:
        numbers: What :func:`~lvo_kedro.imaging.measure_scan` measured; ``reading``, where it is
            there, has the findings of :func:`~lvo_kedro.imaging.read_scan`, which come first.
        limits: Beyond these a number becomes a finding.

    Returns:
        The findings; none where nothing is remarkable.
    """
    words = [words for words, _ in _found(numbers, limits)]
    return [*numbers.get("reading", ()), *words, *_implausible_extents(numbers, limits)]


def forbid_call(numbers: dict[str, Any], limits: QualityLimits) -> list[str]:
    """Return those of the findings that leave a scan without a call, in the same words.

    Args:
        numbers: What :func:`~lvo_kedro.imaging.measure_scan` measured.
        limits: Beyond these a number becomes a finding; ``no_call`` says which findings count.
    """
    return [words for words, kind in _found(numbers, limits) if kind in limits.no_call]


def _found(numbers: dict[str, Any], limits: QualityLimits) -> list[tuple[str, Kind | None]]:
    values = {**limits.model_dump(), **numbers, "hyperdense_at": _at(numbers)}
    return [(f.words.format(**values), f.kind) for f in FINDINGS if f.applies(numbers, limits)]


def _at(numbers: dict[str, Any]) -> str:
    """Say where the largest region lies: on which side of the patient, and its world position."""
    if not numbers["hyperdense_mm"]:
        return ""
    side = numbers["hyperdense_side"]
    place = "at the midline" if side == "midline" else f"on the {side}"
    x, y, z = numbers["hyperdense_mm"]
    return f"{place} at ({x:.0f}, {y:.0f}, {z:.0f}) mm"


def _implausible_extents(numbers: dict[str, Any], limits: QualityLimits) -> list[str]:
    """Compare what the brain measures along the axes; what the scan cuts is a lower bound."""
    extents = dict(zip(("width", "length", "height"), numbers["brain_extent_mm"], strict=True))
    cut = dict(zip(extents, numbers["brain_cut"], strict=True))
    words = []
    for name, value in extents.items():
        low, high = getattr(limits, f"{name}_mm")
        if value > high or (value < low and not cut[name]):
            words.append(
                f"implausible brain {name}: {value:.0f} mm (expected {low:.0f} to {high:.0f}); "
                "check spacing and axes"
            )
    for name in ("width", "height"):
        low, high = getattr(limits, f"{name}_to_length")
        ratio = extents[name] / extents["length"]
        if (ratio < low and not cut[name]) or (ratio > high and not cut["length"]):
            words.append(
                f"implausible brain shape: {name} {ratio:.2f} times the length "
                f"(expected {low:.2f} to {high:.2f}); check spacing and axes"
            )
    return words


def refuse_scan(numbers: dict[str, Any], limits: RefusalLimits) -> None:
    """End the case of a scan whose sides or contrast are not those of a non-contrast head CT.

    Args:
        numbers: What :func:`~lvo_kedro.imaging.measure_scan` measured.
        limits: Beyond these a scan is refused.

    Raises:
        ScanError: The head lies turned in its axes.
        OutOfScopeError: Contrast medium fills its arteries.
    """
    values = {**limits.model_dump(), **numbers}
    for rule in REFUSALS:
        if rule.applies(numbers, limits):
            texts = (rule.found, rule.expected, rule.remedy)
            raise rule.error(*(text.format(**values) for text in texts))
