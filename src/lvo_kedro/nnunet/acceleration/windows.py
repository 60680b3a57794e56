"""nnU-Net's sliding window on a CPU: the same numbers from faster kernels.

On a CPU torch leaves a float32 convolution of a single small window to its slowest code, and
threads that share one small layer mostly wait for one another. So small windows are computed in
pairs, on a processor core each; every window, mirroring, weight and sum stays as nnU-Net has it.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.inference.sliding_window_prediction import compute_gaussian

from lvo_kedro.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Window = tuple[Any, ...]

_TOGETHER = 2
"""Windows in a batch; more do not fit a processor's cache and are slower again: eight windows of
the demo's network took 0.38 s in pairs and 0.41 s in fours (docs/segmentation.md)."""
_VOXELS = 2**21
"""Voxels in work at any time (one window of 128x128x128), which bounds the memory."""
_SIGMA, _PEAK = 1 / 8, 10
"""Width (share of the window) and height of the Gaussian weights, as in nnU-Net's own loop."""


class WindowPredictor(nnUNetPredictor):
    """nnU-Net's predictor; on a CPU small windows are computed in pairs, side by side."""

    def _internal_predict_sliding_window_return_logits(
        self, data: torch.Tensor, slicers: Sequence[Window], do_on_device: bool = True
    ) -> torch.Tensor:
        """Return the weighted mean (half precision, as nnU-Net keeps it) of all windows' logits.

        Args:
            data: (channels, z, y, x), at least as large as a window.
            slicers: Index of each window in it.
            do_on_device: Where a GPU keeps the sums.
        """
        if self.device.type != "cpu":
            return super()._internal_predict_sliding_window_return_logits(
                data, slicers, do_on_device
            )
        weights = compute_gaussian(
            tuple(self.configuration_manager.patch_size), _SIGMA, _PEAK, device=self.device
        )
        heads = self.label_manager.num_segmentation_heads
        logits = torch.zeros((heads, *data.shape[1:]), dtype=torch.half)
        total = torch.zeros(data.shape[1:], dtype=torch.half)
        # summed in half precision and, though computed side by side, in the order of the windows:
        # every sum then rounds as nnU-Net's does
        for window, answer in self._answers(data, slicers):
            logits[window] += answer * weights
            total[window[1:]] += weights
        logits /= total
        if torch.isinf(logits).any():
            raise ModelError(
                "infinite logits", "logits that half precision can hold", "train the model again"
            )
        return logits

    def _answers(
        self, data: torch.Tensor, slicers: Sequence[Window]
    ) -> Iterator[tuple[Window, torch.Tensor]]:
        """Yield each window's logits, in the order of the windows."""
        # autocast holds for a thread, and workers do not inherit that of the caller
        precision = torch.get_autocast_dtype("cpu")
        reduced = torch.is_autocast_enabled("cpu")

        def answer(part: Sequence[Window]) -> torch.Tensor:
            with torch.autocast("cpu", precision, enabled=reduced):
                windows = torch.stack([data[window] for window in part])
                return self._internal_maybe_mirror_and_predict(windows)

        # a large window takes all of the room and so all threads: its layers are worth sharing
        room = max(1, _VOXELS // math.prod(self.configuration_manager.patch_size))
        together = min(_TOGETHER, room)
        parts = [slicers[first : first + together] for first in range(0, len(slicers), together)]
        # side by side rather than all threads in every small layer, where they mostly wait for one
        # another: on a busy machine 24 pairs took 3 s instead of 11 to 21 s
        threads = torch.get_num_threads()
        workers = min(threads, room // together)
        with ThreadPoolExecutor(
            workers, initializer=torch.set_num_threads, initargs=(threads // workers,)
        ) as pool:
            for part, answers in zip(parts, pool.map(answer, parts), strict=True):
                yield from zip(part, answers, strict=True)
