"""The CT angiography that a patient gets minutes after the plain scan, with what is known of it.

The same head, moved a little, in another field of view. Contrast fills the arteries up to the clot;
beyond it, what the collaterals bring, or nothing; the veins have begun to fill. Attenuations are
those of adults at 120 kV (Bae 2010, Radiology 256).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
from nibabel.affines import apply_affine
from pydantic import Field
from scipy.spatial.transform import Rotation

from lvo_kedro.options import Options
from lvo_kedro.simulation import scanner
from lvo_kedro.simulation.arteries import Artery, downstream
from lvo_kedro.simulation.case import Scene, draw_scene, render_scene, seeded_streams
from lvo_kedro.simulation.head import HeadMap
from lvo_kedro.simulation.options import Range, SimulationOptions

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.simulation.veins import Vein

_STREAM: Final = 101
"""Part of the angiography's seed, apart from the streams of the plain scan."""


class CtaOptions(Options):
    """How the angiography differs from the plain scan. Lengths in mm, densities in HU."""

    arterial_hu: Range = (250.0, 400.0)
    """Density of contrast-filled arteries."""
    collaterals: Range = (0.3, 0.9)
    """Enhancement beyond a clot, filled backwards, as part of the arteries'."""
    no_collaterals: float = Field(default=0.3, ge=0, le=1)
    """Probability that nothing beyond the clot is filled at all."""
    venous: Range = (0.0, 0.4)
    """Enhancement of the veins as part of the arteries'."""
    movement_mm: float = Field(default=4.0, ge=0, le=30)
    """Largest movement of the head between the scans, along each axis."""
    movement_deg: float = Field(default=4.0, ge=0, le=30)
    """Largest rotation of the head between the scans, about each axis."""
    spacing_mm: float = Field(default=0.8, ge=0.3, le=3)
    """Pixel edge within a slice."""
    slice_thickness_mm: float = Field(default=1.0, ge=0.3, le=3)
    """Thickness and distance of slices."""
    cut_vertex_mm: Range = (0.0, 40.0)
    """How much of the top of the head is missing."""
    noise_hu: Range = (5.0, 9.0)
    """Noise of a slice of 2.5 mm; thinner slices are noisier by the square root."""


@dataclass(frozen=True)
class SimulatedCta:
    """An angiography and how its head lies against that of the plain scan."""

    cta: nib.Nifti1Image
    """int16 HU, in its own pose, grid and array order."""
    movement: NDArray[np.float64]
    """4 x 4, world of the plain scan (mm) to world of the angiography."""
    arterial_hu: float
    """Density of the filled arteries."""
    collaterals: float
    """Enhancement beyond the clot as part of that of open arteries; 1 without a clot."""


def simulate_cta(
    seed: int,
    options: SimulationOptions = SimulationOptions(),
    cta: CtaOptions = CtaOptions(),
) -> SimulatedCta:
    """Simulate the angiography that goes with :func:`~lvo_kedro.simulation.simulate_case`.

    Args:
        seed: That of the plain scan: the same patient, the same clot.
        options: Those of the plain scan.
        cta: What differs.

    Returns:
        An angiography of the same head. Vessel labels and clot of the plain scan are its truth,
        once it has been moved back.

    Examples:
        >>> from lvo_kedro.simulation import SimulationOptions
        >>> stroke = SimulationOptions(lvo=True, side="left", segment="M1")
        >>> found = simulate_cta(7, stroke, CtaOptions(spacing_mm=3.0, slice_thickness_mm=3.0))
        >>> int(found.cta.get_fdata().max()) > 300
        True
    """
    rng = np.random.default_rng([seed, _STREAM])
    scene = draw_scene(seeded_streams(seed, options.patient_seed), options)
    movement = _draw_movement(rng, cta)
    arterial = rng.uniform(*cta.arterial_hu)
    beyond = 0.0 if rng.random() < cta.no_collaterals else rng.uniform(*cta.collaterals)
    beyond = beyond if scene.patient.lvo else 1.0
    venous = rng.uniform(*cta.venous)
    moved = scene._replace(
        head=HeadMap(scene.head.pose @ np.linalg.inv(movement), scene.head.displacement),
        arteries=[_fill(a, scene, movement, arterial, beyond) for a in scene.arteries],
        veins=[_fill_vein(v, movement, venous * arterial) for v in scene.veins],
        plaques=[replace(p, centre=apply_affine(movement, p.centre)) for p in scene.plaques],
    )
    scan = _scan_options(rng, options, cta)
    grid = scanner.draw_grid(rng, moved.head, scan)
    orientation = rng.choice(np.array(options.orientations))
    stored = scanner.scan(rng, rng, render_scene(moved, grid), grid, scan)
    return SimulatedCta(scanner.orient(stored, grid, orientation), movement, arterial, beyond)


def _scan_options(
    rng: np.random.Generator, options: SimulationOptions, cta: CtaOptions
) -> SimulationOptions:
    changes = {
        "spacing_mm": cta.spacing_mm,
        "slice_thickness_mm": (cta.slice_thickness_mm,),
        "noise_hu": cta.noise_hu,
        "cut_vertex_mm": float(rng.uniform(*cta.cut_vertex_mm)),
        "cut_base_mm": 0.0,
        "gantry_tilt_deg": 0.0,
    }
    return SimulationOptions(**{**options.model_dump(), **changes})


def _draw_movement(rng: np.random.Generator, cta: CtaOptions) -> NDArray[np.float64]:
    turn = rng.uniform(-1, 1, 3) * cta.movement_deg
    movement = np.eye(4)
    movement[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix()
    movement[:3, 3] = rng.uniform(-1, 1, 3) * cta.movement_mm
    return movement


def _fill(
    artery: Artery, scene: Scene, movement: NDArray[np.float64], arterial: float, beyond: float
) -> Artery:
    """Fill the lumen with contrast: all of it before the clot, ``beyond`` of it after, none in it.

    The anterior cerebral artery beside an occluded carotid is filled from the other side.
    """
    clots = [other.name for other in scene.arteries if other.occluded.any()]
    behind = artery.side == scene.patient.side and any(
        artery.name in downstream(clot) for clot in clots
    )
    part = np.full(len(artery.points), beyond if behind else 1.0)
    if artery.occluded.any():
        part[np.argmax(artery.occluded) :] = beyond
    density = artery.density + part * (arterial - artery.density)
    return replace(
        artery,
        points=apply_affine(movement, artery.points),
        density=np.where(artery.occluded, artery.density, density),
    )


def _fill_vein(vein: Vein, movement: NDArray[np.float64], hu: float) -> Vein:
    return replace(vein, points=apply_affine(movement, vein.points), hu=max(vein.hu, hu))
