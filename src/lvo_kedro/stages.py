"""What the stages' nodes do alike: nnU-Net's data and folds, given weights, who may judge a case.

Stages 1 and 3 prepare and train nnU-Net in the same way on different images. All three may start
from given weights, and give a case to networks that have not seen its patient (*out-of-fold*
models). The nodes in :mod:`lvo_kedro.pipelines` say which images, which labels and which options.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nibabel as nib
import pandas as pd

from lvo_kedro.cohort import fold_of_cases, splits_of_cases
from lvo_kedro.datasets.cases import Case, Cases, Task
from lvo_kedro.imaging import check_side, read_labels
from lvo_kedro.nnunet import NnUNetOptions, prepare_dataset, train_fold
from lvo_kedro.tracking import FoldLog
from lvo_kedro.vocabulary import OCCLUSION_LABELS, SIDES, VESSEL_LABELS, Side
from lvo_kedro.weights.given import Start, find_start, read_weights
from lvo_kedro.weights.lineage import refuse_known_scans

if TYPE_CHECKING:
    from lvo_kedro.options import NetworkOptions

logger = logging.getLogger(__name__)

Reader = Callable[[Case, Case], tuple[nib.Nifti1Image, ...]]
"""Gives image, labels and (optionally) mask of a case, from the images' and the labels' case."""


def each_case(
    function: Callable[..., Mapping[str, Any]], *parts: Mapping[str, Any], **options: Any
) -> dict[str, Task]:
    """Return a task for each case that all ``parts`` know: the function of its parts.

    Args:
        function: Of a module; takes a case's parts in their order, and ``options``.
        parts: By case id: a case of a dataset, or anything else of its own.
        options: What all cases share.
    """
    first, *others = parts
    names = [name for name in first if all(name in part for part in others)]
    return {name: partial(function, *(part[name] for part in parts), **options) for name in names}


def dataset_task(
    images: Cases,
    labels: Mapping[str, Case],
    reader: Reader,
    values: Mapping[str, int],
    *,
    cohort: pd.DataFrame,
    options: NnUNetOptions,
) -> dict[str, Task]:
    """Return the one task that makes nnU-Net's dataset: labelled development cases, for all folds.

    Args:
        images: Cases with an image.
        labels: Those of them that have labels.
        reader: Picks the images out of both; a function of a module.
        values: Name and value of each label.
        cohort: The cohort table.
        options: Those of the preparation count.
    """
    splits = splits_of_cases(cohort, list(labels))
    chosen = sorted({case for split in splits for cases in split.values() for case in cases})
    pairs = {case: (images[case], labels[case]) for case in chosen}
    return {"dataset": partial(write_dataset, pairs, reader, values, splits, options.preparation())}


def write_dataset(
    pairs: Mapping[str, tuple[Case, Case]],
    reader: Reader,
    values: Mapping[str, int],
    splits: list[dict[str, list[str]]],
    options: NnUNetOptions,
    *,
    folder: Path,
) -> dict[str, Any]:
    """Write nnU-Net's dataset into ``folder``; images are read one case at a time."""
    cases = {name: partial(reader, *pair) for name, pair in pairs.items()}
    prepare_dataset(folder, cases, values, splits, options)
    return {}


class ScanHashes(Mapping[str, str]):
    """Content hash of each scan, by case id, for a model's record of what it was trained on.

    Args:
        scans: The preprocessed scans, whose records are read when a hash is asked for.
    """

    fingerprint = None  # what the networks are shown of these scans counts itself

    def __init__(self, scans: Cases) -> None:
        self._scans = scans

    def __getitem__(self, case: str) -> str:
        content_hash: str = self._scans[case]["quality"]["content_hash"]
        return content_hash

    def __iter__(self) -> Iterator[str]:
        return iter(self._scans)

    def __len__(self) -> int:
        return len(self._scans)


def unseen_start(options: NetworkOptions, hashes: ScanHashes) -> Start | None:
    """Return the weights that trainings start from, which must not have seen the cohort's scans.

    Raises:
        ModelError: They cannot be read, or were trained on a case of the cohort.
    """
    start = find_start(options.start_from)
    if start is not None:
        refuse_known_scans(read_weights(start), hashes)
    return start


def fold_tasks(
    dataset: Cases, scans: Cases, cohort: pd.DataFrame, options: NnUNetOptions, entry: str
) -> dict[str, Task]:
    """Return a task per fold that trains nnU-Net on a prepared dataset.

    Args:
        dataset: What :func:`dataset_task` made.
        scans: All of the cohort, labelled or not: given weights must have seen none of them.
        cohort: The cohort table.
        options: Those of the training count; each fold gets its device.
        entry: Catalog entry of the models, under which the curves are logged.

    Raises:
        ModelError: Given weights that cannot be used.
    """
    hashes = ScanHashes(scans)
    start = unseen_start(options, hashes)
    return {
        f"fold_{fold}": partial(
            train_network,
            dataset["dataset"],
            fold,
            options.training().of_training(number),
            FoldLog(entry, f"fold_{fold}", options.epochs),
            start=start,
            hashes=hashes,
        )
        for number, fold in enumerate(sorted(set(fold_of_cases(cohort).values())))
    }


def train_network(
    dataset: Case,
    fold: int,
    options: NnUNetOptions,
    log: FoldLog,
    *,
    start: Start | None,
    hashes: ScanHashes,
    folder: Path,
) -> dict[str, Any]:
    """Train one fold in ``folder``, from where an earlier attempt was stopped."""
    train_fold(dataset.folder, fold, folder, options, log, start=start, scan_hashes=hashes)
    return {}


def out_of_fold_models(
    cases: Collection[str], models: Cases, cohort: pd.DataFrame
) -> dict[str, list[Case]]:
    """Return, for each case, the networks that have not seen its patient.

    A development case gets those of the fold that held its patient out, any other case all.
    """
    held_out = fold_of_cases(cohort)
    every = [models[name] for name in sorted(models)]
    return {
        case: [m for m in every if case not in held_out or fold_of(m.name) == held_out[case]]
        for case in cases
    }


def fold_of(training: str) -> int:
    """Return the fold in a training's name, such as ``fold_2`` or ``fold_2_seed_1``."""
    return int(training.split("_")[1])


def align_annotations(cohort: pd.DataFrame, scans: Cases, drawn: str) -> dict[str, Task]:
    """Bring annotations onto the grids of their preprocessed scans.

    Args:
        cohort: The cohort table; ``vessel_labels`` and ``occlusion_mask`` name files.
        scans: The preprocessed scans.
        drawn: The one of the two columns that a case must have.
    """
    return {
        row.case_id: partial(
            align_annotation,
            scans[row.case_id],
            Path(row.vessel_labels) if row.vessel_labels else None,
            Path(row.occlusion_mask) if row.occlusion_mask and drawn == "occlusion_mask" else None,
            row.side if row.side in SIDES else None,
        )
        for row in cohort[cohort[drawn] != ""].itertuples()
        if row.case_id in scans
    }


def align_annotation(
    scan: Case, vessel_labels: Path | None, occlusion_mask: Path | None, side: Side | None
) -> dict[str, Any]:
    """Read the annotations that one case has; its clot must lie on the side that is named."""
    ncct, fields = scan["ncct"], {}
    if vessel_labels:
        known = VESSEL_LABELS.values()
        fields["vessel_labels"] = read_labels(vessel_labels, ncct, known, "vessel_labels")
    if occlusion_mask:
        known = OCCLUSION_LABELS.values()
        mask = read_labels(occlusion_mask, ncct, known, "occlusion_mask")
        if side:
            check_side(mask, scan["brain_mask"], side)
        fields["occlusion_mask"] = mask
    return fields


def failures(**stages: Cases) -> pd.DataFrame:
    """One row for each case that could not be computed: the step and what was wrong."""
    rows = [
        {"case_id": case, "stage": stage, "error": error}
        for stage, cases in stages.items()
        for case, error in cases.failed.items()
    ]
    return pd.DataFrame(rows, columns=["case_id", "stage", "error"])


def options_of(cases: Cases) -> dict[str, Any]:
    """Return the options that cases were computed with: those of the first, they share them."""
    return cases[min(cases)].options if len(cases) else {}


def tell_findings(quality: pd.DataFrame) -> None:
    """Say in the log for how many cases there is something to look at, and the first of them.

    In: a quality table (case_id, findings in words).
    """
    found = quality[quality["findings"] != ""]
    for row in found.head(1).itertuples():
        text = "%d of %d cases with findings, the first: %s: %s"
        logger.warning(text, len(found), len(quality), row.case_id, row.findings)
