"""The codes by which other systems understand what was found."""

from __future__ import annotations

import hashlib
from typing import Final

import highdicom as hd
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

import lvo_kedro
from lvo_kedro.vocabulary import SEGMENT_CLASSES

SCHEME: Final = "99LVO"
"""Private scheme, for what no standard has a code for."""
VESSELS: Final[dict[str, Code]] = {
    "C7": codes.SCT.InternalCarotidArtery,
    "M1": codes.SCT.MiddleCerebralArteryM1Segment,
    "M2": codes.SCT.MiddleCerebralArteryM2Segment,
    "other": codes.SCT.Artery,
}
"""What a vessel label stands for."""
SEGMENTS: Final[dict[str, Code]] = {
    name: Code(f"SEG-{name.replace('+', '-')}", SCHEME, f"Occluded segment {name}")
    for name in SEGMENT_CLASSES
}
SIDES: Final[dict[str, Code]] = {"left": codes.SCT.Left, "right": codes.SCT.Right}
CALLS: Final[dict[str, Code]] = {
    "occlusion": codes.SCT.Present,
    "no occlusion": codes.SCT.Absent,
}
OCCLUSION: Final = Code("LVO", SCHEME, "Large-vessel occlusion on non-contrast CT")
SEGMENT: Final = Code("LVO-SEGMENT", SCHEME, "Segment of the occlusion")
SIDE: Final = Code("LVO-SIDE", SCHEME, "Side of the occlusion")
PROBABILITY: Final = Code("LVO-PROBABILITY", SCHEME, "Probability of an occlusion")
THRESHOLD: Final = Code("LVO-THRESHOLD", SCHEME, "Threshold of the operating point")
PLACE: Final = Code("LVO-PLACE", SCHEME, "Place of the occlusion")

MANUFACTURER: Final = "lvo_kedro"
MODEL: Final = "lvo_kedro (research software)"


def at_point(name: str) -> Code:
    """Return the code of the call at an operating point."""
    words = name.replace("_", " ")
    return Code(f"LVO-AT-{name[:40].upper()}", SCHEME, f"Occlusion at {words}"[:64])


def algorithm(what: str) -> hd.AlgorithmIdentificationSequence:
    """Return who is to be asked about a finding."""
    return hd.AlgorithmIdentificationSequence(
        name=f"lvo_kedro {what}",
        version=lvo_kedro.__version__,
        family=codes.DCM.ArtificialIntelligence,
    )


def uid_of(*parts: str) -> str:
    """Return a UID that is always the same for the same content (2.25: a UUID as a number).

    Another version of this software says other things in other objects.
    """
    text = "\0".join((lvo_kedro.__version__, *parts))
    digest = hashlib.sha256(text.encode()).digest()[:16]
    return f"2.25.{int.from_bytes(digest, 'big')}"
