"""What the trained models record about themselves, for the report and the self-checks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lvo_kedro.datasets.cases import Case, Cases


def detector_training(detector: Case) -> dict[str, Any]:
    """Return what a detector was trained on: options, train, validation, chosen_on (case ids).

    ``chosen_on`` are the cases that the kept epoch was chosen on: none where it was the last.
    """
    training: dict[str, Any] = _read(detector, "model.json")["training"]
    last = training["options"]["selection"] == "last"
    return training | {"chosen_on": [] if last else training["chosen_on"]}


def recorded_options(models: Mapping[str, Cases]) -> dict[str, dict[str, Any]]:
    """Return the options that models were trained with, by the name of their parameters."""
    first = {name: cases[sorted(cases)[0]] for name, cases in models.items() if len(cases)}
    return {
        name: detector_training(case)["options"]
        if (case.folder / "model.json").is_file()
        else _read(case, "manifest.json")["options"]
        for name, case in first.items()
    }


def weight_digests(models: Mapping[str, Cases]) -> dict[str, str]:
    """Return the SHA-256 of every model's weights, as it was when they were written."""
    return {
        f"Weights of {name} {case} (SHA-256)": _digest(cases[case])
        for name, cases in models.items()
        for case in sorted(cases)
    }


def recorded_starts(models: Mapping[str, Cases]) -> dict[str, str]:
    """Return, in words, what each model's training started from; none that started at random."""
    records = {
        f"Start of {name} {case}": _record(cases[case]).get("start")
        for name, cases in models.items()
        for case in sorted(cases)
    }
    return {title: _start_text(start) for title, start in records.items() if start}


def _start_text(start: Mapping[str, Any]) -> str:
    left_out, cases = start["left_out"], len(start["trained_on"])
    known = [f"{cases} cases"] if cases else []
    known += [start["statement"]] if start["statement"] else []
    parts = [
        f"{start['name']} (SHA-256 {start['sha256']})",
        f"trained on {'; '.join(known) or 'no recorded case'}",
        f"fit judged by {start['judged_by']}",
        f"{len(left_out)} layers left out"
        + (f" and started at random: {', '.join(left_out)}" if left_out else ""),
    ]
    return "; ".join(parts)


def _record(model: Case) -> dict[str, Any]:
    detector = (model.folder / "model.json").is_file()
    return _read(model, "model.json" if detector else "manifest.json")


def _digest(model: Case) -> str:
    if (model.folder / "model.json").is_file():
        return str(_read(model, "model.json")["sha256"])
    files: dict[str, str] = _read(model, "manifest.json")["files"]
    return ", ".join(digest for name, digest in sorted(files.items()) if name.endswith(".pth"))


def _read(model: Case, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((model.folder / name).read_text(encoding="utf-8"))
    return content
