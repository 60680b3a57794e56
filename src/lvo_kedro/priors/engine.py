"""ANTs, wrapped so that everything outside this module is arrays in RAS world coordinates.

*Points* are world coordinates in mm, components first: (3, ...).

ITK takes an image's origin and direction as they are given. Handing it RAS coordinates for both
images makes every transform it returns act on RAS coordinates; no axis is flipped anywhere.
"""

from __future__ import annotations

import os
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.ndimage import map_coordinates

from lvo_kedro.errors import RegistrationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid


@dataclass(frozen=True, eq=False)
class Mapping:
    """A smooth one-to-one map between the spaces of a fixed and a moving image.

    Attributes:
        affine: 4 x 4, fixed world to moving world, applied after ``forward``.
        grid: The fixed image's grid, on which both displacement fields live.
        forward: Displacement in mm at each fixed voxel; (3, X, Y, Z).
        inverse: Displacement in mm that undoes ``forward``; (3, X, Y, Z).
    """

    affine: NDArray[np.float64]
    grid: Grid
    forward: NDArray[np.float32]
    inverse: NDArray[np.float32]

    def to_moving(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map fixed world points (3, ...) to the moving image's world."""
        return transform(self.affine, points + sample_field(self.forward, self.grid, points))

    def to_fixed(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map moving world points (3, ...) to the fixed image's world."""
        start = transform(np.linalg.inv(self.affine), points)
        return start + sample_field(self.inverse, self.grid, start)


def transform(affine: NDArray[Any], points: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply a 4 x 4 matrix to points (3, ...)."""
    matrix = affine[:3, :3].astype(np.float32)
    moved = np.tensordot(matrix, points, axes=1)
    offset = affine[:3, 3].astype(np.float32).reshape(3, *[1] * (points.ndim - 1))
    return np.asarray(moved + offset, dtype=np.float32)


def sample(
    values: NDArray[np.float32], grid: Grid, points: NDArray[np.float32], mode: str = "constant"
) -> NDArray[np.float32]:
    """Interpolate ``values`` (X, Y, Z) on ``grid`` linearly at world points (3, ...)."""
    index = transform(np.linalg.inv(grid.affine), points)
    return np.asarray(map_coordinates(values, index, order=1, mode=mode, output=np.float32))


def sample_field(
    field: NDArray[np.float32], grid: Grid, points: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Interpolate a displacement field (3, X, Y, Z); beyond the grid its edge goes on."""
    index = transform(np.linalg.inv(grid.affine), points)
    return np.stack([map_coordinates(part, index, order=1, mode="nearest") for part in field])


def grid_points(grid: Grid) -> NDArray[np.float32]:
    """Return the world coordinates of all voxels, (3, X, Y, Z)."""
    index = np.indices(grid.shape, dtype=np.float32)
    return transform(grid.affine, index)


def is_inside(points: NDArray[np.float32], grid: Grid) -> NDArray[np.bool_]:
    """Tell which world points (3, ...) lie within a grid's voxels."""
    index = transform(np.linalg.inv(grid.affine), points)
    upper = np.reshape(grid.shape, (3, *[1] * (points.ndim - 1))) - 0.5
    return np.asarray(((index >= -0.5) & (index <= upper)).all(axis=0))


def register(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    grid: Grid,
    moving_grid: Grid,
    *,
    kind: str = "SyN",
    iterations: Sequence[int] = (40, 20, 0),
    total_sigma: float = 0.0,
    start: NDArray[np.float64] | None = None,
    mask: NDArray[np.bool_] | None = None,
    sampling: float = 0.2,
    seed: int = 0,
) -> Mapping:
    """Register ``moving`` to ``fixed`` by mutual information.

    Args:
        fixed: The image whose grid the result lives on, (X, Y, Z).
        moving: The image to be brought over.
        grid: Of ``fixed``; axes at right angles.
        moving_grid: Of ``moving``.
        kind: ``SyN`` (rigid, affine, deformable), ``SyNOnly``, ``Affine`` or ``Rigid``.
        iterations: Per level, coarse to fine.
        total_sigma: Standard deviation of the Gaussian, in voxels of a level, that smooths the
            displacement after each step.
        start: 4 x 4, fixed world to moving world; None starts from the centres of mass.
        mask: Voxels of ``fixed`` that count; None: all.
        sampling: Part of the voxels that the affine stages look at.
        seed: Of that sampling.

    Raises:
        RegistrationError: ANTs gave up.
    """
    ants = _load_ants(seed)
    with tempfile.TemporaryDirectory(prefix="lvo-registration-") as folder:
        initial = _write_affine(ants, start, Path(folder)) if start is not None else None
        try:
            result = ants.registration(
                _to_ants(ants, fixed, grid),
                _to_ants(ants, moving, moving_grid),
                type_of_transform=kind,
                initial_transform=initial,
                mask=None if mask is None else _to_ants(ants, mask.astype(np.float32), grid),
                mask_all_stages=mask is not None and kind != "SyNOnly",
                reg_iterations=tuple(iterations),
                total_sigma=total_sigma,
                aff_random_sampling_rate=sampling,
                outprefix=str(Path(folder) / "map"),
            )
            return _read_mapping(ants, result, grid)
        except RuntimeError as error:
            raise RegistrationError(
                f"a registration that stopped with '{error}'",
                "a brain that resembles the template",
                "look at the brain mask; give one in the cohort table if it is wrong",
            ) from error


def _load_ants(seed: int) -> Any:
    """Import ANTs with one thread and a seed: without both, sums differ from run to run."""
    os.environ.setdefault("ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS", "1")
    import ants  # noqa: PLC0415  (reads the number of threads when it is imported)

    python_state, numpy_state = random.getstate(), np.random.get_state()
    threads = os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"]
    ants.config.set_ants_deterministic(True, seed_value=seed)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = threads
    random.setstate(python_state)
    np.random.set_state(numpy_state)
    return ants


def _to_ants(ants: Any, values: NDArray[np.float32], grid: Grid) -> Any:
    spacing = np.asarray(grid.spacing)
    return ants.from_numpy(
        np.ascontiguousarray(values, dtype=np.float32),
        origin=tuple(float(v) for v in grid.affine[:3, 3]),
        spacing=tuple(float(v) for v in spacing),
        direction=grid.affine[:3, :3] / spacing,
    )


def _write_affine(ants: Any, matrix: NDArray[np.float64], folder: Path) -> str:
    start = ants.create_ants_transform(
        transform_type="AffineTransform",
        dimension=3,
        matrix=matrix[:3, :3],
        offset=matrix[:3, 3],
    )
    path = folder / "start.mat"
    ants.write_transform(start, str(path))
    return str(path)


def _read_mapping(ants: Any, result: dict[str, Any], grid: Grid) -> Mapping:
    """Read ANTs' files: displacement, then affine, lead from the fixed to the moving world."""
    affine = np.eye(4)
    fields = {}
    for path in result["fwdtransforms"]:
        if path.endswith(".mat"):
            affine = _affine_matrix(ants.read_transform(path))
        else:
            fields["forward"] = _read_field(ants, path)
    for path in result["invtransforms"]:
        if not path.endswith(".mat"):
            fields["inverse"] = _read_field(ants, path)
    still = np.zeros((3, *grid.shape), dtype=np.float32)
    return Mapping(affine, grid, fields.get("forward", still), fields.get("inverse", still))


def _affine_matrix(stored: Any) -> NDArray[np.float64]:
    parameters, centre = np.asarray(stored.parameters), np.asarray(stored.fixed_parameters)
    affine = np.eye(4)
    affine[:3, :3] = parameters[:9].reshape(3, 3)
    affine[:3, 3] = parameters[9:] + centre - affine[:3, :3] @ centre
    return affine


def _read_field(ants: Any, path: str) -> NDArray[np.float32]:
    return np.moveaxis(np.asarray(ants.image_read(path).numpy(), dtype=np.float32), -1, 0)
