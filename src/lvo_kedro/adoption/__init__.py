"""Public cohorts, taken over as their publishers laid them out.

An :class:`Adapter` knows one cohort: its licence, what its folders look like (:class:`Archive`),
and by which rule each subject becomes an :class:`AdoptedCase`, with the reason of its label. What a
rule cannot tell stays ``unknown``; nothing is guessed. :data:`ADAPTERS` lists them by name.
"""

from lvo_kedro.adoption.adapters import ADAPTERS, adapter_named, attributions
from lvo_kedro.adoption.cases import AdoptedCase, Derivation, LeftOut
from lvo_kedro.adoption.checksums import verify_checksums
from lvo_kedro.adoption.isles24 import Isles24Options
from lvo_kedro.adoption.source import Adapter, AdoptionError, Archive, Source

__all__ = [
    "ADAPTERS",
    "Adapter",
    "AdoptedCase",
    "AdoptionError",
    "Archive",
    "Derivation",
    "Isles24Options",
    "LeftOut",
    "Source",
    "adapter_named",
    "attributions",
    "verify_checksums",
]
