"""One simulated case, from seed and options to scan and ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple, cast

import numpy as np

from lvo_kedro.simulation import arteries as vessel_tree
from lvo_kedro.simulation import lesions, scanner, tissue
from lvo_kedro.simulation.asymmetry import Asymmetry, draw_asymmetry
from lvo_kedro.simulation.beam_hardening import draw_beam_hardening
from lvo_kedro.simulation.head import HeadMap, draw_head_map
from lvo_kedro.simulation.options import SimulationOptions
from lvo_kedro.simulation.veins import Vein, draw_veins, paint_veins
from lvo_kedro.vocabulary import SEGMENT_CLASSES, Segment, SegmentClass, Side

if TYPE_CHECKING:
    import nibabel as nib
    from numpy.typing import NDArray

    from lvo_kedro.imaging.geometry import Grid
    from lvo_kedro.simulation.arteries import Artery
    from lvo_kedro.simulation.zones import Zone

_STREAMS: Final = (
    "patient", "anatomy", "arteries", "distractors", "lesion", "pose", "scanner", "noise",
    "asymmetry", "veins", "distractor shape", "lesion shape", "beam hardening",
)  # fmt: skip
"""A stream's place in this list is part of its seed: new ones go to the end."""
_OF_THE_SCAN: Final = ("pose", "scanner", "noise", "beam hardening")


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
    """Loss of density in the fresh infarct of the occlusion; 0 if there is none to be seen."""
    head: HeadMap
    """Maps the scan's world to MNI152: the truth that a registration looks for."""
    arteries: tuple[Artery, ...]
    """Centre-lines in world mm with calibre and density."""
    veins: tuple[Vein, ...]
    """Likewise; never part of the vessel labels."""


_Streams = dict[str, np.random.Generator]


class _Patient(NamedTuple):
    lvo: bool
    side: Side
    """Side of the lesion, drawn without an occlusion as well."""
    segment: SegmentClass
    age: float
    sex: str
    nihss: int


class Scene(NamedTuple):
    """What lies before the scanner: a patient's head, whichever scan is made of it."""

    patient: _Patient
    head: HeadMap
    atrophy: float
    asymmetry: Asymmetry | None
    zones: list[Zone]
    """What is wrong with the brain beside the occlusion's fresh infarct."""
    ischaemia: list[Zone]
    arteries: list[Artery]
    veins: list[Vein]
    plaques: list[lesions.Calcification]
    opened: Side | None
    """Side over which the skull is missing."""


def seeded_streams(seed: int, patient_seed: int | None) -> _Streams:
    """One random stream per subject, so that a change in one shifts no other."""
    of_patient = seed if patient_seed is None else patient_seed
    return {
        name: np.random.default_rng([seed if name in _OF_THE_SCAN else of_patient, number])
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
    streams = seeded_streams(seed, options.patient_seed)
    scene = draw_scene(streams, options)
    patient, ischaemia = scene.patient, scene.ischaemia
    grid = scanner.draw_grid(streams["scanner"], scene.head, options)
    orientation = streams["scanner"].choice(np.array(options.orientations))
    hu = render_scene(scene, grid)
    mni = scene.head.on_grid(grid)
    if hardening := draw_beam_hardening(streams["beam hardening"], options):
        hardening.add_to(hu, mni)
    stored = scanner.scan(streams["scanner"], streams["noise"], hu, grid, options)
    truth = tissue.known_truth(mni, ischaemia)
    width = options.annotation_width_mm
    truth["vessel_labels"] = vessel_tree.label_arteries(grid, scene.arteries, width)
    truth["occlusion_mask"] = vessel_tree.label_clot(grid, scene.arteries, width)
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
        head=scene.head,
        arteries=tuple(scene.arteries),
        veins=tuple(scene.veins),
    )


def draw_scene(streams: _Streams, options: SimulationOptions) -> Scene:
    """Draw everything about a patient that no scanner changes."""
    patient = _draw_patient(streams["patient"], options)
    asymmetry = draw_asymmetry(streams["asymmetry"], options)
    head, atrophy = _draw_head(streams, patient, asymmetry, options)
    vessels = vessel_tree.draw_arteries(streams["arteries"], head, options)
    veins = draw_veins(streams["veins"], head, float(vessels[0].density[0]), options)
    zones, plaques = _draw_distractors(streams, vessels, patient, options)
    vessels, ischaemia = _draw_occlusion(streams, vessels, patient, options)
    opened = patient.side if options.craniectomy else None
    return Scene(
        patient, head, atrophy, asymmetry, zones, ischaemia, vessels, veins, plaques, opened
    )


def render_scene(scene: Scene, grid: Grid) -> NDArray[np.float32]:
    """Return the true densities (X, Y, Z; HU) in the voxels of ``grid``."""
    planes, count = scanner.split_slices(grid)
    hu = tissue.render_tissue(
        scene.head,
        planes,
        scene.zones + scene.ischaemia,
        atrophy=scene.atrophy,
        opened=scene.opened,
        asymmetry=scene.asymmetry,
    )
    paint_veins(hu, planes, scene.veins)
    vessel_tree.paint_arteries(hu, planes, scene.arteries)
    tissue.paint_plaques(hu, planes, scene.plaques)
    return scanner.average_planes(hu, count)


def _draw_head(
    streams: _Streams,
    patient: _Patient,
    asymmetry: Asymmetry | None,
    options: SimulationOptions,
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
        asymmetry=asymmetry,
    )
    return head, atrophy


def _draw_distractors(
    streams: _Streams, vessels: list[Artery], patient: _Patient, options: SimulationOptions
) -> tuple[list[Zone], list[lesions.Calcification]]:
    rng = streams["distractors"]
    zones = lesions.draw_distractors(rng, streams["distractor shape"], options)
    if options.haemorrhage_ml > 0:
        zones.append(lesions.haematoma(patient.side, options.haemorrhage_ml))
    return zones, lesions.draw_calcifications(rng, vessels, options)


def _draw_occlusion(
    streams: _Streams, vessels: list[Artery], patient: _Patient, options: SimulationOptions
) -> tuple[list[Artery], list[Zone]]:
    if not patient.lvo:
        return vessels, []
    segments = cast("tuple[Segment, ...]", tuple(patient.segment.split("+")))
    rng = streams["lesion"]
    vessels, branch = vessel_tree.occlude(vessels, rng, patient.side, segments, options)
    infarct = lesions.draw_ischaemia(
        rng,
        streams["lesion shape"],
        options,
        side=patient.side,
        segment=patient.segment,
        branch=branch,
    )
    return vessels, infarct
