"""What radiologists write about an occlusion, in several languages, as the cohort table's words.

Decisions, where words say more or less than the table's classes:

- *ICA-T*, *carotid T* and *carotid L* are ``C7+M1``: terminal carotid artery and M1 segment.
- *ICA* or *MCA* without a part is ``unknown``: it may be the neck, or the M2 segment. So is
  *ICA + M1*, which may be a carotid T or a tandem occlusion. *Distal*, *terminal* or *intracranial*
  ICA is ``C7``.
- A *tandem* occlusion is the class of its part in the head (*tandem M1* is ``M1``): the neck is not
  in the scan. Without such a part it is ``unknown``; the neck alone is ``other``.
- Arteries outside the five classes (anterior and posterior cerebral, basilar, vertebral, M3 and
  beyond) are ``other``; beside M1, M2 or C7 they do not count. So is C7 with M2.
- Left and right together are ``both``.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lvo_kedro.studies import phrases as p
from lvo_kedro.studies.phrases import BOTH
from lvo_kedro.vocabulary import SEGMENT_CLASSES

if TYPE_CHECKING:
    from collections.abc import Iterable

UNKNOWN: Final = "unknown"
OTHER: Final = "other"


@dataclass(frozen=True)
class Finding:
    """What words say of an occlusion; empty where they say nothing."""

    lvo: str = ""
    """``1``, ``0`` or ``unknown`` where the words doubt or contradict themselves."""
    side: str = ""
    """``left``, ``right``, ``both``, ``unknown`` where a side is doubted."""
    segment: str = ""
    """One of the five classes, ``other``, or ``unknown`` where the part is not told."""


def plain(text: str) -> str:
    """Return words without accents, capitals and signs, with one blank between them.

    Args:
        text: As typed.
    """
    return _words(_letters(text))


def cell_key(text: str) -> str:
    """Return a whole cell without accents and capitals; signs and other scripts stay.

    Args:
        text: As typed; blanks and points at its ends do not count.
    """
    return _folded(text).strip(" .:,;")


def _folded(text: str) -> str:
    parts = unicodedata.normalize("NFKD", text.replace("ß", "ss")).casefold()
    return " ".join("".join(c for c in parts if not unicodedata.combining(c)).split())


def _letters(text: str) -> str:
    letters = _folded(text.replace("\n", " . "))
    for pattern, words in p.ABBREVIATIONS.items():
        letters = re.sub(pattern, words, letters)
    # ICA-L is the carotid's T only if another side is named: it may be short for the left
    other = _has(_words(letters), p.SIDES["right"]) or _has(
        _words(letters), "left|links?|linke\\w*"
    )
    return re.sub(r"\b(ica|aci)-l\b", r"\1 t" if other else r"\1", letters)


def _words(letters: str) -> str:
    return " ".join(re.sub(r"[^a-z0-9?]+", " ", letters.replace("?", " ? ")).split())


def _has(words: str, pattern: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", words) is not None


def _without(words: str, pattern: str, instead: str = " ") -> str:
    found = re.sub(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", instead, words)
    return " ".join(found.split())


def read_finding(text: str) -> Finding:
    """Read free text about one occlusion, or none.

    Each clause is looked at for itself, since "no haemorrhage" denies no occlusion. What doubts or
    contradicts itself is ``unknown``: a label that is not taken does less harm than a wrong one.

    Args:
        text: Such as "linke MCA M1" or "no LVO".

    Returns:
        What it says. Words that nothing is known about are passed over.

    Examples:
        >>> read_finding("linke MCA M1")
        Finding(lvo='1', side='left', segment='M1')
        >>> read_finding("kein Verschluss")
        Finding(lvo='0', side='', segment='')
        >>> read_finding("Keine Blutung. M1-Verschluss links")
        Finding(lvo='1', side='left', segment='M1')
    """
    clauses = _clauses(text)
    told = [(clause, _kind(clause, alone=len(clauses) == 1)) for clause in clauses]
    kinds = {kind for _, kind in told}
    if kinds & {"yes", "doubt"}:
        lvo = UNKNOWN if "doubt" in kinds or "no" in kinds else "1"
        wanted = {"yes", "doubt", "side"}
    else:
        lvo = "0" if "no" in kinds else UNKNOWN if "open" in kinds else ""
        wanted = {"open"} if lvo == UNKNOWN else set()
    about = [clause for clause, kind in told if kind in wanted]
    return Finding(lvo, _united(map(_side_of, about)), _segment_of(" ".join(about)))


def _clauses(text: str) -> list[str]:
    """Return the plain words of each clause."""
    parts = (_words(part) for part in re.split(r"[.;,()\[\]]+", _letters(text)))
    return [part for part in parts if part]


def _kind(clause: str, *, alone: bool) -> str:
    """Tell what a clause says of an occlusion.

    Returns:
        ``yes``, ``no``, ``doubt``, ``open`` of an artery that is not occluded, ``side`` where there
        is nothing else, or nothing.
    """
    if _has(clause, rf"(?:{p.DENIED_ELSE}) (?:and|und|et|y|e|en)"):
        return "doubt"  # is what follows denied, too?
    rest = _without(clause, rf"(?:{p.DENIED_ELSE}) (?:or|nor|oder|noch|ou|o|of)", " no ")
    rest = _without(rest, p.DENIED_ELSE)
    told = _has(rest, p.OCCLUSION) or bool(_segment_of(rest))
    if _has(rest, p.DOUBT):
        return "" if _has(rest, p.ELSE) and not told else "doubt"
    left = _without(rest, p.DENIED)
    if left != rest:
        return "doubt" if _has(left, p.OCCLUSION) or _segment_of(left) else "no"
    return _stated(rest, told=told, alone=alone)


def _stated(rest: str, *, told: bool, alone: bool) -> str:
    """Tell what a clause says in which no occlusion is denied."""
    denies = _has(rest, p.DENY)
    if _has(rest, p.NORMAL) or re.fullmatch(p.NOTHING_THERE, rest):
        return "doubt" if _has(rest, p.NORMAL) and (told or denies) else "no"
    if _has(rest, p.OPEN):
        return "doubt" if _has(rest, p.OCCLUSION) else "open"
    if told:
        return "doubt" if denies else "yes"
    if rest and not _without(rest, "|".join([*p.SIDES.values(), p.BESIDE_SIDES])):
        return "side"
    if alone:
        return ""
    return "yes" if re.fullmatch(p.YES, rest) else "no" if re.fullmatch(p.NO, rest) else ""


def read_side(text: str) -> str:
    """Return the side that a cell names: left, right, both, ``unknown`` in doubt, or nothing.

    Args:
        text: As typed.
    """
    if _has(plain(text), rf"{p.DOUBT}|{p.DENY}"):
        return UNKNOWN
    return _united(map(_side_of, _clauses(text)))


def _side_of(clause: str) -> str:
    if _has(clause, p.CLINICAL):
        return ""
    return _united(side for side, pattern in p.SIDES.items() if _has(clause, pattern))


def _united(sides: Iterable[str]) -> str:
    named = {side for side in sides if side}
    return BOTH if len(named) > 1 else next(iter(named), "")


def read_segment(text: str) -> str:
    """Return the class of the segments that words name, ``other``, ``unknown``, or nothing.

    Args:
        text: As typed.
    """
    return _segment_of(plain(text))


def _segment_of(words: str) -> str:
    parts = [name for name, pattern in p.PARTS.items() if _has(words, pattern)]
    neck = _has(words, p.IN_THE_NECK) or _has(words, r"tandem\w*")
    if _has(words, p.T):
        parts = ["C7", "M1", *parts[parts[:1] == ["M1"] :]]
    elif _has(words, p.C7):
        parts = ["C7", *parts]
    elif _has(words, p.CAROTID) and (not neck or (_has(words, p.IN_THE_HEAD) and not parts)):
        return UNKNOWN
    if parts:
        named = "+".join(parts)
        return named if named in SEGMENT_CLASSES else OTHER
    if _has(words, p.ELSEWHERE) or _has(words, p.IN_THE_NECK):
        return OTHER
    return UNKNOWN if neck or _has(words, p.MCA) else ""


def read_yes_or_no(text: str) -> str:
    """Return ``1`` for yes, ``0`` for no, and nothing for other words.

    Args:
        text: A cell that says whether there is an occlusion.
    """
    cell = plain(text)
    if re.fullmatch(p.YES, cell):
        return "1"
    return "0" if re.fullmatch(p.NO, cell) else ""
