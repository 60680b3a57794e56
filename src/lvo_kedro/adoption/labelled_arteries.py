"""Measures in an image of the circle of Willis, as TopCoW numbers its arteries.

Yang et al. 2023, arXiv:2312.17670. Sides are the patient's; whether the numbers agree with the
world's x is for :attr:`LabelledArteries.sides_exchanged` to say.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine
from scipy.spatial import cKDTree
from skimage.graph import MCP_Geometric

from lvo_kedro.imaging.geometry import grid_of
from lvo_kedro.imaging.midplane import midplane_at
from lvo_kedro.vocabulary import SIDES, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.midplane import Midplane

ArteryName = tuple[str, Side | None]
"""An artery and its side; the basilar artery has none."""

ARTERIES: Final[dict[ArteryName, int]] = {
    ("basilar artery", None): 1,
    ("PCA", "right"): 2,
    ("PCA", "left"): 3,
    ("ICA", "right"): 4,
    ("MCA", "right"): 5,
    ("ICA", "left"): 6,
    ("MCA", "left"): 7,
    ("ACA", "right"): 11,
    ("ACA", "left"): 12,
}
"""Labels that can name an occlusion. Communicating arteries (8, 9, 10) and variants cannot."""
_PAIRS: Final = ("ICA", "PCA", "ACA")
"""Arteries whose two sides show the midline. Not the MCA: a clot makes its label shorter."""


class LabelledArteries:
    """Which arteries are labelled, and where.

    Args:
        image: Labels of the circle of Willis, any orientation and spacing.
    """

    def __init__(self, image: nib.Nifti1Image) -> None:
        labels = np.asanyarray(image.dataobj)
        found = {name: np.argwhere(labels == label) for name, label in ARTERIES.items()}
        self._index = {name: index for name, index in found.items() if len(index)}
        self._affine = image.affine
        self._spacing = grid_of(image).spacing

    def __contains__(self, name: ArteryName) -> bool:
        return name in self._index

    @cached_property
    def _points(self) -> dict[ArteryName, NDArray[np.float64]]:
        """World mm of all voxels."""
        return {name: apply_affine(self._affine, index) for name, index in self._index.items()}

    def gaps(self, point: NDArray[np.float64]) -> dict[ArteryName, float]:
        """Return mm from a world point (3,) to each labelled artery, the nearest first."""
        gaps = {
            name: float(np.linalg.norm(points - point, axis=1).min())
            for name, points in self._points.items()
        }
        return dict(sorted(gaps.items(), key=lambda item: item[1]))

    @property
    def midplane(self) -> Midplane | None:
        """The sagittal plane half-way between the arteries of both sides.

        Of carotid, posterior and anterior cerebral arteries, as far as both are labelled; None
        where no pair is.
        """
        middles = [sum(pair) / 2 for name in _PAIRS if (pair := self._across(name))]
        return midplane_at(float(np.mean(middles))) if middles else None

    @property
    def sides_exchanged(self) -> bool:
        """Whether labels of the right lie to the patient's left of those of the left."""
        pairs = [pair for name in (*_PAIRS, "MCA") if (pair := self._across(name))]
        return bool(pairs) and float(np.mean([right - left for left, right in pairs])) < 0

    def _across(self, name: str) -> tuple[float, float] | None:
        """Return world x of an artery's left and right centre, if both are labelled."""
        if any((name, side) not in self for side in SIDES):
            return None
        left, right = (float(self._points[name, side][:, 0].mean()) for side in SIDES)
        return left, right

    def way_from_carotid(
        self, point: NDArray[np.float64], side: Side | None, joint_mm: float
    ) -> float | None:
        """Return mm from the carotid's end along the MCA's label, and then straight to a point.

        Args:
            point: (3,) World mm.
            side: Whose arteries.
            joint_mm: Widest gap between the two labels.

        Returns:
            None where the carotid is not labelled, or its label and the MCA's do not join, or the
            MCA's is in pieces between.
        """
        mca, ica = ("MCA", side), ("ICA", side)
        if mca not in self or ica not in self:
            return None
        to_carotid, _ = cKDTree(self._points[ica]).query(self._points[mca])
        if to_carotid.min() > joint_mm:
            return None
        to_point = np.linalg.norm(self._points[mca] - point, axis=1)
        index = self._index[mca] - self._index[mca].min(axis=0)
        costs = np.full(index.max(axis=0) + 1, -1.0)  # negative: not to be entered
        costs[tuple(index.T)] = 1.0
        start, end = index[int(np.argmin(to_carotid))], index[int(np.argmin(to_point))]
        ways, _ = MCP_Geometric(costs, sampling=self._spacing).find_costs([start])
        along = float(ways[tuple(end)])
        return along + float(to_point.min()) if np.isfinite(along) else None
