"""Train one fold: begin, go on after a kill, or return at once when nothing is left to do."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import torch

from lvo_kedro.artifacts import clear_parts, digest_of, write_json, write_rows
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.dataset import read_prepared
from lvo_kedro.nnunet.environment import DATASET, PLANS, nnunet_environment, own_random_state
from lvo_kedro.nnunet.history import HISTORY, read_history
from lvo_kedro.nnunet.manifest import (
    MANIFEST,
    read_manifest,
    write_manifest,
)
from lvo_kedro.nnunet.options import MACHINE_FIELDS, PREDICTION_FIELDS, NnUNetOptions
from lvo_kedro.nnunet.trainer import FINAL, LATEST, FoldTrainer, shape_of
from lvo_kedro.weights.fitting import start_record
from lvo_kedro.weights.given import Start, Weights, find_start, read_weights
from lvo_kedro.weights.lineage import trained_on

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

logger = logging.getLogger(__name__)

_UNDER_WAY = "training.json"


def train_fold(
    dataset_folder: Path,
    fold: int,
    model_folder: Path,
    options: NnUNetOptions = NnUNetOptions(),
    log: Callable[[Mapping[str, float], int], None] | None = None,
    *,
    start: Start | None = None,
    scan_hashes: Mapping[str, str] | None = None,
) -> dict[str, float]:
    """Train one fold and leave a self-contained model folder.

    A training that was killed goes on from its last checkpoint; a finished one is not repeated.
    Whether one is out of date is not decided here: a folder with one of other inputs is an error.

    Args:
        dataset_folder: What :func:`~lvo_kedro.nnunet.prepare_dataset` filled.
        fold: Number of the split to train on.
        model_folder: Gets plans, weights, ``history.csv``, ``manifest.json``. Without weights, or
            with what the same training left there.
        options: As at preparation, and those for training.
        log: Called after each epoch with its metrics and number.
        start: Where the weights lie that are started from; by default where the options say.
        scan_hashes: Content hash of each case's scan, which the manifest keeps so that a later
            training from these weights can tell whether its own cases are among them.

    Returns:
        The last epoch's metrics and the seconds of all epochs.

    Raises:
        ModelError: Where the dataset is not prepared, or has no such fold, where given weights
            cannot be read or do not fit, where the folder holds a training of other images, fold,
            options or given weights, or where a finished model's files were altered.
    """
    prepared = read_prepared(dataset_folder)
    split = _split(prepared, fold)
    start = start or find_start(options.start_from)
    given = read_weights(start) if start else None
    purpose = _purpose(dataset_folder, prepared, split, fold, options, given=given)
    _refuse_other(model_folder, purpose)
    if (model_folder / MANIFEST).is_file():
        logger.info("fold %d is trained already", fold)
        return dict(read_manifest(model_folder)["metrics"])
    model_folder.mkdir(parents=True, exist_ok=True)
    write_json(model_folder / _UNDER_WAY, {"purpose": purpose})
    history = _train(dataset_folder, fold, model_folder, options, log, given=given)
    metrics = {**history[-1], "seconds": sum(row["seconds"] for row in history)}
    facts = {
        "purpose": purpose,
        "fold": fold,
        "training_cases": split["train"],
        "trained_on": trained_on(split["train"], scan_hashes, given),
        "validation_cases": split["val"],
        "labels": prepared["labels"],
        "configuration": options.configuration,
        "options": options.model_dump(exclude={"start_from"}),
        "metrics": metrics,
    }
    if given is not None:
        facts["start"] = _start_record(model_folder, fold, given)
    write_manifest(model_folder, facts)
    (model_folder / _UNDER_WAY).unlink()
    return metrics


def _train(
    dataset_folder: Path,
    fold: int,
    model_folder: Path,
    options: NnUNetOptions,
    log: Callable[[Mapping[str, float], int], None] | None,
    *,
    given: Weights | None,
) -> list[dict[str, float]]:
    weights = model_folder / f"fold_{fold}"
    for place in (model_folder, weights):
        clear_parts(place)
    if (weights / FINAL).is_file():  # stopped after the last epoch, before the manifest
        _remove_all_but_final(weights)
        return read_history(model_folder / HISTORY)

    def report(row: Mapping[str, float], epoch: int) -> None:
        write_rows(model_folder / HISTORY, trainer.history)
        if log is not None:
            log({k: v for k, v in row.items() if k != "epoch"}, epoch)

    environment = nnunet_environment(dataset_folder, options.augmentation_workers, options.compile)
    with environment, own_random_state():
        trainer = _make_trainer(dataset_folder, fold, options)
        trainer.configure(options, model_folder, report, given)
        if (weights / LATEST).is_file():
            trainer.load_checkpoint(str(weights / LATEST))
            logger.info("fold %d goes on after epoch %d", fold, trainer.current_epoch)
        trainer.run_training()
    _remove_all_but_final(weights)
    return trainer.history


def _remove_all_but_final(weights: Path) -> None:
    """Remove checkpoints to go on from, half-written ones too: the manifest lists what is there."""
    for path in weights.iterdir():
        if path.name != FINAL:
            path.unlink()


def _make_trainer(dataset_folder: Path, fold: int, options: NnUNetOptions) -> FoldTrainer:
    preprocessed = dataset_folder / "preprocessed" / DATASET
    plans = _read(preprocessed / f"{PLANS}.json")
    plans["continue_training"] = False  # nnU-Net takes this out of the plans again
    dataset = _read(preprocessed / "dataset.json")
    dataset.pop("dataset", None)  # the list of all cases, which the model does not need
    return FoldTrainer(plans, options.configuration, fold, dataset, torch.device("cpu"))


def _purpose(
    dataset_folder: Path,
    prepared: Mapping[str, Any],
    split: Mapping[str, Sequence[str]],
    fold: int,
    options: NnUNetOptions,
    *,
    given: Weights | None = None,
) -> str:
    """Return a digest of all that the trained network depends on."""
    cases = {part: {c: prepared["cases"][c] for c in split[part]} for part in ("train", "val")}
    chosen = options.model_dump(exclude=set(MACHINE_FIELDS | PREDICTION_FIELDS))
    plans = _read(dataset_folder / "preprocessed" / DATASET / f"{PLANS}.json")
    start = [given.identity] if given else []
    return digest_of([cases, fold, prepared["labels"], chosen, plans, *start])


def _start_record(model_folder: Path, fold: int, given: Weights) -> dict[str, Any]:
    """Return what is recorded of given weights, also where the training was ended earlier."""
    final = torch.load(model_folder / f"fold_{fold}" / FINAL, map_location="cpu", weights_only=True)
    shape = shape_of(_read(model_folder / "dataset.json"))
    return start_record(given, final["network_weights"], shape)


def _split(prepared: Mapping[str, Any], fold: int) -> dict[str, list[str]]:
    splits: list[dict[str, list[str]]] = prepared["splits"]
    if not 0 <= fold < len(splits):
        raise ModelError(
            f"fold {fold}", f"one of {len(splits)} prepared folds", "prepare the dataset again"
        )
    return splits[fold]


def _refuse_other(model_folder: Path, purpose: str) -> None:
    """Raise where weights are there that are not known to be of this training.

    One that ended before its first checkpoint, for instance as given weights did not fit, left
    nothing that another could go on from.
    """
    known = {_read(model_folder / name).get("purpose") for name in (_UNDER_WAY, MANIFEST)}
    if any(model_folder.glob("fold_*/*")) and purpose not in known:
        raise ModelError(
            f"in {model_folder} what another training left (of other images, fold, options or "
            "given weights)",
            "nothing, or what the same training left",
            "train in an empty folder, or remove this one if it is no longer needed",
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
