"""What trained models record about themselves, for the report and the checks of the study."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lvo_kedro.datasets.cases import Case, Cases


def record_models(models: Cases) -> dict[str, dict[str, Any]]:
    """Return what the report and the checks need of each model, by its name, for JSON.

    Returns:
        options: Those it was trained with.
        sha256: Of its weights, as they were when they were written.
        start: What its training started from, in words; empty where it started at random.
        trained_on: Ids of its training cases.
        chosen_on: Ids of the cases that the kept epoch was chosen on; none where it was the last.
        train_loss, chance_loss: Of a detector, at the end and of guessing; the second is None where
            the model was trained before it was recorded.
    """
    return {name: _record_model(models[name]) for name in sorted(models)}


def _record_model(model: Case) -> dict[str, Any]:
    if (model.folder / "model.json").is_file():  # a detector
        record = _read(model, "model.json")
        training = record["training"]
        last = training["options"]["selection"] == "last"
        known = {
            "options": training["options"],
            "sha256": record["sha256"],
            "trained_on": training["train"],
            "chosen_on": [] if last else training["chosen_on"],
            "train_loss": record["summary"]["train_loss"],
            "chance_loss": record["summary"].get("chance_loss"),
        }
    elif (model.folder / "side_model.json").is_file():
        record = _read(model, "side_model.json")
        known = {
            "options": record["training"]["options"],
            "sha256": record["sha256"],
            "trained_on": record["training"]["train"],
            "chosen_on": [],
        }
    else:
        record = _read(model, "manifest.json")
        weights = [d for name, d in sorted(record["files"].items()) if name.endswith(".pth")]
        known = {
            "options": record["options"],
            "sha256": ", ".join(weights),
            "trained_on": record["training_cases"],
            "chosen_on": [],
        }
    return known | {"start": _start_text(record["start"]) if record.get("start") else ""}


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


def _read(model: Case, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((model.folder / name).read_text(encoding="utf-8"))
    return content
