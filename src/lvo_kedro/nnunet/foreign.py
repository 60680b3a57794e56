"""A model that plain nnU-Net trained, from its own folder: no manifest and no frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.environment import device_name, quiet
from lvo_kedro.nnunet.loading import build_network
from lvo_kedro.nnunet.options import NnUNetOptions
from lvo_kedro.nnunet.plans import refuse_foreign_classes
from lvo_kedro.nnunet.prediction import Predictor
from lvo_kedro.weights.checkpoints import read_checkpoint

if TYPE_CHECKING:
    from pathlib import Path

_CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


def load_foreign(folder: Path, options: NnUNetOptions = NnUNetOptions()) -> Predictor:
    """Load what ``nnUNetv2_train`` left, all folds as an ensemble; weights alone are read.

    Args:
        folder: Such as ``nnUNet_results/Dataset001_X/nnUNetTrainer__nnUNetPlans__3d_fullres``:
            ``plans.json``, ``dataset.json``, and ``fold_*`` with ``checkpoint_final.pth``.
        options: Device, step size and mirroring count; images are shown to the network whole and
            at their own spacing, as nnU-Net does.

    Returns:
        The predictor; what it answers are the model's own labels.

    Raises:
        ModelError: The folder is none of nnU-Net's, or asks for more than to be read as weights.
    """
    owner = "a model folder of nnU-Net"
    for name in ("plans.json", "dataset.json"):
        if not (folder / name).is_file():
            raise ModelError(
                f"{owner} without {name}",
                "the folder that nnUNetv2_train made, with fold_0 in it",
                "name that folder",
            )
    plans = PlansManager(str(folder / "plans.json"))
    dataset = json.loads((folder / "dataset.json").read_text(encoding="utf-8"))
    stored = [read_checkpoint(path, owner) for path in _folds(folder)]
    configuration = _configuration(stored, owner)
    refuse_foreign_classes(plans.plans, configuration)
    chosen = options.model_copy(update={"spacing_mm": None, "crop_margin_mm": None})
    axes = tuple(stored[0].get("inference_allowed_mirroring_axes") or ())
    axes = axes if chosen.mirror_prediction else ()
    with quiet():
        predictor = nnUNetPredictor(
            chosen.step_size,
            use_mirroring=bool(axes),
            device=torch.device(device_name(chosen)),
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            build_network(plans, dataset, configuration),
            plans,
            plans.get_configuration(configuration),
            [checkpoint["network_weights"] for checkpoint in stored],
            dataset,
            trainer_name=nnUNetTrainer.__name__,
            inference_allowed_mirroring_axes=axes,
        )
    return Predictor(predictor, chosen, [])


def _folds(folder: Path) -> list[Path]:
    found = []
    for fold in sorted(folder.glob("fold_*")):
        present = [fold / name for name in _CHECKPOINTS if (fold / name).is_file()]
        found += present[:1]
    if not found:
        raise ModelError(
            "a model folder of nnU-Net without a trained fold",
            f"fold_0 with {_CHECKPOINTS[0]}",
            "train it, or name the folder that has fold_0 in it",
        )
    return found


def _configuration(stored: list[Any], owner: str) -> str:
    """Return the configuration, such as ``3d_fullres``, that all folds were trained in."""
    try:
        names = {str(checkpoint["init_args"]["configuration"]) for checkpoint in stored}
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"{owner} whose checkpoint names no configuration",
            "a checkpoint as nnU-Net 2 writes it",
            "train with nnU-Net 2",
        ) from error
    if len(names) != 1:
        raise ModelError(
            f"{owner} with folds of {', '.join(sorted(names))}",
            "folds of one training",
            "leave the folds of one configuration in the folder",
        )
    return names.pop()
