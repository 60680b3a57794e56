"""A trained network, resident in memory, applied to scans of any orientation and spacing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from nibabel.affines import voxel_sizes

from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.acceleration.labels import labels_from_logits
from lvo_kedro.nnunet.acceleration.network import cpu_autocast
from lvo_kedro.nnunet.environment import quiet
from lvo_kedro.nnunet.export import labels_of, probabilities_of, remove_islands
from lvo_kedro.nnunet.frame import Frame, channels_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import nibabel as nib
    import numpy as np
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from numpy.typing import NDArray

    from lvo_kedro.nnunet.options import NnUNetOptions


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
            mask: Region of interest; used where the network was trained with ``crop_margin_mm``.
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
            way = labels_from_logits if self._options.accelerate else labels_of
            found = way(logits, self._network, properties)
            labels = frame.restore_labels(found.transpose(2, 1, 0))
        return remove_islands(labels, self._options.smallest_island_ml)

    def _probabilities(
        self, logits: torch.Tensor, properties: dict[str, Any]
    ) -> NDArray[np.float32]:
        return probabilities_of(logits, self._network, properties).transpose(0, 3, 2, 1)
