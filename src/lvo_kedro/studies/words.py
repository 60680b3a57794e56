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
from typing import Final

from lvo_kedro.vocabulary import SEGMENT_CLASSES

UNKNOWN: Final = "unknown"
OTHER: Final = "other"
BOTH: Final = "both"

_CLASSES: Final = frozenset(SEGMENT_CLASSES)
_SIDES: Final = {
    "left": r"left|lt|l|li|links?|linke[mnrs]?|linksseitig\w*|gauche|izq|izquierd[ao]|sx|sin"
    r"|sinistr[aio]|esquerd[ao]",
    "right": r"right|rt|r|re|rechts?|rechte[mnrs]?|rechtsseitig\w*|droite?|derech[ao]|dx|dext\w*"
    r"|destr[ao]|direit[ao]",
    BOTH: r"both|bilat\w*|bds|beid(?:e[rns]?)?(?:seit\w*)?|ambos|ambas|entramb[ei]",
}
_CAROTID: Final = r"ica|aci|(?:internal )?carotid\w*|karotis|carotis(?: interna)?"
_T: Final = (
    rf"(?:{_CAROTID}) ?t|t (?:{_CAROTID})|t (?:occlusion|verschluss)"
    r"|(?:top|apex) of (?:the )?(?:carotid|ica)"
)
_IN_THE_HEAD: Final = r"c7|intra[ck]ran\w*|termin\w*|distal\w*|supra[ck]lin\w*"
_IN_THE_NECK: Final = (
    r"c1|[cz]ervi[ck]al\w*|extra[ck]ran\w*|neck|hals\w*|bulb\w*|cca|common carotid|carotis communis"
    rf"|proximal\w* (?:{_CAROTID})|(?:{_CAROTID}) proximal\w*"
)
_PARTS: Final = {"M1": r"m1|\w*hauptstamm|stem|trunk|tronc|main stem", "M2": r"m2"}
_MCA: Final = r"mca|acm|media\w*|middle cerebral|cerebri media"
_ELSEWHERE: Final = (
    r"m[34]|a[1-5]|p[1-4]|v[1-4]|aca|pca|acp|basilar\w*|ba|va|vertebr\w*|pica|aica|sca|mevo|dvo"
    r"|(?:anterior|posterior) cerebral|cerebri (?:anterior|posterior)"
)
_NONE: Final = (
    r"(?:no|non|not|without|kein\w*|ohne|nicht|sans|pas|aucune?|sin|ningun\w*|sem|nao|nessun\w*)"
    r" (?:\w+ ){0,2}?(?:lvo|occlu\w*|oclus\w*|\w*verschl\w*|nachweis\w*|evidence|thromb\w*)"
    r"|negativ\w*|unauffallig\w*|normal\w*|none|nil|lvo (?:neg|no|nein)"
)
_DOUBT: Final = (
    r"\?|possibl\w*|probabl\w*|fraglich\w*|v ?a|verdacht|suspect\w*|suspicion|unklar\w*|unclear"
    r"|evtl|eventuell\w*|moglich\w*"
)
_OCCLUSION: Final = r"lvo|occlu\w*|oclus\w*|\w*verschl\w*|thromb\w*"
_YES: Final = r"1|yes|y|ja|j|oui|si|sim|true|wahr|vrai|pos\w*"
_NO: Final = r"0|no|n|nein|non|nao|false|falsch|faux|neg\w*"


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
    parts = unicodedata.normalize("NFKD", text.replace("ß", "ss")).casefold()
    letters = "".join(c for c in parts if not unicodedata.combining(c))
    letters = re.sub(r"\b[ld]['’]", "", letters)  # l'occlusion is not on the left
    letters = re.sub(rf"\b({_CAROTID})-[tl]\b", r"\1 t", letters)  # nor is a carotid-L
    letters = letters.replace("?", " ? ")
    return " ".join(re.sub(r"[^a-z0-9?]+", " ", letters).split())


def _has(words: str, pattern: str) -> bool:
    return re.search(rf"(?<![a-z0-9])(?:{pattern})(?![a-z0-9])", words) is not None


def read_finding(text: str) -> Finding:
    """Read free text about one occlusion, or none.

    Args:
        text: Such as "linke MCA M1" or "no LVO".

    Returns:
        What it says. Words that nothing is known about are passed over.

    Examples:
        >>> read_finding("linke MCA M1")
        Finding(lvo='1', side='left', segment='M1')
        >>> read_finding("kein Verschluss")
        Finding(lvo='0', side='', segment='')
    """
    words = plain(text)
    rest = re.sub(rf"(?<![a-z0-9])(?:{_NONE})(?![a-z0-9])", " ", words)
    denied = rest != words
    segment, side = read_segment(rest), read_side(rest)
    if _has(words, _DOUBT) or (denied and segment):
        return Finding(UNKNOWN, side, segment)
    if denied:
        return Finding("0", side, segment)
    return Finding("1" if segment or _has(rest, _OCCLUSION) else "", side, segment)


def read_side(text: str) -> str:
    """Return the side that words name: left, right, both, or nothing.

    Args:
        text: As typed.
    """
    words = plain(text)
    named = [side for side, pattern in _SIDES.items() if _has(words, pattern)]
    return BOTH if len(named) > 1 else next(iter(named), "")


def read_segment(text: str) -> str:
    """Return the class of the segments that words name, ``other``, ``unknown``, or nothing.

    Args:
        text: As typed.
    """
    words = plain(text)
    parts = [name for name, pattern in _PARTS.items() if _has(words, pattern)]
    neck = _has(words, _IN_THE_NECK) or _has(words, r"tandem\w*")
    if _has(words, _T):
        parts = ["C7", "M1", *parts[parts[:1] == ["M1"] :]]
    elif _has(words, "c7") or (not neck and _has(words, _CAROTID)):
        if not _has(words, _IN_THE_HEAD):
            return UNKNOWN
        parts = ["C7", *parts]
    if parts:
        named = "+".join(parts)
        return named if named in _CLASSES else OTHER
    if _has(words, _ELSEWHERE) or _has(words, _IN_THE_NECK):
        return OTHER
    return UNKNOWN if neck or _has(words, _MCA) else ""


def read_yes_or_no(text: str) -> str:
    """Return ``1`` for yes, ``0`` for no, and nothing for other words.

    Args:
        text: A cell that says whether there is an occlusion.
    """
    cell = plain(text)
    if re.fullmatch(_YES, cell):
        return "1"
    return "0" if re.fullmatch(_NO, cell) else ""
