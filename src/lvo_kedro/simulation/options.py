"""What a simulated scan contains: plain fields with defaults, which a named preset changes.

The defaults of :class:`SimulationOptions` are the ``didactic`` preset. Naming another preset
changes the defaults only: a field that is given always wins.
"""

from __future__ import annotations

from typing import Any, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from lvo_kedro.options import Options
from lvo_kedro.simulation.presets import PRESETS
from lvo_kedro.vocabulary import SegmentClass, Side

Range = tuple[float, float]
"""Lowest and highest value of a uniform draw."""

Orientation = Literal["RAS", "LAS", "LPS", "RPS", "LPI", "RPI", "RAI", "ASR", "SPL", "PIR"]


class SimulationOptions(Options):
    """One scan of one simulated patient. Lengths in mm, densities in HU, angles in degrees."""

    renamed: ClassVar[dict[str, str]] = {
        "spacing": "spacing_mm",
        "slice_thickness": "slice_thickness_mm",
    }

    difficulty: Literal["didactic", "realistic", "hard"] = "didactic"
    """Which preset gives the defaults of the fields below."""

    # What is the case?
    lvo: bool | None = None
    """Whether an artery is occluded; None draws with probability one half."""
    side: Side | None = None
    """Side of the occlusion; None draws."""
    segment: SegmentClass | None = None
    """Occluded segment; None draws."""
    age: float | None = None
    """Years; None draws. Atrophy grows with age within its range."""
    sex: Literal["female", "male"] | None = None
    """None draws. Heads of women are about 3 % smaller."""
    nihss: int | None = None
    """Severity of the deficit, 0 to 42, carried along only; None draws."""
    site: str = "site-a"
    """Name of the scanner's site, carried along only."""
    patient_seed: int | None = None
    """Seed of anatomy, arteries and lesion; None takes the scan's own seed. Two scans of one
    patient have different seeds and one patient seed."""

    # The occlusion
    clot_hu: Range = (62.0, 75.0)
    """Density of the clot."""
    clot_length_mm: Range = (10.0, 20.0)
    """Length of the clot along the artery, cut where the segment is shorter."""
    hypodensity_hu: Range = (4.0, 10.0)
    """Loss of density of grey matter in the affected part of the territory."""
    territory_part: Range = (0.6, 1.0)
    """Part of the segment's territory that is affected (collaterals), as a scale of its size."""
    invisible_infarct: float = Field(default=0.0, ge=0, le=1)
    """Probability that an occlusion has not lowered any density yet."""
    infarct_scatter: float = Field(default=0.0, ge=0, le=1)
    """How far an infarct smaller than its part of the territory may lie from the middle: 0 within
    a few mm, 1 anywhere in it."""
    white_matter_loss: float = Field(default=0.7, ge=0, le=1)
    """Loss of density of white matter relative to grey matter in fresh infarcts."""

    # Anatomy
    deformation_mm: float = Field(default=2.5, ge=0, le=5)
    """Standard deviation of the smooth random displacement along each axis."""
    head_scale: Range = (0.87, 0.94)
    """Size of the head relative to MNI152, whose brain (1.9 l) is larger than most."""
    atrophy: Range = (0.0, 0.6)
    """0: none; 1: wide sulci and ventricles."""
    petalia_mm: Range = (0.0, 0.0)
    """Protrusion of the right frontal and of the left occipital pole, one draw each; negative:
    of the opposite pole."""
    ventricle_asymmetry: float = Field(default=0.0, ge=0, le=0.2)
    """Standard deviation of the relative widening of one lateral ventricle, at the other's cost."""
    sulcal_asymmetry: float = Field(default=0.0, ge=0, le=0.3)
    """Standard deviation, on the scale of ``atrophy``, of how wide sulci are: between the sides,
    from place to place, and twice as much about each Sylvian fissure."""
    skull_asymmetry_mm: float = Field(default=0.0, ge=0, le=1.5)
    """Standard deviation of the vault's thickness: between the sides and from place to place."""
    midline_shift_mm: float = Field(default=0.0, ge=0, le=15)
    """Shift of the midline away from the side of the lesion."""
    haemorrhage_ml: float = Field(default=0.0, ge=0, le=120)
    """Volume of a deep haematoma (65 HU) on the side of the lesion."""
    craniectomy: bool = False
    """Whether the bone over one hemisphere is missing."""

    # Arteries
    blood_hu: Range = (34.0, 44.0)
    """Density of flowing blood, which follows the haematocrit."""
    dense_arteries: float = Field(default=0.1, ge=0, le=1)
    """Probability of arteries that are 5-9 HU denser on both sides."""
    calibre_variation: float = Field(default=0.07, ge=0, le=0.2)
    """Relative standard deviation of all calibres between patients."""
    calibre_asymmetry: float = Field(default=0.05, ge=0, le=0.2)
    """Relative standard deviation of each segment's calibre on each side."""
    veins: float = Field(default=0.0, ge=0, le=1)
    """Probability of each superficial and basal vein on each side; 0 leaves out the venous sinuses
    too, which are always there otherwise. Veins hold the same blood as arteries, unlabelled."""
    vein_asymmetry: float = Field(default=0.0, ge=0, le=0.4)
    """Relative standard deviation of each vein's and sinus's calibre on each side."""
    annotation_width_mm: float = Field(default=5.0, gt=0, le=10)
    """Width at which annotators draw an artery, whatever its calibre."""

    # Distractors, independent of the occlusion
    calcification: float = Field(default=0.3, ge=0, le=1)
    """Probability of wall calcification of the carotid artery, drawn for each side."""
    old_infarct: float = Field(default=0.25, ge=0, le=1)
    """Probability of one or two old infarcts anywhere."""
    mimic: float = Field(default=0.08, ge=0, le=1)
    """Probability of a small fresh infarct without a visible clot, on either side."""
    lesions_anywhere: bool = False
    """Whether old and small fresh infarcts lie anywhere in the brain, border zones and cerebellum
    included, instead of at eight sites and in the MCA territory."""
    lesion_irregularity: float = Field(default=0.0, ge=0, le=0.5)
    """Standard deviation of an infarct's border relative to its radius; 0 makes ellipsoids."""
    lesion_patchiness: float = Field(default=0.0, ge=0, le=0.8)
    """Part of an infarct that is spared, in patches."""

    # Position of the head
    rotation_deg: float = Field(default=8.0, ge=0, le=25)
    """Largest rotation about the body axis and half of it as roll to either side."""
    pitch_deg: float = Field(default=10.0, ge=0, le=25)
    """Largest flexion or extension of the head, which is what gantry tilt does to a scan."""
    off_centre_mm: float = Field(default=20.0, ge=0, le=80)
    """Largest distance of the head's centre from the world's origin, along each axis."""
    gantry_tilt_deg: float = Field(default=0.0, ge=-30, le=30)
    """Tilt of the slices against the table's step: an uncorrected, sheared image."""
    cut_vertex_mm: float = Field(default=0.0, ge=0, le=80)
    """How much of the top of the head is missing."""
    cut_base_mm: float = Field(default=0.0, ge=0, le=80)
    """How much of the usual lower end is missing."""

    # Scanner
    spacing_mm: float = Field(default=1.5, ge=0.3, le=3)
    """Pixel edge (mm) within a slice."""
    slice_thickness_mm: tuple[float, ...] = (1.5, 2.0, 2.5, 3.0, 5.0)
    """Thicknesses (mm; = distances) of slices, of which one is drawn."""
    noise_hu: Range = (2.5, 4.0)
    """Noise of a slice of 2.5 mm; thinner slices are noisier by the square root."""
    kernel: Range = (-0.3, 0.6)
    """Reconstruction kernel: > 0 standard deviation in mm of smoothing, < 0 sharpening gain."""
    shading_hu: float = Field(default=0.6, ge=0, le=5)
    """Standard deviation of slow changes of density across the image."""
    hu_offset: Range = (-1.0, 1.0)
    """Calibration error (HU) of the scanner."""
    interpetrous_hu: Range = (0.0, 0.0)
    """Depth, at its middle, of the dark band of beam hardening between the petrous bones."""
    streak_hu: Range = (0.0, 0.0)
    """Strength of further streaks, dark and bright, at the skull base."""
    cupping_hu: Range = (0.0, 0.0)
    """How much darker the middle of the head is than its rim."""
    beam_asymmetry: float = Field(default=0.0, ge=0, le=0.5)
    """Standard deviation of how much of a band's strength shifts from one side to the other."""
    orientations: tuple[Orientation, ...] = ("LPS", "RAS", "LAS", "RPS", "LPI")
    """Orders and directions of the array axes, of which one is drawn."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if isinstance(values, dict):
            return {**PRESETS.get(values.get("difficulty", "didactic"), {}), **values}
        return values

    @field_validator("slice_thickness_mm")
    @classmethod
    def _plausible_thickness(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if not value or min(value) < 0.5 or max(value) > 10:
            raise ValueError(f"given {value}, expected at least one thickness of 0.5 to 10 mm")
        return value

    @model_validator(mode="after")
    def _ordered_ranges(self) -> SimulationOptions:
        for name in _RANGES:
            low, high = getattr(self, name)
            if low > high:
                raise ValueError(f"{name}: given ({low}, {high}), expected (lowest, highest)")
        return self


_RANGES = tuple(
    name for name, field in SimulationOptions.model_fields.items() if field.annotation == Range
)

OTHER_SCANNER: Final[dict[str, Any]] = {
    "site": "site-b",
    "spacing_mm": 1.4,
    "slice_thickness_mm": (1.25, 2.0, 3.0, 4.0),
    "noise_hu": (3.0, 5.0),
    "kernel": (-0.6, 0.2),
    "hu_offset": (0.5, 3.0),
}
"""What the external site changes by default: sharper, noisier, a little denser."""


class CohortOptions(Options):
    """How many cases of which kind; :func:`~lvo_kedro.simulation.plan_cohort` makes the table."""

    seed: int = 2024
    """Decides everything; the same seed gives the same cohort."""
    development: int = Field(default=48, ge=0)
    """Scans of the development split."""
    external: int = Field(default=24, ge=0)
    """Scans of the external split."""
    development_prevalence: float = Field(default=0.5, ge=0, le=1)
    """Part of the development patients with an occlusion."""
    external_prevalence: float = Field(default=0.35, ge=0, le=1)
    """Part of the external patients with an occlusion."""
    repeat_scans: int = Field(default=2, ge=0)
    """Patients with two scans, in each split."""
    vessel_labels: float = Field(default=0.7, ge=0, le=1)
    """Part of the development scans whose vessels are annotated."""
    external_vessel_labels: float = Field(default=1.0, ge=0, le=1)
    """Part of the external scans whose vessels are annotated (only ever tested on)."""
    occlusion_masks: float = Field(default=0.9, ge=0, le=1)
    """Part of the scans with an occlusion whose clot is annotated."""
    cta: float = Field(default=0.0, ge=0, le=1)
    """Part of the scans that come with an angiography."""
    simulation: SimulationOptions = SimulationOptions()
    """The development scanner and patients."""
    external_changes: dict[str, Any] = Field(default_factory=lambda: dict(OTHER_SCANNER))
    """Fields of ``simulation`` in which the external site differs."""

    @property
    def external_simulation(self) -> SimulationOptions:
        """Options of the external scanner: ``simulation`` with ``external_changes``."""
        given = self.simulation.model_dump(exclude_unset=True)
        return SimulationOptions(**{**given, **self.external_changes})
