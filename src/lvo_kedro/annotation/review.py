"""Proposals beside what the cohort table says, for a person to judge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from lvo_kedro.errors import TableError
from lvo_kedro.truth import NO_CLASS, NO_SIDE, UNKNOWN
from lvo_kedro.vocabulary import SEGMENT_CLASSES, SIDES

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
        ``yes`` where the proposed clot has one side and class, and the table names the same or
        says that it does not know.
    """
    told = {"table_side": str(row["side"]), "table_segment": str(row["segment"])}
    words = {name: str(record.get(name, "")) for name in ("side", "segment")}
    words["parts"] = "+".join(record.get("parts", ()))
    words["proposed"] = "yes" if record["proposed"] else ""
    plain = {name: v for name, v in record.items() if not isinstance(v, list)}
    agreement = _agreement(record, row)
    words["fits"] = "yes" if _fits(record, row, agreement) else ""
    return {**plain, **words, **told, "agreement": agreement}


def _fits(record: Mapping[str, Any], row: Mapping[str, Any], agreement: str) -> bool:
    if not record["proposed"] or agreement not in (AGREES, BELOW_LIMITS):
        return False
    named = record["segment"] in SEGMENT_CLASSES
    return (
        named and row["side"] in (*SIDES, UNKNOWN) and row["segment"] in (*SEGMENT_CLASSES, UNKNOWN)
    )


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


def names_by_clot(
    row: Mapping[str, Any], record: Mapping[str, Any], *, as_proposed: bool
) -> dict[str, str]:
    """Return side and segment by a clot, where the cohort table says that they are unknown.

    What the table knows stays, and a proposed clot must fit it. A corrected one names nothing:
    where it lies now, only the person who drew it has seen.

    Args:
        row: Of the cohort table, as text: ``lvo``, ``side``, ``segment``.
        record: Of :class:`~lvo_kedro.annotation.Annotation`.
        as_proposed: Whether the clot is the proposal's, unchanged.

    Returns:
        By column what the clot names; nothing where the table knows it all.

    Raises:
        TableError: There is no occlusion, the clot has no name, or another than the table's.
    """
    if str(row["lvo"]) != "1":
        raise TableError(
            "a clot of a case without an occlusion (lvo in cases.csv)",
            "lvo 1",
            "correct the table, or leave the column clot empty",
        )
    words = {"side": NO_SIDE, "segment": NO_CLASS}
    told = {name: str(row.get(name, "")) for name in words}
    found = {name: str(record.get(name, "")) for name in words}
    lacking = [name for name, none in words.items() if told[name] in none]
    by_clot = as_proposed and all(told[name] == UNKNOWN for name in lacking)
    unnamed = any(found[name] in (*words[name], "") for name in lacking)
    if lacking and (not by_clot or unnamed):
        raise TableError(
            f"a clot for an occlusion of {' and '.join(f'{n} {told[n]}' for n in lacking)}",
            "one side and one of the five classes, so that the clot has a name",
            "write them into cases.csv, or leave the column clot empty",
        )
    for name in words if as_proposed else ():
        if name not in lacking and found[name] != told[name]:
            raise TableError(
                f"a clot of {name} {found[name]}, of an occlusion of {name} {told[name]} "
                "(cases.csv)",
                f"a clot of the {name} that the table names",
                "correct the table or the clot, or leave the column clot empty",
            )
    return {name: found[name] for name in lacking}
