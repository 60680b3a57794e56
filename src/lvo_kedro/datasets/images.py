"""NIfTI images and figures as Kedro datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from kedro.io import AbstractDataset
from matplotlib.figure import Figure


class NiftiDataset(AbstractDataset[nib.Nifti1Image, nib.Nifti1Image]):
    """A NIfTI image (``.nii`` or ``.nii.gz``), read into memory as a whole.

    Args:
        filepath: Where the image lies.
        metadata: Ignored here; kedro-viz reads it.
    """

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> nib.Nifti1Image:
        """Return the image in its stored data type, independent of the file."""
        image = cast("nib.Nifti1Image", nib.load(self._filepath))
        data = np.asanyarray(image.dataobj)
        return nib.Nifti1Image(data, image.affine, image.header, dtype=data.dtype)

    def save(self, data: nib.Nifti1Image) -> None:
        """Write the image in its own data type."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        nib.save(data, self._filepath)

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
