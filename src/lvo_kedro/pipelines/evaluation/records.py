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


def fold_of(name: str) -> int:
    """Return the fold of a model folder, such as 2 of ``fold_2`` and ``fold_2_seed_7``."""
    return int(name.split("_")[1])


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


def _digest(model: Case) -> str:
    if (model.folder / "model.json").is_file():
        return str(_read(model, "model.json")["sha256"])
    files: dict[str, str] = _read(model, "manifest.json")["files"]
    return ", ".join(digest for name, digest in sorted(files.items()) if name.endswith(".pth"))


def _read(model: Case, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((model.folder / name).read_text(encoding="utf-8"))
    return content
