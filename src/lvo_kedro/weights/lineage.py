"""On which scans weights were trained, through all that they started from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lvo_kedro.weights.given import Weights

_SHOWN = 20


def trained_on(
    cases: Iterable[str], hashes: Mapping[str, str] | None, start: Weights | None
) -> dict[str, str | None]:
    """Return the content hash of every scan that a model has learned from, by case id.

    Args:
        cases: Those that it was trained on itself.
        hashes: Content hash of each case's scan; one that is not there is unknown (None).
        start: Weights that its training started from, whose scans count as well. One whose id is
            that of another scan stands under ``<id>~<beginning of its hash>``.
    """
    known = hashes or {}
    seen = {case: known.get(case) for case in cases}
    for case, digest in (start.trained_on if start else {}).items():
        other = case in seen and digest is not None and seen[case] != digest
        seen.setdefault(f"{case}~{str(digest)[:8]}" if other else case, digest)
    return seen


def refuse_known_scans(weights: Weights, hashes: Mapping[str, str]) -> None:
    """Refuse weights that have seen a scan of the cohort: no case would be judged blindly.

    A scan is known by its content hash; by its id only where the weights' record has no hash.

    Args:
        weights: To start from.
        hashes: Content hash of every scan of the cohort, by case id.

    Raises:
        ModelError: Names the cases.
    """
    contents = set(weights.trained_on.values()) - {None}
    by_id = {case for case, digest in weights.trained_on.items() if digest is None}
    known = sorted(case for case, h in hashes.items() if h in contents or case in by_id)
    if known:
        more = len(known) - _SHOWN
        listing = ", ".join([*known[:_SHOWN], *([f"and {more} more"] if more > 0 else [])])
        raise ModelError(
            f"start_from '{weights.name}', trained on {len(known)} cases of this cohort: {listing}",
            "weights that have seen no scan of the cohort, development or external",
            "take other weights, or these cases out of the cohort; nothing was trained",
        )
