"""Proposals beside what the cohort table says, for a person to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lvo_kedro.truth import NO_CLASS, NO_SIDE

if TYPE_CHECKING:
    from collections.abc import Mapping


AGREES: Final = "agrees"
BELOW_LIMITS: Final = "agrees, but the gap is shorter than one must be without the table"


def compare_with_table(record: Mapping[str, Any], row: Mapping[str, Any]) -> dict[str, Any]:
    """Put a proposal beside the row of its case.

    Args:
        record: Of :class:`~lvo_kedro.annotation.Annotation`.
        row: Of the cohort table: ``lvo``, ``side``, ``segment``.

    Returns:
        The record with ``table_side``, ``table_segment``, ``agreement`` in words, and ``fits``:
        ``yes`` where an occlusion is proposed that is the table's as far as that names it.
    """
    told = {"table_side": str(row["side"]), "table_segment": str(row["segment"])}
    words = {name: str(record.get(name, "")) for name in ("side", "segment")}
    words["parts"] = "+".join(record.get("parts", ()))
    words["proposed"] = "yes" if record["proposed"] else ""
    plain = {name: v for name, v in record.items() if not isinstance(v, list)}
    agreement = _agreement(record, row)
    words["fits"] = "yes" if record["proposed"] and agreement in (AGREES, BELOW_LIMITS) else ""
    return {**plain, **words, **told, "agreement": agreement}


def _agreement(record: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    lvo = int(row["lvo"]) == 1
    if not record["proposed"]:
        return "the table names an occlusion, no gap is seen" if lvo else AGREES
    if not lvo:
        return "a gap is seen, the table names no occlusion"
    if row["side"] not in (*NO_SIDE, record["side"]):
        return "other side than in the table"
    if row["segment"] not in (*NO_CLASS, record["segment"]):
        return "other segment than in the table"
    if record["below_limits"]:
        return BELOW_LIMITS
    return AGREES
