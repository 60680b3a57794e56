"""Which series of a study is the scan looked for: a table of points, added up.

What headers say counts first. Pixels are looked at where headers leave two series close, and of
every series that would be chosen: they can only take points from a plain scan, so that the order
of those not looked at stays right.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from lvo_kedro.options import Options
from lvo_kedro.studies.candidates import MIN_SLICES, Candidate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

Role = Literal["ncct", "cta"]
ROLES: Final[tuple[Role, ...]] = ("ncct", "cta")
_UNREADABLE: Final = "cannot be read"
NEVER: Final = -1000.0
"""Points of what cannot be the scan, whatever else speaks for it."""
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
        NEVER, NEVER, f"{_UNREADABLE}: {{unreadable}}", lambda p, _: bool(p.get("unreadable"))
    ),
    PixelRule(
        NEVER, NEVER,
        f"{_UNREADABLE} with the patient's sides: the head lies turned by {{turned_deg:.0f}} degrees",
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


@dataclass
class Scored:
    """A candidate with its points for a role and where they come from."""

    candidate: Candidate
    role: Role
    score: float = 0.0
    reasons: list[str] = field(default_factory=list)
    """Such as "+20 called plain"."""
    looked: bool = False

    def add(self, points: float, words: str) -> None:
        """Count a line of the table."""
        self.score += points
        self.reasons.append(words if points <= NEVER else f"{points:+g} {words}")

    @property
    def possible(self) -> bool:
        """Whether nothing rules it out."""
        return self.score > NEVER / 2


@dataclass(frozen=True)
class Choice:
    """What was chosen for a role, and why."""

    role: Role
    ranked: tuple[Scored, ...]
    """All candidates, the best first."""
    chosen: Scored | None = None
    undecided: tuple[Scored, ...] = ()
    """Two or more that a person must decide between."""
    by: str = "rules"
    """``rules`` or ``person``."""

    def unreadable(self) -> list[tuple[str, str]]:
        """Return names of series that were good enough but cannot be read, and why."""
        return [
            (one.candidate.name, one.reasons[-1])
            for one in self.ranked
            if one.looked and one.reasons[-1].startswith(_UNREADABLE)
        ]


def score(candidate: Candidate, role: Role) -> Scored:
    """Add up what headers say of a candidate.

    Args:
        candidate: Of :func:`~lvo_kedro.studies.candidates.candidates_of`.
        role: What is looked for.
    """
    scored = Scored(candidate, role)
    for rule in RULES:
        points = rule.ncct if role == "ncct" else rule.cta
        if points and rule.applies(candidate):
            scored.add(points, rule.words)
    return scored


def choose(
    candidates: Sequence[Candidate],
    role: Role,
    look: Callable[[Candidate], Look] | None = None,
    options: ChoiceOptions = ChoiceOptions(),
    named: Mapping[str, str] | None = None,
) -> Choice:
    """Choose the series of a study for a role, or leave it to a person.

    Args:
        candidates: Of the study.
        role: What is looked for.
        look: Reads a candidate and says what its pixels show; not called without need.
        options: When a person must decide.
        named: What a person wants, by the candidate's name: a role, or anything else for none.

    Returns:
        The choice; neither chosen nor undecided where nothing is good enough.
    """
    named = named or {}
    ranked = [score(candidate, role) for candidate in candidates]
    wanted = [one for one in ranked if named.get(one.candidate.name) == role]
    free = [one for one in ranked if one.candidate.name not in named]
    if len(wanted) == 1:
        wanted[0].reasons.append("chosen by a person")
        return Choice(role, _sorted(ranked), wanted[0], by="person")
    if len(wanted) > 1:
        return Choice(role, _sorted(ranked), undecided=tuple(wanted), by="person")
    if look is not None and options.look_at_pixels:
        _look(free, look, options)
    best = [one for one in _sorted(free) if one.possible and one.score >= options.least(role)]
    rivals = [one for one in best[1:] if best[0].score - one.score < options.margin]
    rivals = [one for one in rivals if not _same(best[0], one)]
    if rivals:
        return Choice(role, _sorted(ranked), undecided=(best[0], *rivals))
    return Choice(role, _sorted(ranked), best[0] if best else None)


def _sorted(scored: Sequence[Scored]) -> tuple[Scored, ...]:
    """The best first; of those alike the one with finer slices, then the one that came first."""
    return tuple(
        sorted(scored, key=lambda s: (-s.score, s.candidate.step_mm or 99, -s.candidate.slices))
    )


def _look(scored: list[Scored], look: Callable[[Candidate], Look], options: ChoiceOptions) -> None:
    """Look at the best, and at what is close to it, until the best one has been looked at."""
    for _ in range(options.max_looks):
        best = [one for one in _sorted(scored) if one.score >= options.least(one.role)]
        close = [one for one in best if best[0].score - one.score < options.margin]
        unseen = next((one for one in close if not one.looked), None)
        if unseen is None:
            return
        numbers = look(unseen.candidate)
        unseen.looked = True
        for rule in PIXEL_RULES:
            points = rule.ncct if unseen.role == "ncct" else rule.cta
            if points and rule.applies(numbers, options):
                unseen.add(points, rule.words.format(**numbers))


def _same(one: Scored, other: Scored) -> bool:
    """Whether both were looked at and show the same place: then either is right."""
    a, b = one.candidate, other.candidate
    frame = a.header.get("FrameOfReferenceUID", "")
    return (
        one.looked
        and other.looked
        and bool(frame)
        and frame == b.header.get("FrameOfReferenceUID")
        and abs(a.low_mm - b.low_mm) < 10
        and abs(a.extent_mm - b.extent_mm) < 10
    )
