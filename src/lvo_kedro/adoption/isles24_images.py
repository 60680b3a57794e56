"""Which images of a subject of ISLES'24 can be used: those that lie on its plain scan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from lvo_kedro.errors import CaseError
from lvo_kedro.imaging.boxes import box_corners, whole_box
from lvo_kedro.imaging.nifti import open_nifti, whole_file

if TYPE_CHECKING:
    from pathlib import Path

    import nibabel as nib

_TOLERANCE_MM: Final = 1.0
"""How far corners of grids may lie apart that are one grid but for rounding."""


class UsableImages:
    """The images of a subject that lie on the plain scan; what does not is missing, with reason.

    Args:
        found: Files by role, as :func:`~lvo_kedro.adoption.isles24_folder.index_folder` names them.
        scan: The plain scan.
    """

    def __init__(self, found: dict[str, Path], scan: nib.Nifti1Image) -> None:
        self.missing: list[str] = []
        """What is not there or cannot be used, and why."""
        self._found, self._scan = found, scan
        self._corners = box_corners(scan.affine, whole_box(scan.shape))
        self.lvo = self._mask("lvo_mask", "lvo-msk")
        """Marker of the occlusion."""
        self.cow = self._mask("cow_mask", "cow-msk")
        """Arteries of the circle of Willis."""
        lesion = self._mask("lesion_mask", "lesion-msk")
        self._lesion = found["lesion_mask"] if lesion is not None else None

    def carried(self) -> dict[str, Path]:
        """Return further images of the case, by column."""
        columns = {} if self._lesion is None else {"infarct": self._lesion}
        for role in ("cta_on_ncct", "cta"):
            if role in self._found:
                return columns | {"cta": self._found[role]}
        self.missing.append("cta")
        return columns

    def _mask(self, role: str, name: str) -> nib.Nifti1Image | None:
        """Open a mask that has to share the scan's grid."""
        if role not in self._found:
            self.missing.append(name)
            return None
        try:
            image = open_nifti(self._found[role], name, by_content=True)
            if image.shape != self._scan.shape:
                words = [" x ".join(map(str, i.shape)) for i in (image, self._scan)]
                self.missing.append(f"{name} ({words[0]} voxels, the scan has {words[1]})")
                return None
            corners = box_corners(image.affine, whole_box(image.shape))
            off = float(np.linalg.norm(corners - self._corners, axis=-1).max())
            if off > _TOLERANCE_MM:
                self.missing.append(f"{name} (its grid lies up to {off:.0f} mm off the scan's)")
                return None
            with whole_file(name):
                np.asanyarray(image.dataobj)
        except CaseError as error:
            self.missing.append(f"{name} ({error.found})")
            return None
        return image
