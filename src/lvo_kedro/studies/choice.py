"""Which series of a study is the scan looked for: a table of points, added up.

What headers say counts first. Pixels are looked at where headers leave two series close, and of
every series that would be chosen: they can only take points from a plain scan, so that the order
of those not looked at stays right.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lvo_kedro.studies.choice_rules import (
    NEVER,
    PIXEL_RULES,
    RULES,
    UNREADABLE,
    ChoiceOptions,
    Look,
    Role,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from lvo_kedro.studies.candidates import Candidate


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
        reason = words if points <= NEVER else f"{points:+g} {words}"
        self.reasons.append(sys.intern(reason))  # thousands of studies share a few of them

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
            if one.looked and one.reasons[-1].startswith(UNREADABLE)
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
