"""Trained models as MLflow models: with their input signature, and loadable by name.

The copy of a model folder in MLflow becomes a model by one more file, ``MLmodel``. Then
``mlflow.pyfunc.load_model("models:/<name>/<version>").predict(...)`` gives logits of channels
where it is a detector, and results of scans where it is a bundle of all stages.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pyfunc
import numpy as np
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec

from lvo_kedro.detection import Detector, load_detector
from lvo_kedro.detection.detector import CARD
from lvo_kedro.scoring import served as served_scorer
from lvo_kedro.scoring.bundle import MANIFEST

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from numpy.typing import NDArray

SCANS = ModelSignature(
    inputs=Schema([ColSpec(DataType.string, name, required=False) for name in ("path", "nifti")])
)
"""What a bundle takes: a scan by its path, or a NIfTI file's bytes in base64."""


class ServedDetector:
    """A detector behind MLflow's ``predict``."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector

    def predict(
        self, channels: NDArray[np.float32], params: dict[str, Any] | None = None
    ) -> NDArray[np.float32]:
        """Return logits, shape (case,), of channels of shape (case, channel, x, y, z) in 0-1."""
        logits: NDArray[np.float32] = self._detector.score(torch.from_numpy(channels)).numpy()
        return logits


def _load_pyfunc(path: str) -> ServedDetector:
    """Load a model folder; MLflow calls this by its name."""
    return ServedDetector(load_detector(Path(path)))


def log_signature(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Add ``MLmodel`` to the copy of a model in a run: of a detector's folder, or of a bundle.

    Other folders are left alone.
    """
    if (folder / MANIFEST).is_file():
        model = Model(run_id=run_id, artifact_path="model", signature=SCANS)
        mlflow.pyfunc.add_to_model(model, loader_module=served_scorer.__name__, data="bundle")
    elif (folder / CARD).is_file():
        given = json.loads((folder / CARD).read_text())["input"]
        channels = (-1, len(given["channels"]), *given["shape"])
        signature = ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), channels)]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1,))]),
        )
        model = Model(run_id=run_id, artifact_path="model", signature=signature, metadata=given)
        mlflow.pyfunc.add_to_model(model, loader_module=__name__)
    else:
        return
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "MLmodel"
        model.save(str(path))
        client.log_artifact(run_id, str(path), "model")
