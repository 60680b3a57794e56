"""Trained models, from their folders into memory."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.acceleration.network import normalize_as_stored, to_channels_last
from lvo_kedro.nnunet.acceleration.windows import WindowPredictor
from lvo_kedro.nnunet.augmentation import axes_to_mirror
from lvo_kedro.nnunet.environment import device_name, quiet
from lvo_kedro.nnunet.manifest import MANIFEST, read_manifest
from lvo_kedro.nnunet.options import NnUNetOptions
from lvo_kedro.nnunet.plans import refuse_foreign_classes
from lvo_kedro.nnunet.prediction import Predictor
from lvo_kedro.nnunet.trainer import FINAL
from lvo_kedro.weights.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FRAME_FIELDS = {"spacing_mm", "crop_margin_mm", "window_hu", "channel_names"}
"""A network must see scans as it saw them in training, whatever the caller's options say."""


def load_predictor(
    model_folders: Sequence[Path], options: NnUNetOptions = NnUNetOptions()
) -> Predictor:
    """Load one model, or several folds' models as an ensemble, and keep it in memory.

    Args:
        model_folders: What :func:`~lvo_kedro.nnunet.train_fold` left.
        options: Device, step size and mirroring count here; the rest is the models' own.

    Returns:
        The predictor; asked again for the same, unchanged folders and options, the same one.

    Raises:
        ModelError: Where a folder does not match its manifest, the models do not fit together, or
            a file asks for more than to be read as weights.
    """
    folders = tuple(Path(folder).resolve() for folder in model_folders)
    for folder in folders:
        if not (folder / MANIFEST).is_file():
            raise ModelError(f"no {MANIFEST} in {folder}", "a trained model", "train it first")
    stamps = tuple(sha256_of(folder / MANIFEST) for folder in folders)
    return _load(folders, stamps, options)


@lru_cache(maxsize=4)
def _load(folders: tuple[Path, ...], stamps: tuple[str, ...], options: NnUNetOptions) -> Predictor:
    manifests = [read_manifest(folder) for folder in folders]
    plans, dataset = _one_kind_of(folders, manifests)
    first = manifests[0]
    refuse_foreign_classes(plans.plans, first["configuration"])
    chosen = _with_frame_of(first, options)
    checkpoints = [
        read_checkpoint(folder / f"fold_{manifest['fold']}" / FINAL, f"model '{folder.name}'")
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    device = torch.device(device_name(chosen))
    axes = axes_to_mirror(
        chosen.mirror_prediction,
        plans.transpose_forward,
        tuple(checkpoints[0]["inference_allowed_mirroring_axes"]),
    )
    network = build_network(plans, dataset, first["configuration"])
    if chosen.accelerate:
        to_channels_last(network)
        if device.type == "cpu":
            normalize_as_stored(network)
    kind = WindowPredictor if chosen.accelerate else nnUNetPredictor
    with quiet():
        predictor = kind(
            chosen.step_size, use_mirroring=bool(axes), device=device, allow_tqdm=False
        )
        predictor.manual_initialization(
            *(network, plans, plans.get_configuration(first["configuration"])),
            *([checkpoint["network_weights"] for checkpoint in checkpoints], dataset),
            trainer_name=nnUNetTrainer.__name__,
            inference_allowed_mirroring_axes=axes,
        )
    return Predictor(predictor, chosen, manifests)


def _with_frame_of(manifest: Mapping[str, Any], options: NnUNetOptions) -> NnUNetOptions:
    """Return the options with the frame that a model was trained in, also under former names."""
    stored = {NnUNetOptions.renamed.get(k, k): v for k, v in manifest["options"].items()}
    own = {name: value for name, value in stored.items() if name in _FRAME_FIELDS}
    return NnUNetOptions.model_validate({**options.model_dump(), **own})


def build_network(
    plans: PlansManager, dataset: dict[str, Any], configuration: str
) -> torch.nn.Module:
    """Return the network without weights: nnU-Net's predictor puts in those of each fold."""
    settings = plans.get_configuration(configuration)
    network: torch.nn.Module = nnUNetTrainer.build_network_architecture(
        plans,
        settings,
        determine_num_input_channels(plans, settings, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    return network


def _one_kind_of(
    folders: Sequence[Path], manifests: Sequence[Mapping[str, Any]]
) -> tuple[PlansManager, dict[str, Any]]:
    """Return the plans and dataset description that all models of an ensemble share."""
    kinds = {
        (m["files"]["plans.json"], m["configuration"], json.dumps(m["labels"])) for m in manifests
    }
    if len(kinds) != 1:
        raise ModelError(
            f"{len(kinds)} different plans or label sets",
            "models that were trained on one prepared dataset",
            "combine only folds of the same training",
        )
    plans = PlansManager(str(folders[0] / "plans.json"))
    dataset = json.loads((folders[0] / "dataset.json").read_text(encoding="utf-8"))
    return plans, dataset
