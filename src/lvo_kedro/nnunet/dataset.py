"""From images and labels to what nnU-Net trains on: export, fingerprint, plan, preprocess."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from contextlib import nullcontext
from importlib import metadata
from typing import TYPE_CHECKING, Any, NamedTuple

import nibabel as nib
import nnunetv2
import numpy as np
from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
from nnunetv2.preprocessing.preprocessors import default_preprocessor
from nnunetv2.utilities.find_class_by_name import recursive_find_python_class
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from lvo_kedro.artifacts import digest_of, write_json
from lvo_kedro.errors import ModelError, TableError
from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.nnunet.acceleration.processes import in_this_process
from lvo_kedro.nnunet.environment import DATASET, PLANS, nnunet_environment
from lvo_kedro.nnunet.frame import Frame, channels_of
from lvo_kedro.nnunet.options import PREPARATION_FIELDS, NnUNetOptions
from lvo_kedro.nnunet.plans import adapt_plans

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path
    from types import ModuleType

PREPARED = "prepared.json"


class TrainingCase(NamedTuple):
    """What a network learns from.

    Attributes:
        image: Scan (X, Y, Z) or (X, Y, Z, channels).
        labels: Label values (X, Y, Z) on the scan's grid.
        mask: Region of interest, needed where ``crop_margin_mm`` is set.
    """

    image: nib.Nifti1Image
    labels: nib.Nifti1Image
    mask: nib.Nifti1Image | None = None


def prepare_dataset(
    folder: Path,
    cases: Mapping[str, Callable[[], tuple[nib.Nifti1Image, ...]]],
    labels: Mapping[str, int],
    splits: Sequence[Mapping[str, Sequence[str]]],
    options: NnUNetOptions = NnUNetOptions(),
) -> None:
    """Prepare a dataset for :func:`~lvo_kedro.nnunet.train_fold`.

    Images are loaded one at a time. Where neither images, labels nor options changed since the
    last time, nothing is computed again.

    Args:
        folder: Gets ``preprocessed`` and ``prepared.json``.
        cases: Loader of each case's image, labels and, optionally, mask (:class:`TrainingCase`).
        labels: Name and value (1, 2, ...) of each label; background is 0.
        splits: Training and validation cases of each fold: ``{"train": [...], "val": [...]}``.
        options: Those of :data:`~lvo_kedro.nnunet.options.PREPARATION_FIELDS` count here.

    Raises:
        TableError: Where case names, labels or splits cannot be used.
        ModelError: Where the plan does not fit the options.
    """
    _check(cases, labels, splits)
    raw = folder / "raw" / DATASET
    digests = _export(raw, cases, options)
    _write_dataset_json(raw, list(digests), labels, options)
    chosen = options.model_dump(include=set(PREPARATION_FIELDS))
    state = digest_of([digests, dict(labels), chosen, metadata.version("nnunetv2")])
    preprocessed = folder / "preprocessed" / DATASET
    if _recorded(folder) != state:
        (folder / PREPARED).unlink(missing_ok=True)
        shutil.rmtree(preprocessed, ignore_errors=True)
        planner = _find_planner(options)
        # the planner takes the number of augmentation workers for its own threads: not 0
        with nnunet_environment(folder, augmentation_workers=1):
            _fingerprint(options)
            _plan(planner, preprocessed, options)
            _preprocess(preprocessed, options)
        write_json(folder / PREPARED, {"state": state, "cases": digests, "labels": dict(labels)})
    shutil.rmtree(folder / "raw")  # trainings read what was prepared; a third of the dataset's size
    plain = [{part: sorted(split[part]) for part in ("train", "val")} for split in splits]
    write_json(preprocessed / "splits_final.json", plain)


def read_prepared(folder: Path) -> dict[str, Any]:
    """Read what :func:`prepare_dataset` recorded: state, digest of every case, labels, splits.

    Raises:
        ModelError: Where the folder holds no finished preparation.
    """
    try:
        record: dict[str, Any] = json.loads((folder / PREPARED).read_text(encoding="utf-8"))
        splits = folder / "preprocessed" / DATASET / "splits_final.json"
        record["splits"] = json.loads(splits.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(
            f"no prepared dataset in {folder}",
            "the folder that prepare_dataset wrote",
            "prepare the dataset first",
        ) from error
    return record


def _check(
    cases: Mapping[str, Any],
    labels: Mapping[str, int],
    splits: Sequence[Mapping[str, Sequence[str]]],
) -> None:
    problems = [f"case name {c!r}" for c in cases if not re.fullmatch(r"[\w.\-]+", c)]
    if sorted(labels.values()) != list(range(1, len(labels) + 1)):
        problems.append(f"label values {dict(labels)}, not 1, 2, ...")
    for number, split in enumerate(splits):
        unknown = sorted({*split["train"], *split["val"]} - set(cases))
        both = sorted(set(split["train"]) & set(split["val"]))
        problems += [f"unknown cases {unknown} in fold {number}"] if unknown else []
        problems += [f"cases {both} in both parts of fold {number}"] if both else []
        problems += [f"no cases in part of fold {number}"] * (
            not split["train"] or not split["val"]
        )
    if problems or not splits:
        raise TableError(
            "; ".join(problems) or "no fold",
            "cases, labels and folds that fit together",
            "check the fold table and which cases have labels",
        )


def _export(
    raw: Path,
    cases: Mapping[str, Callable[[], tuple[nib.Nifti1Image, ...]]],
    options: NnUNetOptions,
) -> dict[str, str]:
    """Write every case as nnU-Net expects it; return a digest of each."""
    shutil.rmtree(raw, ignore_errors=True)
    for name in ("imagesTr", "labelsTr"):
        (raw / name).mkdir(parents=True)
    digests, labelled = {}, False
    for case_id in sorted(cases):
        case = TrainingCase(*cases[case_id]())
        frame = Frame(case.image, case.mask, options)
        labels = frame.show_labels(case.labels)
        data = np.asarray(labels.dataobj).astype(np.uint8)
        nib.save(make_image(data, labels.affine), raw / "labelsTr" / f"{case_id}.nii.gz")
        labelled |= bool(data.any())
        digest = hashlib.sha256(data.tobytes() + labels.affine.tobytes())
        for channel, values in enumerate(channels_of(frame.image)):
            path = raw / "imagesTr" / f"{case_id}_{channel:04d}.nii.gz"
            nib.save(make_image(values, frame.image.affine), path)
            digest.update(values.tobytes())
        digests[case_id] = digest.hexdigest()
    if not labelled:
        raise TableError(
            f"no labelled voxel in any of {len(cases)} cases",
            "labels inside the image that the network is shown",
            "check the annotations, and for projections whether vessels were found at all",
        )
    return digests


def _write_dataset_json(
    raw: Path, case_ids: Sequence[str], labels: Mapping[str, int], options: NnUNetOptions
) -> None:
    channels = options.channel_names
    content = {
        "channel_names": {str(number): name for number, name in enumerate(channels)},
        "labels": {"background": 0, **labels},
        "numTraining": len(case_ids),
        "file_ending": ".nii.gz",
        "overwrite_image_reader_writer": "NibabelIO",
        # named one by one: finding them by pattern starts twelve processes
        "dataset": {
            case: {
                "images": [f"imagesTr/{case}_{n:04d}.nii.gz" for n in range(len(channels))],
                "label": f"labelsTr/{case}.nii.gz",
            }
            for case in case_ids
        },
    }
    write_json(raw / "dataset.json", content)


def _recorded(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / PREPARED).read_text(encoding="utf-8"))["state"])
    except (OSError, ValueError, KeyError):
        return None


def _fingerprint(options: NnUNetOptions) -> None:
    extractor = fingerprint_extractor.DatasetFingerprintExtractor(DATASET, max(1, options.workers))
    extractor.show_progress_bar = False
    if options.accelerate and options.window_hu is not None:
        extractor.num_foreground_voxels_for_intensitystats = 1e5  # not 1e8: nobody reads them
    with _workers(options, fingerprint_extractor):
        extractor.run(overwrite_existing=True)


def _find_planner(options: NnUNetOptions) -> Any:
    planner = recursive_find_python_class(
        f"{nnunetv2.__path__[0]}/experiment_planning",
        options.planner,
        current_module="nnunetv2.experiment_planning",
    )
    if planner is None:
        raise ModelError(
            f"planner {options.planner!r}",
            "the class name of a planner of nnU-Net",
            "for instance ExperimentPlanner or nnUNetPlannerResEncM",
        )
    return planner


def _plan(planner: Any, preprocessed: Path, options: NnUNetOptions) -> None:
    memory = (
        {} if options.gpu_memory_gb is None else {"gpu_memory_target_in_gb": options.gpu_memory_gb}
    )
    plans = planner(
        DATASET,
        plans_name=PLANS,
        suppress_transpose=options.configuration == "2d",
        **memory,
    ).plan_experiment()
    write_json(preprocessed / f"{PLANS}.json", adapt_plans(plans, options))


def _preprocess(preprocessed: Path, options: NnUNetOptions) -> None:
    plans = PlansManager(str(preprocessed / f"{PLANS}.json"))
    preprocessor = plans.get_configuration(options.configuration).preprocessor_class(verbose=False)
    preprocessor.show_progress_bar = False
    with _workers(options, default_preprocessor):
        preprocessor.run(DATASET, options.configuration, PLANS, max(1, options.workers))


def _workers(options: NnUNetOptions, module: ModuleType) -> AbstractContextManager[None]:
    """Return the context in which nnU-Net's pool of one process is this process, where wanted."""
    alone = options.accelerate and not options.workers
    return in_this_process(module) if alone else nullcontext()
