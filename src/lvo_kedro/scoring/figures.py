"""What the models were worth, and on whom: the figures of the training run that a result shows."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from kedro.framework.project import settings

if TYPE_CHECKING:
    import pandas as pd
    from kedro.io import CatalogProtocol

WORTH: Final = ("sensitivity", "specificity")
CONFIDENCE: Final = 0.95


def training_figures(catalog: CatalogProtocol) -> dict[str, Any]:
    """Gather the figures that go with models.

    Args:
        catalog: Of the project that they were trained in.

    Returns:
        ``cohort``: development and external ``cases``, ``with_lvo``, whether it is ``simulated``,
        lowest and highest ``slice_thickness_mm`` and ``age_years`` of the development cases (null
        where unknown). ``operating_points``: by name, what it was worth on each cohort (of
        :func:`worth_of`). ``origin``: run, revision and digest of the cohort. What was never
        evaluated is empty.
    """
    study = catalog.load("study") if catalog.exists("study") else {}
    cohort = study["cohort"] if "cohort" in study else None
    known = study["provenance"] if "provenance" in study else {}
    confidence = known.get("options", {}).get("evaluation", {}).get("confidence", CONFIDENCE)
    tables = {
        split: catalog.load(f"{name}.detection")
        for name, split in settings.EVALUATED_SPLITS.items()
        if catalog.exists(f"{name}.detection")
    }
    return {
        "cohort": _describe_cohort(catalog, cohort),
        "operating_points": worth_of(
            {split: parts["metrics"]() for split, parts in tables.items() if "metrics" in parts},
            confidence,
        ),
        "origin": known.get("origin", {}),
    }


def worth_of(metrics: dict[str, pd.DataFrame], confidence: float) -> dict[str, list[Any]]:
    """Return what each operating point was worth.

    Args:
        metrics: Split to its table of ``metric`` and ``value``.
        confidence: Coverage of the intervals.

    Returns:
        Operating point to a record per split: ``cohort``, ``cases``, ``with_lvo``,
        ``confidence``, and sensitivity and specificity with ``value``, ``low``, ``high``, ``n``.
    """
    found: dict[str, list[Any]] = {}
    for split, table in metrics.items():
        numbers = dict(zip(table["metric"], table["value"], strict=True))
        cases, ill = numbers["cases"], numbers["cases_with_lvo"]
        people = dict(zip(WORTH, (ill, cases - ill), strict=True))
        points = [n.removeprefix("tp_") for n in numbers if n.startswith("tp_")]
        for point in points:
            record = {"cohort": split, "cases": int(cases), "with_lvo": int(ill)}
            record |= {"confidence": confidence}
            for name in WORTH:
                ends = {"value": "", "low": "_low", "high": "_high"}
                own = {k: _finite(numbers.get(f"{name}_{point}{end}")) for k, end in ends.items()}
                record[name] = own | {"n": int(people[name])}
            found.setdefault(point, []).append(record)
    return found


def _describe_cohort(catalog: CatalogProtocol, cohort: pd.DataFrame | None) -> dict[str, Any]:
    if cohort is None:
        table = catalog.load("cohort") if catalog.exists("cohort") else None
        simulated = table is not None and "simulated" in table
        return {"simulated": simulated, "development": None, "external": None} | dict.fromkeys(
            ("slice_thickness_mm", "age_years")
        )
    used = cohort[cohort["split"] == "development"]
    thickness = None
    if catalog.exists("scan_quality"):
        quality = catalog.load("scan_quality")
        thickness = quality.loc[quality["case_id"].isin(used["case_id"]), "slice_thickness_mm"]
    counts = {
        split: {"cases": len(part), "with_lvo": int((part["lvo"] == 1).sum())}
        for split in ("development", "external")
        for part in [cohort[cohort["split"] == split]]
    }
    return counts | {
        "simulated": "simulated" in cohort,
        "slice_thickness_mm": _range(thickness),
        "age_years": _range(used["age"] if "age" in used else None),
    }


def _range(values: pd.Series | None) -> list[float] | None:
    known = None if values is None else values.dropna()
    if known is None or known.empty:
        return None
    return [float(known.min()), float(known.max())]


def _finite(value: Any) -> float | None:
    return float(value) if value is not None and math.isfinite(value) else None
