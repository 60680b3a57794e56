"""Public cohorts, taken over as their publishers laid them out.

An :class:`Adapter` knows one cohort: its licence, what its folders look like (:class:`Archive`),
and by which rule each subject becomes an :class:`AdoptedCase`, with the reason of its label. What a
rule cannot tell stays ``unknown``; nothing is guessed. :data:`ADAPTERS` lists them by name. A
:class:`Material` is public data for another purpose, such as to train a labeller of angiographies.
"""

from lvo_kedro.adoption.adapters import ADAPTERS, MATERIALS, adapter_named, attributions
from lvo_kedro.adoption.cases import AdoptedCase, Derivation, LeftOut
from lvo_kedro.adoption.checksums import verify_checksums
from lvo_kedro.adoption.isles24 import Isles24Options
from lvo_kedro.adoption.material import Collection, Material, Piece
from lvo_kedro.adoption.source import Adapter, AdoptionError, Archive, Source

__all__ = [
    "ADAPTERS",
    "MATERIALS",
    "Adapter",
    "AdoptedCase",
    "AdoptionError",
    "Archive",
    "Collection",
    "Derivation",
    "Isles24Options",
    "LeftOut",
    "Material",
    "Piece",
    "Source",
    "adapter_named",
    "attributions",
    "verify_checksums",
]
