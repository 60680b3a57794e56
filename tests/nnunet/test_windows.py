"""The sliding window on a CPU gives what nnU-Net's own gives."""

from __future__ import annotations

from contextlib import contextmanager
from copy import deepcopy
from typing import TYPE_CHECKING

import pytest
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from torch import nn

from lvo_kedro.errors import ModelError
from lvo_kedro.nnunet.acceleration import windows
from lvo_kedro.nnunet.acceleration.network import normalize_as_stored
from lvo_kedro.nnunet.acceleration.windows import WindowPredictor

pytestmark = pytest.mark.long

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HALF = 2e-3
"""Two roundings of half precision, in which nnU-Net sums logits."""


@pytest.fixture(scope="module")
def scan() -> torch.Tensor:
    """Three times three windows: an odd number, so that one is computed alone."""
    return torch.randn((1, 16, 28, 28), generator=torch.Generator().manual_seed(0)) + 1


def load(kind: type[nnUNetPredictor], folder: Path, *, mirroring: bool = True) -> nnUNetPredictor:
    """Load a model as nnU-Net itself does."""
    predictor = kind(use_mirroring=mirroring, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), (0,))
    return predictor


@pytest.fixture(scope="module")
def expected(models: list[Path], scan: torch.Tensor) -> torch.Tensor:
    with threads_of_torch(1):
        predictor = load(nnUNetPredictor, models[0])
        logits: torch.Tensor = predictor.predict_logits_from_preprocessed_data(scan)
    return logits


@contextmanager
def threads_of_torch(number: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 3])
def test_logits_are_nnunets_own(
    models: list[Path], scan: torch.Tensor, expected: torch.Tensor, threads: int
) -> None:
    predictor = load(WindowPredictor, models[0])
    normalize_as_stored(predictor.network.to(memory_format=torch.channels_last_3d))
    with threads_of_torch(threads):
        found = predictor.predict_logits_from_preprocessed_data(scan)
        assert torch.get_num_threads() == threads
    assert found.dtype == expected.dtype == torch.half
    torch.testing.assert_close(found, expected, rtol=HALF, atol=HALF)


def test_every_worker_computes_in_the_callers_precision(
    models: list[Path], scan: torch.Tensor
) -> None:
    predictor = load(WindowPredictor, models[0], mirroring=False)
    seen: list[torch.dtype] = []
    predictor.network.register_forward_hook(lambda *a: seen.append(a[2].dtype))
    for reduced in (False, True):
        with torch.autocast("cpu", torch.bfloat16, enabled=reduced), threads_of_torch(2):
            predictor.predict_logits_from_preprocessed_data(scan)
        assert set(seen) == {torch.bfloat16 if reduced else torch.float32}
        seen.clear()


@pytest.mark.parametrize(("room", "threads"), [(0, 3), (2, 3), (5, 1)])
def test_windows_in_work_are_as_many_as_memory_is_meant_for(
    models: list[Path], scan: torch.Tensor, monkeypatch: pytest.MonkeyPatch, room: int, threads: int
) -> None:
    monkeypatch.setattr(windows, "_VOXELS", room * 16**3)
    predictor = load(WindowPredictor, models[0], mirroring=False)
    seen: list[tuple[int, int]] = []
    predictor.network.register_forward_hook(
        lambda *a: seen.append((len(a[2]), torch.get_num_threads()))
    )
    with threads_of_torch(3):
        predictor.predict_logits_from_preprocessed_data(scan)
    assert {batch for batch, _ in seen} == ({2, 1} if room else {1})
    assert sum(batch for batch, _ in seen) == 9  # each window once
    assert {number for _, number in seen} == {threads}  # a worker's own: fewer share the three


def test_logits_beyond_half_precision_are_an_error(models: list[Path], scan: torch.Tensor) -> None:
    predictor = load(WindowPredictor, models[0])
    with torch.no_grad():
        parameters = predictor.list_of_parameters[0]
        predictor.list_of_parameters[0] = {k: v * 1e6 for k, v in parameters.items()}
    with pytest.raises(ModelError, match="infinite"):
        predictor.predict_logits_from_preprocessed_data(scan)


@pytest.mark.parametrize("shape", [(2, 3, 8, 9, 10), (2, 3, 8, 9), (1, 3, 1, 1, 2)])
@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_normalization_is_torchs(shape: tuple[int, ...], kind: torch.dtype) -> None:
    flat = len(shape) == 4
    norm = nn.InstanceNorm2d(3, affine=True) if flat else nn.InstanceNorm3d(3, affine=True)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    layout = torch.channels_last if flat else torch.channels_last_3d
    far_from_zero = torch.tensor([0.0, 30.0, -5.0]).view(3, *[1] * (len(shape) - 2))
    values = torch.randn(shape) + far_from_zero
    values[0, 2] = 7.0  # no variance
    values = values.to(kind, memory_format=layout)
    exact = deepcopy(norm).double()(values.double()).float()
    normalize_as_stored(norm)
    found = norm(values)
    assert found.dtype == kind
    assert found.is_contiguous(memory_format=layout)
    tolerance = 1e-4 if kind == torch.float32 else 1e-2
    torch.testing.assert_close(found.float(), exact, rtol=tolerance, atol=tolerance)
