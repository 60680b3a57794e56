"""One simulated case, from seed and options to scan and ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np
from scipy import ndimage

from lvo_kedro.simulation import arteries as vessel_tree
from lvo_kedro.simulation import lesions, scanner, template
from lvo_kedro.simulation.head import HeadMap, draw_head_map
from lvo_kedro.simulation.options import SimulationOptions
from lvo_kedro.vocabulary import HEMISPHERES, SEGMENT_CLASSES, Segment, SegmentClass, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.arteries import Artery

_STREAMS: Final = (
    "patient", "anatomy", "arteries", "distractors", "lesion", "pose", "scanner", "noise",
)  # fmt: skip
_OF_THE_PATIENT: Final = ("patient", "anatomy", "arteries", "distractors", "lesion")


@dataclass(frozen=True)
class SimulatedCase:
    """A scan and its truth. All images share the scan's grid and array order."""

    ncct: nib.Nifti1Image
    """int16 HU."""
    vessel_labels: nib.Nifti1Image
    """uint8, :data:`~lvo_kedro.vocabulary.VESSEL_LABELS`, about 5 mm wide as annotators draw."""
    occlusion_mask: nib.Nifti1Image
    """uint8, the clot's part of the vessel labels (1 C7, 2 M1, 3 M2); empty without LVO."""
    brain_mask: nib.Nifti1Image
    """uint8."""
    hemispheres: nib.Nifti1Image
    """uint8, 1 patient's left, 2 right, within the brain."""
    infarct_mask: nib.Nifti1Image
    """uint8, where the occlusion's fresh infarct has at least half its loss of density."""
    territory_probability: nib.Nifti1Image
    """float32, 0 to 1, both sides, within the brain; the simulator's own territory."""
    lvo: bool
    side: Side | None
    segment: SegmentClass | None
    age: float
    sex: str
    nihss: int
    site: str
    slice_thickness: float
    """mm"""
    hypodensity_hu: float
    """Loss of density in the fresh infarct of the occlusion; 0 without one."""
    head: HeadMap
    """Maps the scan's world to MNI152: the truth that a registration looks for."""
    arteries: tuple[Artery, ...]
    """Centre-lines in world mm with calibre and density."""


class _Patient(NamedTuple):
    lvo: bool
    side: Side
    """Side of the lesion, drawn without an occlusion as well."""
    segment: SegmentClass
    age: float
    sex: str
    nihss: int


def _streams(seed: int, patient_seed: int | None) -> dict[str, np.random.Generator]:
    """One random stream per subject, so that a change in one shifts no other."""
    of_patient = seed if patient_seed is None else patient_seed
    return {
        name: np.random.default_rng([of_patient if name in _OF_THE_PATIENT else seed, number])
        for number, name in enumerate(_STREAMS)
    }


def _draw_patient(rng: np.random.Generator, options: SimulationOptions) -> _Patient:
    drawn_lvo, drawn_side = rng.random() < 0.5, rng.random() < 0.5
    segment = SEGMENT_CLASSES[int(rng.integers(len(SEGMENT_CLASSES)))]
    age, sex = float(np.clip(rng.normal(71, 12), 25, 97)), rng.random() < 0.5
    lvo = drawn_lvo if options.lvo is None else options.lvo
    severity = rng.gamma(5.0, 3.0) if lvo else rng.gamma(2.0, 2.0)
    return _Patient(
        lvo=bool(lvo),
        side=options.side or ("left" if drawn_side else "right"),
        segment=options.segment or segment,
        age=round(age) if options.age is None else options.age,
        sex=options.sex or ("female" if sex else "male"),
        nihss=int(np.clip(round(severity), 0, 42)) if options.nihss is None else options.nihss,
    )


def simulate_case(
    seed: int,
    options: SimulationOptions = SimulationOptions(),
) -> SimulatedCase:
    """Simulate one non-contrast head CT with its ground truth.

    Args:
        seed: Decides everything that ``options`` leaves open; the same seed and options give the
            same bytes.
        options: What the case contains and how it is scanned.

    Returns:
        The scan in its scanner's own pose, array order and slice thickness.

    Examples:
        >>> options = SimulationOptions(
        ...     lvo=True, side="left", segment="M1", spacing_mm=2.0, slice_thickness_mm=(5.0,)
        ... )
        >>> case = simulate_case(7, options)
        >>> case.ncct.ndim
        3
        >>> case.occlusion_mask.shape == case.ncct.shape
        True
    """
    streams = _streams(seed, options.patient_seed)
    patient = _draw_patient(streams["patient"], options)
    head, atrophy = _draw_head(streams, patient, options)
    vessels = vessel_tree.draw_arteries(streams["arteries"], head, options)
    zones, plaques = _draw_distractors(streams["distractors"], vessels, patient, options)
    vessels, ischaemia = _draw_occlusion(streams["lesion"], vessels, patient, options)
    grid = scanner.draw_grid(streams["scanner"], head, options)
    orientation = streams["scanner"].choice(np.array(options.orientations))
    planes, count = scanner.split_slices(grid)
    opened = patient.side if options.craniectomy else None
    hu = _render_tissue(head, planes, zones + ischaemia, atrophy, opened)
    vessel_tree.paint_arteries(hu, planes, vessels)
    _paint_plaques(hu, planes, plaques)
    hu = scanner.average_planes(hu, count)
    stored = scanner.scan(streams["scanner"], streams["noise"], hu, grid, options)
    truth = _truth(head, grid, ischaemia)
    width = options.annotation_width_mm
    truth["vessel_labels"] = vessel_tree.label_arteries(grid, vessels, width)
    truth["occlusion_mask"] = vessel_tree.label_clot(grid, vessels, width)
    images = {n: scanner.orient(d, grid, orientation) for n, d in {"ncct": stored, **truth}.items()}
    return SimulatedCase(
        **images,
        lvo=patient.lvo,
        side=patient.side if patient.lvo else None,
        segment=patient.segment if patient.lvo else None,
        age=patient.age,
        sex=patient.sex,
        nihss=patient.nihss,
        site=options.site,
        slice_thickness=grid.spacing[2],
        hypodensity_hu=ischaemia[0].hu if ischaemia else 0.0,
        head=head,
        arteries=tuple(vessels),
    )


def _draw_head(
    streams: dict[str, np.random.Generator], patient: _Patient, options: SimulationOptions
) -> tuple[HeadMap, float]:
    rng = streams["anatomy"]
    scale = rng.uniform(*options.head_scale) * (0.985 if patient.sex == "female" else 1.015)
    low, high = options.atrophy
    ageing = np.clip((patient.age - 40) / 50, 0, 1)
    atrophy = low + (high - low) * float(np.clip(ageing + 0.15 * rng.standard_normal(), 0, 1))
    away = 1.0 if patient.side == "left" else -1.0
    head = draw_head_map(
        rng,
        streams["pose"],
        options,
        scale=scale,
        atrophy=atrophy,
        shift_mm=away * options.midline_shift_mm,
    )
    return head, atrophy


def _draw_distractors(
    rng: np.random.Generator, vessels: list[Artery], patient: _Patient, options: SimulationOptions
) -> tuple[list[lesions.Zone], list[lesions.Calcification]]:
    zones = lesions.draw_distractors(rng, options)
    if options.haemorrhage_ml > 0:
        zones.append(lesions.haematoma(patient.side, options.haemorrhage_ml))
    return zones, lesions.draw_calcifications(rng, vessels, options)


def _draw_occlusion(
    rng: np.random.Generator, vessels: list[Artery], patient: _Patient, options: SimulationOptions
) -> tuple[list[Artery], list[lesions.Zone]]:
    if not patient.lvo:
        return vessels, []
    segments = cast("tuple[Segment, ...]", tuple(patient.segment.split("+")))
    vessels, branch = vessel_tree.occlude(vessels, rng, patient.side, segments, options)
    return vessels, lesions.draw_ischaemia(rng, patient.side, patient.segment, branch, options)


def _sample(
    values: NDArray[np.float32], index: NDArray[np.float32], fill: float = 0.0
) -> NDArray[np.float32]:
    """Interpolate linearly at template indices (..., 3)."""
    coordinates = np.moveaxis(index, -1, 0)
    if np.isnan(fill):
        return ndimage.map_coordinates(values, coordinates, order=1, mode="nearest")
    return ndimage.map_coordinates(values, coordinates, order=1, mode="constant", cval=fill)


def _render_tissue(
    head: HeadMap,
    grid: Grid,
    zones: list[lesions.Zone],
    atrophy: float,
    opened: Side | None,
) -> NDArray[np.float32]:
    """Return true densities (X, Y, Z; HU) of everything but arteries and plaques."""
    maps = template.load_head_template()
    mni = head.on_grid(grid)
    hu = _sample(maps.surroundings, mni - maps.origin, fill=np.nan)
    if opened:
        _open_skull(hu, mni, opened)
    inside = np.abs(hu - template.CSF_HU) < 25  # the rest holds no brain: two thirds of the work
    mni = mni[inside]
    grey, white = _sample(maps.grey, mni - maps.origin), _sample(maps.white, mni - maps.origin)
    tissue = np.maximum(grey + white, 1e-3)
    least = 0.45 * atrophy
    kept = np.clip((tissue - least) / (1 - least), 0, 1) / tissue
    grey, white = grey * kept, white * kept
    values = grey * template.GREY_HU + white * template.WHITE_HU + (1 - grey - white) * hu[inside]
    for zone in zones:
        weight = zone.weight(mni)
        if zone.kind == "loss":
            values -= weight * zone.hu * (grey + 0.7 * white)
        else:
            values += weight * (zone.hu - values)
    hu[inside] = values
    return hu


def _open_skull(hu: NDArray[np.float32], mni: NDArray[np.float32], side: Side) -> None:
    x = -65.0 if side == "left" else 65.0
    window = lesions.Zone((x, -5.0, 38.0), (45.0, 62.0, 42.0), "fill", 0.0).weight(mni) > 0.5
    hu[window & (hu > 120)] = template.SOFT_TISSUE_HU


def _paint_plaques(
    hu: NDArray[np.float32], grid: Grid, plaques: list[lesions.Calcification]
) -> None:
    edge = float(np.mean(grid.spacing))
    for plaque in plaques:
        index, distance, _ = vessel_tree.near_points(
            grid, plaque.centre[None], plaque.radius + edge
        )
        share = np.clip((plaque.radius - distance) / edge + 0.5, 0, 1)
        hu[index] += share * (plaque.hu - hu[index])


def _truth(
    head: HeadMap, grid: Grid, ischaemia: list[lesions.Zone]
) -> dict[str, NDArray[np.generic]]:
    """Return what is known of the brain on the scan's grid, as (X, Y, Z) arrays."""
    maps = template.load_head_template()
    mni = head.on_grid(grid)
    brain = _sample(maps.brain, mni - maps.origin) > 0.5
    sides = np.where(mni[..., 0] < 0, HEMISPHERES["left"], HEMISPHERES["right"])
    territory = np.zeros(grid.shape, np.float32)
    territory[brain] = lesions.mca_territory(mni[brain])
    infarct = np.zeros(grid.shape, np.uint8)
    if ischaemia:
        weights = lesions.join_weights([zone.weight(mni[brain]) for zone in ischaemia])
        infarct[brain] = weights > 0.5
    return {
        "brain_mask": brain.astype(np.uint8),
        "hemispheres": np.where(brain, sides, 0).astype(np.uint8),
        "infarct_mask": infarct,
        "territory_probability": territory,
    }
