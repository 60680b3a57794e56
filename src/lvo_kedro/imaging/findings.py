"""What is remarkable about a scan, as a table of rules over the numbers that describe it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from lvo_kedro.errors import OutOfScopeError, ScanError

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvo_kedro.imaging.quality_limits import Kind, QualityLimits, RefusalLimits


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

    Returns:
        Sentences; none where nothing stands against a call.
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
