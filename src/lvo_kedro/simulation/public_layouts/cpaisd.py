"""Simulated patients in the layout of CPAISD: a folder for each slice, its mask an array."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from lvo_kedro.simulation.case import simulate_case
from lvo_kedro.simulation.export_series import Series, uid
from lvo_kedro.simulation.options import Orientation, SimulationOptions
from lvo_kedro.simulation.public_layouts.mark import mark_simulated

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lvo_kedro.vocabulary import Side

Quirk = Literal[
    "no core", "no mask", "another value", "mirrored planes", "mask of another shape", "objects"
]
"""What is odd about a study's files."""
_WINDOW_HU = (-40.0, 120.0)
"""Of the densities that ``image.npz`` holds, scaled to 0 to 1."""


@dataclass(frozen=True)
class CpaisdStudy:
    """One simulated study: what is true, and what is odd about its files."""

    number: int
    side: Side
    part: Literal["train", "val", "test"] = "train"
    quirks: frozenset[Quirk] = frozenset()
    orientation: Orientation = "LPS"
    """Order of the arrays' axes; the third has to be that of the slices."""


def write_cpaisd(
    folder: Path, studies: Sequence[CpaisdStudy], *, seed: int = 0, spacing_mm: float = 2.0
) -> pd.DataFrame:
    """Write simulated studies as CPAISD lays them out.

    Args:
        folder: A new or empty one.
        studies: What to write.
        seed: Decides everything else.
        spacing_mm: Pixel edge; coarse, so that it is quick.

    Returns:
        The truth, a row per study: study, part, side, core_ml.
    """
    truth = []
    for study in studies:
        options = SimulationOptions(
            lvo=True,
            side=study.side,
            segment="M1",
            orientations=(study.orientation,),
            spacing_mm=spacing_mm,
            slice_thickness_mm=(5.0,),
            hypodensity_hu=(8.0, 10.0),
        )
        case = simulate_case(seed + study.number, options)
        core = np.asarray(case.infarct_mask.dataobj) > 0
        core &= "no core" not in study.quirks
        ml = float(np.abs(np.linalg.det(case.ncct.affine[:3, :3]))) / 1000
        name = str(uid("cpaisd", seed + study.number))
        own = folder / study.part / name
        header = {"StudyInstanceUID": name, "FrameOfReferenceUID": uid("cpaisd frame", name)}
        hu = np.asarray(case.ncct.dataobj, dtype=np.float32)
        fields = {"ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"], "ConvolutionKernel": "SOFT"}
        series = Series(2, "Head", np.rint(hu), case.ncct.affine, header, fields=fields)
        for k, file in enumerate(series.files()):
            place = own / str(file.SOPInstanceUID)
            place.mkdir(parents=True)
            file.save_as(place / "raw.dcm", enforce_file_format=True)
            _write_planes(place, hu[:, :, k].T, core[:, :, k].T, study.quirks, last=k == 0)
        (own / "metadata.json").write_text(json.dumps({"age": case.age, "nihss": case.nihss}))
        truth.append(
            {"study": name, "part": study.part, "side": study.side, "core_ml": core.sum() * ml}
        )
    mark_simulated(folder)
    return pd.DataFrame(truth)


def _write_planes(
    place: Path,
    hu: np.ndarray,
    core: np.ndarray,
    quirks: frozenset[Quirk],
    *,
    last: bool,
) -> None:
    """Write image and mask of a slice, both (rows, columns)."""
    low, high = _WINDOW_HU
    image = np.clip((hu - low) / (high - low), 0, 1).astype(np.float32)
    mask = core.astype(np.uint8)
    penumbra = np.roll(core, 3, axis=0) & ~core
    mask[penumbra] = 2
    if "mirrored planes" in quirks:
        image, mask = image[:, ::-1], mask[:, ::-1]
    if "another value" in quirks:
        mask = np.where(mask == 2, 7, mask)
    if "mask of another shape" in quirks:
        mask = mask[:-2]
    np.savez_compressed(place / "image.npz", image)
    if "objects" in quirks:
        np.savez_compressed(place / "mask.npz", np.array([mask, "text"], dtype=object))
    elif not ("no mask" in quirks and last):
        np.savez_compressed(place / "mask.npz", mask)
    (place / "metadata.json").write_text(json.dumps({"core": bool(core.any())}))
