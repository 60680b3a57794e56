"""A trained network, resident in memory, applied to scans of any orientation and spacing."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from nibabel.affines import voxel_sizes
from nnunetv2.inference.export_prediction import (
    convert_predicted_logits_to_segmentation_with_correct_shape,
)
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.label_handling.label_handling import determine_num_input_channels
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

from lvo_kedro.artifacts import sha256_of
from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.dataset import channels_of
from lvo_kedro.nnunet.environment import quiet
from lvo_kedro.nnunet.export import labels_from_logits, remove_islands
from lvo_kedro.nnunet.frame import Frame
from lvo_kedro.nnunet.manifest import MANIFEST, read_manifest
from lvo_kedro.nnunet.options import NnUNetOptions
from lvo_kedro.nnunet.trainer import FINAL, arrange_for_cpu, cpu_autocast, device_name, mirror_axes
from lvo_kedro.nnunet.windows import WindowPredictor, normalize_as_stored

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import nibabel as nib
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from numpy.typing import NDArray

_FRAME_FIELDS = {"spacing", "crop_margin", "window", "channel_names"}
"""A network must see scans as it saw them in training, whatever the caller's options say."""


class Predictor:
    """Segments scans with one network, or several folds' networks averaged (logits, as nnU-Net).

    Args:
        network: nnU-Net's predictor, ready.
        options: Frame and prediction options.
        manifests: Manifest of each model.
    """

    def __init__(
        self,
        network: nnUNetPredictor,
        options: NnUNetOptions,
        manifests: Sequence[Mapping[str, Any]],
    ) -> None:
        self._network = network
        self._options = options
        self.manifests = tuple(manifests)

    @property
    def training_cases(self) -> frozenset[str]:
        """Cases that any of the networks was trained on."""
        return frozenset(c for m in self.manifests for c in m["training_cases"])

    def predict(
        self, image: nib.Nifti1Image, mask: nib.Nifti1Image | None = None
    ) -> nib.Nifti1Image:
        """Return the label image (uint8) on the scan's own grid.

        Args:
            image: Scan (X, Y, Z) or (X, Y, Z, channels), any orientation.
            mask: Region of interest; used where the network was trained with ``crop_margin``.
        """
        frame = Frame(image, mask, self._options)
        return self._finish(frame, *self._infer(*self._present(frame)))

    def predict_probabilities(
        self, image: nib.Nifti1Image, mask: nib.Nifti1Image | None = None
    ) -> nib.Nifti1Image:
        """Return probabilities (X, Y, Z, 1 + labels), background first, on the scan's own grid."""
        frame = Frame(image, mask, self._options)
        logits, properties = self._infer(*self._present(frame))
        return frame.restore_probabilities(self._probabilities(logits, properties))

    def predict_cases(
        self, cases: Mapping[str, Callable[[], Sequence[nib.Nifti1Image]]]
    ) -> Iterator[tuple[str, nib.Nifti1Image]]:
        """Yield each case's labels; the next case is read while this one is computed.

        Args:
            cases: Loader of each case's image and, optionally, mask. Three cases at most are in
                memory at any time.
        """
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            names = list(cases)
            coming = [reader.submit(self._load, cases[n]) for n in names[:1]]
            going: list[tuple[str, Any]] = []
            for number, name in enumerate(names):
                frame, data, properties = coming.pop().result()
                if number + 1 < len(names):
                    coming.append(reader.submit(self._load, cases[names[number + 1]]))
                logits, properties = self._infer(data, properties)
                if going:
                    done, future = going.pop()
                    yield done, future.result()
                going.append((name, writer.submit(self._finish, frame, logits, properties)))
            for done, future in going:
                yield done, future.result()

    def _load(
        self, loader: Callable[[], Sequence[nib.Nifti1Image]]
    ) -> tuple[Frame, torch.Tensor, dict[str, Any]]:
        images = loader()
        frame = Frame(images[0], images[1] if len(images) > 1 else None, self._options)
        return frame, *self._present(frame)

    def _present(self, frame: Frame) -> tuple[torch.Tensor, dict[str, Any]]:
        """Preprocess as nnU-Net does: its axes are z, y, x."""
        expected = len(self._network.dataset_json["channel_names"])
        data = channels_of(frame.image)
        if len(data) != expected:
            raise ModelError(
                f"an image of {len(data)} channels", f"{expected}", "use the model's own channels"
            )
        properties: dict[str, Any] = {
            "spacing": [float(s) for s in voxel_sizes(frame.image.affine)[::-1]]
        }
        preprocessor = self._network.configuration_manager.preprocessor_class(verbose=False)
        prepared, _, properties = preprocessor.run_case_npy(
            data.transpose(0, 3, 2, 1),
            None,
            properties,
            self._network.plans_manager,
            self._network.configuration_manager,
            self._network.dataset_json,
        )
        return torch.from_numpy(prepared), properties

    def _infer(
        self, data: torch.Tensor, properties: dict[str, Any]
    ) -> tuple[torch.Tensor, dict[str, Any]]:
        with quiet(), cpu_autocast(self._network.device, self._options):
            return self._network.predict_logits_from_preprocessed_data(data), properties

    def _finish(
        self, frame: Frame, logits: torch.Tensor, properties: dict[str, Any]
    ) -> nib.Nifti1Image:
        if frame.is_resampled:
            labels = frame.labels_from(self._probabilities(logits, properties))
        else:
            found = labels_from_logits(logits, self._network, properties)
            labels = frame.restore_labels(found.transpose(2, 1, 0))
        return remove_islands(labels, self._options.smallest_island_ml)

    def _probabilities(
        self, logits: torch.Tensor, properties: dict[str, Any]
    ) -> NDArray[np.float32]:
        _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._network.plans_manager,
            self._network.configuration_manager,
            self._network.label_manager,
            properties,
            return_probabilities=True,
            num_threads_torch=torch.get_num_threads(),
        )
        return np.asarray(probabilities, dtype=np.float32).transpose(0, 3, 2, 1)


def load_predictor(
    model_folders: Sequence[Path], options: NnUNetOptions = NnUNetOptions()
) -> Predictor:
    """Load one model, or several folds' models as an ensemble, and keep it in memory.

    Args:
        model_folders: What :func:`~lvo_kedro.nnunet.train_fold` left.
        options: Device, step size and mirroring count here; the rest is the models' own.

    Raises:
        ModelError: Where a folder does not match its manifest or the models do not fit together.
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
    own = {k: v for k, v in first["options"].items() if k in _FRAME_FIELDS}
    chosen = NnUNetOptions.model_validate({**options.model_dump(), **own})
    checkpoints = [
        torch.load(
            folder / f"fold_{manifest['fold']}" / FINAL, map_location="cpu", weights_only=True
        )
        for folder, manifest in zip(folders, manifests, strict=True)
    ]
    parameters = [checkpoint["network_weights"] for checkpoint in checkpoints]
    network = _build_network(plans, dataset, first["configuration"], parameters)
    configuration = plans.get_configuration(first["configuration"])
    device = torch.device(device_name(chosen))
    if device.type == "cpu":
        normalize_as_stored(network)
    axes = mirror_axes(
        chosen.mirror_prediction,
        plans.transpose_forward,
        tuple(checkpoints[0]["inference_allowed_mirroring_axes"]),
    )
    with quiet():
        predictor = WindowPredictor(
            tile_step_size=chosen.step_size,
            use_mirroring=bool(axes),
            perform_everything_on_device=True,
            device=device,
            allow_tqdm=False,
        )
        predictor.manual_initialization(
            *(network, plans, configuration, parameters, dataset),
            trainer_name=nnUNetTrainer.__name__,
            inference_allowed_mirroring_axes=axes,
        )
    return Predictor(predictor, chosen, manifests)


def _build_network(
    plans: PlansManager,
    dataset: dict[str, Any],
    configuration: str,
    parameters: Sequence[Mapping[str, torch.Tensor]],
) -> torch.nn.Module:
    settings = plans.get_configuration(configuration)
    network: torch.nn.Module = nnUNetTrainer.build_network_architecture(
        plans,
        settings,
        determine_num_input_channels(plans, settings, dataset),
        plans.get_label_manager(dataset).num_segmentation_heads,
        enable_deep_supervision=False,
    )
    network.load_state_dict(parameters[0])
    arrange_for_cpu(network)
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
