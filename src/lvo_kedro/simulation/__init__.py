"""Simulated head CTs with known truth, to run and test the whole method without patient data.

A case is drawn from a seed: the MNI152 head, deformed and posed (:mod:`.head`, :mod:`.template`),
its arteries as tubes (:mod:`.arteries`), an occlusion or none and much that looks like one
(:mod:`.lesions`), all seen by a scanner (:mod:`.scanner`). The preset ``hard`` adds sides that
differ (:mod:`.asymmetry`), veins (:mod:`.veins`) and beam hardening (:mod:`.beam_hardening`). The
angiography of the same head (:mod:`.cta`) shows where contrast stops. A number obtained
on simulated scans says nothing about patients.
"""

from lvo_kedro.simulation.arteries import Artery
from lvo_kedro.simulation.case import SimulatedCase, simulate_case
from lvo_kedro.simulation.cohort import case_options, plan_cohort
from lvo_kedro.simulation.cta import CtaOptions, SimulatedCta, simulate_cta
from lvo_kedro.simulation.export import write_export
from lvo_kedro.simulation.head import HeadMap
from lvo_kedro.simulation.options import CohortOptions, SimulationOptions
from lvo_kedro.simulation.oracle import artefact_features, oracle_scores, territory_difference
from lvo_kedro.simulation.presets import PRESETS
from lvo_kedro.simulation.veins import Vein

__all__ = [
    "PRESETS",
    "Artery",
    "CohortOptions",
    "CtaOptions",
    "HeadMap",
    "SimulatedCase",
    "SimulatedCta",
    "SimulationOptions",
    "Vein",
    "artefact_features",
    "case_options",
    "oracle_scores",
    "plan_cohort",
    "simulate_case",
    "simulate_cta",
    "territory_difference",
    "write_export",
]
