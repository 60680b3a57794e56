"""The series of a study as candidates for a role: what each measures, by its headers alone.

A series that holds several reconstructions is taken apart, and images that are each a series of
their own are put together, before anything is said of them.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lvo_kedro.studies.descriptions import words_in
from lvo_kedro.studies.stacks import distinct, join_singles, numbers_of, parts_of

if TYPE_CHECKING:
    from lvo_kedro.studies.index import File, Series, Study

_NO_AGENT: Final = {"", "0", "N", "NO", "NON", "NONE", "NIL", "NULL", "NA", "N/A", "WITHOUT",
                    "UNKNOWN"}  # fmt: skip
_BONE: Final = re.compile(
    r"BONE\w*|EDGE|LUNG|ULTRA|SHARP|DETAIL|YE?|YD|L|E|D|"
    r"[BHJIUT][HR]?[FV]?(?:[6-9]\d)[A-Z]*(?:[_\\].*)?|FC(?:3\d|5\d|8\d)|EB|EC|IMR[3-9]", re.I
)  # fmt: skip
"""Kernels for bone and lung, of the vendors' ways to call them: the number is the sharpness."""
_SOFT: Final = re.compile(
    r"STANDARD|STND|SOFT|STD\+?|SMOOTH|BRAIN\w*|HEAD\w*|U[ABC]|[ABC]|EA|"
    r"[BHJIUQT][HRV]?[FV]?(?:[0-4]\d)[A-Z]*(?:[_\\].*)?|FC(?:[0-2]\d|4\d|6\d)|IMR[12]", re.I
)  # fmt: skip


@dataclass(frozen=True)
class Candidate:
    """A series, a part of one, or several together, that may be the scan looked for."""

    name: str
    """How a person finds it: the series' number, and a letter for its parts."""
    uids: tuple[str, ...]
    """Series of the export that it consists of."""
    files: tuple[File, ...]
    header: dict[str, str]
    form: dict[str, str]
    words: frozenset[str]
    """What its description says (:func:`~lvo_kedro.studies.descriptions.words_in`)."""
    context: frozenset[str]
    """What protocol, body part and study say, of the body alone."""
    slices: int = 0
    """Places at which there is an image."""
    images: int = 0
    """Images; more than ``slices`` where places repeat."""
    extent_mm: float = 0.0
    """From the first to the last slice along the stack, both included."""
    low_mm: float = 0.0
    """Lower end along the patient's axis (world z)."""
    step_mm: float = 0.0
    """Median distance of neighbouring slices."""
    plane: str = ""
    """``axial``, ``coronal``, ``sagittal``, or nothing where it cannot be told."""
    refused: dict[str, int] = field(default_factory=dict)
    """Images left out, by reason."""
    notes: tuple[str, ...] = ()
    """What was done to it, in words."""
    half: bool = False
    """Whether the rest of the head is in another series."""

    @property
    def is_nifti(self) -> bool:
        """Whether it is a NIfTI file."""
        return "Nifti" in self.form

    @property
    def names_contrast(self) -> bool:
        """Whether the header names a contrast agent."""
        agents = (file.form.get("ContrastBolusAgent", "") for file in self.files)
        return any(agent.upper().strip(" .-") not in _NO_AGENT for agent in agents)

    @property
    def kernel(self) -> str:
        """``soft``, ``bone`` or nothing, by the name of the kernel."""
        name = self.form.get("ConvolutionKernel", "").split("\\")[0].strip()
        if _BONE.fullmatch(name):
            return "bone"
        return "soft" if _SOFT.fullmatch(name) else ""

    @property
    def kinds(self) -> frozenset[str]:
        """Words of ImageType."""
        return frozenset(re.split(r"[\\ _]+", self.form.get("ImageType", "").upper()))

    @property
    def number(self) -> int:
        """SeriesNumber, 0 where there is none."""
        text = self.header.get("SeriesNumber", "")
        return int(text) if re.fullmatch(r"-?\d{1,9}", text) else 0


def candidates_of(study: Study) -> list[Candidate]:
    """Return every series of a study, taken apart and put together as it must be.

    Args:
        study: As the index knows it.

    Returns:
        In the order of their numbers.
    """
    found = []
    groups = join_singles(study.series)
    for number, (series, files) in enumerate(sorted(groups, key=_order), start=1):
        parts = parts_of([file for file in files if not file.problem])
        refused: dict[str, int] = defaultdict(int)
        for file in files:
            if file.problem:
                refused[file.problem] += 1
        name = series.header.get("SeriesNumber", "")
        name = name if re.fullmatch(r"-?\d{1,9}", name) else f"#{number}"
        if not parts:
            parts = [[]] if refused else []
        for letter, part in enumerate(parts):
            suffix = chr(97 + letter % 26) if len(parts) > 1 else ""
            notes = (f"part {letter + 1} of {len(parts)} of the series",) if suffix else ()
            found.append(_measured(name + suffix, series, part or files, dict(refused), notes))
    return _unique(found)


def _order(group: tuple[Series, list[File]]) -> tuple[int, str]:
    number = group[0].header.get("SeriesNumber", "")
    return (int(number) if number.lstrip("-").isdigit() else 1 << 30), group[0].uid


def _unique(found: list[Candidate]) -> list[Candidate]:
    """Give candidates of one name a number behind it: some archives number all series alike."""
    seen: dict[str, int] = defaultdict(int)
    unique = []
    for candidate in found:
        seen[candidate.name] += 1
        count = seen[candidate.name]
        unique.append(
            candidate if count == 1 else replace(candidate, name=f"{candidate.name}.{count}")
        )
    return unique


def _measured(
    name: str, series: Series, files: list[File], refused: dict[str, int], notes: tuple[str, ...]
) -> Candidate:
    form = files[0].form
    description = series.header.get("SeriesDescription") or series.header.get("ProtocolName", "")
    around = " ".join(
        series.header.get(key, "")
        for key in ("ProtocolName", "BodyPartExamined", "StudyDescription")
    )
    geometry = _nifti_geometry(form) if "Nifti" in form else _geometry(form, files)
    return Candidate(
        name=name,
        uids=(series.uid,),
        files=tuple(files),
        header=series.header,
        form=form,
        words=words_in(description),
        context=words_in(around) & {"head", "neck", "body"},
        refused=refused,
        notes=notes,
        **geometry,
    )


def _geometry(form: dict[str, str], files: list[File]) -> dict[str, Any]:
    places = [place for file in files for place in file.places]
    spots = np.array(distinct(places)).reshape(-1, 3)
    images = sum(max(1, len(file.places)) for file in files)
    direction = numbers_of(form.get("ImageOrientationPatient", ""))
    if len(direction) != 6 or len(spots) == 0:
        return {"slices": len(spots), "images": images}
    normal = np.cross(direction[:3], direction[3:])
    axis = int(np.abs(normal).argmax())
    order = spots[np.argsort(spots @ normal)]
    steps = np.linalg.norm(np.diff(order, axis=0), axis=1)
    step = float(np.median(steps)) if len(steps) else 0.0
    return {
        "slices": len(spots),
        "images": images,
        "extent_mm": float(np.linalg.norm(order[-1] - order[0])) + step,
        "low_mm": float(spots[:, 2].min()),
        "step_mm": step,
        "plane": ("sagittal", "coronal", "axial")[axis],
    }


def _nifti_geometry(form: dict[str, str]) -> dict[str, Any]:
    shape = np.array(json.loads(form["Nifti"])[:3])
    affine = np.array(json.loads(form["NiftiAffine"]))
    edges = np.linalg.norm(affine[:, :3], axis=0)
    if len(shape) < 3 or not edges.all():
        return {}
    up = int(np.abs(affine[2, :3] / edges).argmax())
    frames = int(np.prod(json.loads(form["Nifti"])[3:], initial=1))
    coarsest = int(edges.argmax())
    axial = edges[up] >= 0.99 * edges[coarsest]
    axis = int(np.abs(affine[:, coarsest] / edges[coarsest]).argmax())
    return {
        "slices": int(shape[up]),
        "images": int(shape[up]) * frames,
        "extent_mm": float(shape[up] * edges[up]),
        "low_mm": float(min(affine[2, 3], affine[2, 3] + affine[2, up] * shape[up])),
        "step_mm": float(edges[up]),
        "plane": "axial" if axial else ("sagittal", "coronal", "axial")[axis],
    }
