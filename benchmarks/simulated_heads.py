"""The picture of simulated heads in docs/simulation.md: ``docs/images/simulated.png``.

python benchmarks/simulated_heads.py [--file docs/images/simulated.png]
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from lvo_kedro.imaging.geometry import make_image
from lvo_kedro.imaging.planes import level_of, view_of
from lvo_kedro.reporting.slices import name_outlines, outline, shade, show_scan
from lvo_kedro.reporting.style import GREEN, MUTED, ORANGE, PURPLE, SKY, VERMILION, style
from lvo_kedro.simulation import SimulationOptions, simulate_case
from lvo_kedro.vocabulary import VESSEL_LABELS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from nibabel.nifti1 import Nifti1Image

    from lvo_kedro.simulation import SimulatedCase

CASES = ((7, "left", "M1", 1.5), (11, "right", "C7+M1", 3.0), (5, "left", "M2", 2.0))
"""Seed, side, segment and slice thickness (mm)."""
COLOURS = {"C7": GREEN, "M1": SKY, "M2": PURPLE}
BONE_WINDOW = (-500.0, 1500.0)
TITLES = ("Through the clot", "Arteries", "Fresh infarct", "Coronal", "Coronal, bone")


def main() -> None:
    """Simulate three heads, one per row, and draw them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--file", type=Path, default=Path("docs/images/simulated.png"))
    arguments = parser.parse_args()
    with style():
        figure = Figure(figsize=(12.5, 9.4), layout="constrained")
        grid = figure.subplots(len(CASES), len(TITLES), squeeze=False)
        for row, (seed, side, segment, thickness) in zip(grid, CASES, strict=True):
            options = SimulationOptions(
                lvo=True, side=side, segment=segment, slice_thickness_mm=(thickness,)
            )
            draw(row, simulate_case(seed, options))
            row[0].set_ylabel(f"{side} {segment}, {thickness:g} mm", color=MUTED)
        for axes, title in zip(grid[0], TITLES, strict=True):
            axes.set_title(title, color=MUTED, size=8.5, weight="normal")
        name_outlines(grid[0, 1], below=grid[-1, 1])
        name_outlines(grid[0, 2], below=grid[-1, 2])
        figure.savefig(arguments.file, dpi=100, metadata={"Software": None})


def draw(row: list[Axes], case: SimulatedCase) -> None:
    """One head in five panels."""
    through = view_of(case.ncct, at=level_of(case.occlusion_mask))
    for axes in row[:2]:
        show_scan(axes, case.ncct, through)
    for name, colour in COLOURS.items():
        shade(row[1], part(case.vessel_labels, VESSEL_LABELS[name]), through, colour, name)
    outline(row[1], case.occlusion_mask, through, VERMILION, "clot")
    infarct = view_of(case.ncct, at=level_of(case.infarct_mask))
    show_scan(row[2], case.ncct, infarct)
    outline(row[2], case.infarct_mask, infarct, ORANGE, "infarct")
    clot = view_of(case.occlusion_mask, "coronal", marked_only=True)
    coronal = view_of(case.ncct, "coronal", at=clot.at)
    show_scan(row[3], case.ncct, coronal)
    show_scan(row[4], case.ncct, coronal, BONE_WINDOW)


def part(labels: Nifti1Image, value: int) -> Nifti1Image:
    """The voxels of one label."""
    return make_image(np.asarray(labels.dataobj) == value, labels.affine)


if __name__ == "__main__":
    main()
