"""NIfTI images and figures as Kedro datasets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import nibabel as nib
import numpy as np
from kedro.io import AbstractDataset, DatasetError
from matplotlib.figure import Figure

from lvo_kedro.imaging.geometry import make_image

if TYPE_CHECKING:
    from nibabel.arrayproxy import ArrayProxy


class NiftiDataset(AbstractDataset[nib.Nifti1Image, nib.Nifti1Image]):
    """A NIfTI image (``.nii`` or ``.nii.gz``), read into memory as a whole.

    A map of real numbers may be stored as whole multiples of a step, which takes a fraction of the
    space; no value is then further than half a step from what it was.

    Args:
        filepath: Where the image lies.
        stored: Integer type on disk, such as ``int16``; None: the image's own type.
        step: What one of these integers is worth, in the map's unit.
        metadata: Ignored here; kedro-viz reads it.
    """

    def __init__(
        self,
        *,
        filepath: str,
        stored: str | None = None,
        step: float = 1.0,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath)
        self._stored = stored
        self._step = step
        self.metadata = metadata

    def load(self) -> nib.Nifti1Image:
        """Return the image, independent of the file: in its stored data type, or float32."""
        image = cast("nib.Nifti1Image", nib.load(self._filepath))
        if self._stored is None:
            data = np.asanyarray(image.dataobj)
            return nib.Nifti1Image(data, image.affine, image.header, dtype=data.dtype)
        data = cast("ArrayProxy", image.dataobj).get_unscaled().astype(np.float32) * np.float32(
            self._step
        )
        return make_image(data, image.affine)

    def save(self, data: nib.Nifti1Image) -> None:
        """Write the image in its own data type, or in steps.

        Raises:
            DatasetError: A value that the integers cannot hold, or none at all (NaN).
        """
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        stored = data if self._stored is None else self._in_steps(data, self._stored)
        nib.save(stored, self._filepath)

    def _in_steps(self, image: nib.Nifti1Image, kind: str) -> nib.Nifti1Image:
        steps = np.rint(np.asarray(image.dataobj) / self._step)
        bounds = np.iinfo(kind)
        if not (steps.min() >= bounds.min and steps.max() <= bounds.max):
            raise DatasetError(
                f"{self._filepath.name} has values from {steps.min() * self._step:.3g} to "
                f"{steps.max() * self._step:.3g}, expected {bounds.min * self._step:.3g} to "
                f"{bounds.max * self._step:.3g}: raise 'step' in the catalog"
            )
        stored = make_image(steps.astype(kind), image.affine)
        stored.header.set_slope_inter(self._step, 0.0)  # any reader gets the map's unit
        return stored

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


class FigureDataset(AbstractDataset[Figure, Path]):
    """A matplotlib figure, written as PNG (previews, MLflow) and as SVG (report) side by side.

    Loading returns the path of the PNG: a written figure is a picture, no longer a plot.

    Args:
        filepath: Where the PNG goes; the SVG lies beside it.
        dpi: Resolution of the PNG.
        svg: Whether to write the SVG too.
        metadata: Ignored here; kedro-viz reads it.
    """

    def __init__(
        self,
        *,
        filepath: str,
        dpi: int = 130,
        svg: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = Path(filepath)
        self._dpi = dpi
        self._svg = svg
        self.metadata = metadata

    def load(self) -> Path:
        """Return the path of the PNG."""
        return self._filepath

    def save(self, data: Figure) -> None:
        """Write the figure."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        data.savefig(self._filepath, dpi=self._dpi, bbox_inches="tight")
        if self._svg:
            data.savefig(self._filepath.with_suffix(".svg"), bbox_inches="tight")

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
