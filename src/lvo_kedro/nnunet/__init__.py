"""Segmentation with nnU-Net, through its own planner, preprocessing, trainer and predictor.

The only package that knows nnunetv2. A dataset is *prepared* in a folder of its own, each *fold*
is trained into a *model folder* that needs nothing else, and a *predictor* stays in memory::

    prepare_dataset(folder, cases, labels, splits, options)
    train_fold(folder, 0, model_folder, options, log)
    load_predictor([model_folder], options).predict(ncct)

Importing this package is cheap: nnU-Net itself is imported at the first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from lvo_kedro.nnunet.options import NnUNetOptions

if TYPE_CHECKING:
    from lvo_kedro.nnunet.dataset import TrainingCase, prepare_dataset
    from lvo_kedro.nnunet.foreign import load_foreign
    from lvo_kedro.nnunet.loading import load_predictor
    from lvo_kedro.nnunet.prediction import Predictor
    from lvo_kedro.nnunet.training import train_fold

__all__ = [
    "NnUNetOptions",
    "Predictor",
    "TrainingCase",
    "load_foreign",
    "load_predictor",
    "prepare_dataset",
    "train_fold",
]

_HOME = {
    "TrainingCase": "dataset",
    "prepare_dataset": "dataset",
    "train_fold": "training",
    "Predictor": "prediction",
    "load_foreign": "foreign",
    "load_predictor": "loading",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
