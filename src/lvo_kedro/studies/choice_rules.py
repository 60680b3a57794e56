"""The table of points by which a series is chosen: what headers say, and what pixels say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lvo_kedro.options import Options
from lvo_kedro.studies.stacks import MIN_SLICES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lvo_kedro.studies.candidates import Candidate

Role = Literal["ncct", "cta"]
ROLES: Final[tuple[Role, ...]] = ("ncct", "cta")
NEVER: Final = -1000.0
"""Points of what cannot be the scan, whatever else speaks for it."""
UNREADABLE: Final = "cannot be read"
"""How the reason begins of a series that cannot be used, although it is good enough."""
Look = dict[str, Any]
"""What pixels say: :func:`~lvo_kedro.imaging.measure_scan`'s numbers, or ``unreadable``."""


class ChoiceOptions(Options):
    """When a series is chosen without a person."""

    margin: float = 5.0
    """Points by which a series must lead the next one; below, a person decides."""
    min_ncct: float = 10.0
    """Points that a plain scan must have."""
    min_cta: float = 35.0
    """Points that an angiography must have."""
    look_at_pixels: bool = True
    """Whether pixels are looked at; without, ties are left to a person."""
    max_looks: int = 4
    """At most so many series of a study are read to choose one."""
    filled_mm: float = 30.0
    """Length of arteries as bright as contrast medium from which on they are filled."""
    refused_turned_deg: float = 60.0
    """A head that lies turned by more in its axes: its sides are not what the header says."""
    bone_noise_hu: float = 25.0
    """Noise from which on a kernel is taken for one for bone."""

    def least(self, role: Role) -> float:
        """Return the points that a role asks for."""
        return self.min_ncct if role == "ncct" else self.min_cta


class Rule(NamedTuple):
    """One line of the table: points for the plain scan and for the angiography, and why."""

    ncct: float
    cta: float
    words: str
    applies: Callable[[Candidate], bool]


def _says(*words: str) -> Callable[[Candidate], bool]:
    return lambda c: bool(c.words & set(words))


def _among(low: float, high: float, name: str) -> Callable[[Candidate], bool]:
    """Low < value <= high."""
    return lambda c: low < getattr(c, name) <= high


def _of_head(c: Candidate) -> bool:
    return "head" in c.words or ("head" in c.context and "body" not in c.words)


def _of_body(c: Candidate) -> bool:
    return ("body" in c.words and "head" not in c.words) or (
        "body" in c.context and not {"head", "neck"} & (c.words | c.context)
    )


def _fast(c: Candidate) -> bool:
    return c.images >= 1.9 * max(c.slices, 1)


RULES: Final[tuple[Rule, ...]] = (
    Rule(NEVER, NEVER, "not CT", lambda c: c.form.get("Modality") != "CT"),
    Rule(
        NEVER,
        NEVER,
        "a scout image",
        lambda c: bool(c.kinds & {"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW"}),
    ),
    Rule(
        NEVER, NEVER, "every image may hold words that identify the patient",
        lambda c: bool(c.refused) and all(f.problem for f in c.files),
    ),
    Rule(NEVER, NEVER, f"fewer than {MIN_SLICES} slices", lambda c: c.slices < MIN_SLICES),
    Rule(NEVER, NEVER, "slices without a place", lambda c: not c.plane and c.slices >= MIN_SLICES),
    Rule(-60, -60, "called a report, a monitoring or a result", _says("report")),
    Rule(-60, -60, "called a scout", _says("scout")),
    Rule(-60, -60, "called a drawing, not a scan", _says("drawn")),
    Rule(-60, -60, "called a projection or rendering", _says("mip")),
    Rule(
        -60, -60, "a projection (image type)",
        lambda c: bool(c.kinds & {"MIP", "MINIP", "PROJECTION", "VRT", "3D", "CSA"}) and
        "AXIAL" not in c.kinds,
    ),
    Rule(-60, -60, "called a perfusion", _says("perfusion")),
    Rule(-60, -60, "the same places again and again", _fast),
    Rule(-40, -40, "slices are not axial", lambda c: c.plane in ("coronal", "sagittal")),
    Rule(
        -10, -10, "called coronal or sagittal",
        lambda c: "reformat" in c.words and c.plane == "axial",
    ),
    Rule(20, -60, "called plain", _says("plain")),
    Rule(
        -45, -15, "called contrast-enhanced",
        lambda c: "contrast" in c.words and not {"plain", "angio"} & c.words,
    ),
    Rule(-45, 40, "called an angiography", lambda c: "angio" in c.words and "plain" not in c.words),
    Rule(-20, -20, "called late or venous", _says("delayed")),
    Rule(
        -40, 12, "a contrast agent is named",
        lambda c: c.names_contrast and "plain" not in c.words,
    ),
    Rule(
        -12, 12, "a contrast agent is named, although called plain",
        lambda c: c.names_contrast and "plain" in c.words,
    ),
    Rule(
        -35, -15, "for bone (kernel or name)",
        lambda c: c.kernel == "bone" or ("bone" in c.words and c.kernel != "soft"),
    ),
    Rule(8, 4, "a kernel for soft tissue", lambda c: c.kernel == "soft"),
    Rule(12, 6, "of the head", _of_head),
    Rule(0, 6, "of the neck", lambda c: "neck" in c.words | c.context),
    Rule(-60, -60, "of another part of the body", _of_body),
    Rule(5, 5, "original images", lambda c: "ORIGINAL" in c.kinds),
    Rule(-5, -3, "derived images", lambda c: "DERIVED" in c.kinds),
    Rule(-10, -10, "brought onto another scan", lambda c: "REGISTERED" in c.kinds),
    Rule(-25, -10, "a half of a head", lambda c: c.half),
    Rule(-30, -20, "less than 60 mm long", _among(0, 60, "extent_mm")),
    Rule(-10, 0, "60 to 95 mm long", _among(60, 95, "extent_mm")),
    Rule(4, 8, "95 to 120 mm long", _among(95, 120, "extent_mm")),
    Rule(10, 8, "long enough from skull base to vertex", _among(120, 320, "extent_mm")),
    Rule(-15, 10, "more than 320 mm long", _among(320, 5000, "extent_mm")),
    Rule(16, 12, "slices up to 1.5 mm apart", _among(0, 1.5, "step_mm")),
    Rule(10, 4, "slices up to 3.2 mm apart", _among(1.5, 3.2, "step_mm")),
    Rule(4, -15, "slices up to 6 mm apart", _among(3.2, 6, "step_mm")),
    Rule(0, -25, "slices up to 8 mm apart", _among(6, 8, "step_mm")),
    Rule(-10, -40, "slices more than 8 mm apart", _among(8, 5000, "step_mm")),
)  # fmt: skip
"""What headers say."""


class PixelRule(NamedTuple):
    """One line of the table for what pixels say."""

    ncct: float
    cta: float
    words: str
    applies: Callable[[Look, ChoiceOptions], bool]


def _mm(look: Look) -> float:
    return float(look.get("bright_vessels_mm", 0.0))


PIXEL_RULES: Final[tuple[PixelRule, ...]] = (
    PixelRule(
        NEVER, NEVER, f"{UNREADABLE}: {{unreadable}}", lambda p, _: bool(p.get("unreadable"))
    ),
    PixelRule(
        NEVER, NEVER,
        f"{UNREADABLE} with its sides: the head lies turned by {{turned_deg:.0f}} degrees",
        lambda p, o: float(p.get("turned_deg") or 0) > o.refused_turned_deg,
    ),
    PixelRule(-60, -60, "no brain is seen: {no_brain}", lambda p, _: bool(p.get("no_brain"))),
    PixelRule(
        -60, 20, "contrast medium is seen in {bright_vessels_mm:.0f} mm of arteries",
        lambda p, o: _mm(p) > o.filled_mm,
    ),
    PixelRule(
        -15, -10, "arteries may hold contrast medium ({bright_vessels_mm:.0f} mm)",
        lambda p, o: o.filled_mm / 3 < _mm(p) <= o.filled_mm,
    ),
    PixelRule(
        0, -60, "no contrast medium is seen in the arteries",
        lambda p, o: "bright_vessels_mm" in p and _mm(p) <= o.filled_mm / 3,
    ),
    PixelRule(
        -20, 0, "noise of {noise_hu:.0f} HU, as of a kernel for bone",
        lambda p, o: float(p.get("noise_hu", 0)) > o.bone_noise_hu,
    ),
    PixelRule(
        -8, 0, "the vertex is cut off ({vertex_cut_cm2:.0f} cm2 of brain in the top slice)",
        lambda p, _: float(p.get("vertex_cut_cm2", 0)) > 10,
    ),
    PixelRule(
        -12, -5, "the skull base is cut off ({base_cut_cm2:.0f} cm2 of brain in the lowest slice)",
        lambda p, _: float(p.get("base_cut_cm2", 0)) > 30,
    ),
)  # fmt: skip
"""What pixels say."""
