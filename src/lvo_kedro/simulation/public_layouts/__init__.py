"""Folders of simulated patients in the layouts of public cohorts, with the quirks of the real ones.

They show that an adapter reads a layout, and nothing about the cohort that it is named after.
"""

from lvo_kedro.simulation.public_layouts.cpaisd import CpaisdStudy, write_cpaisd
from lvo_kedro.simulation.public_layouts.cq500 import Cq500Scan, write_cq500
from lvo_kedro.simulation.public_layouts.isles24 import Isles24Patient, write_isles24
from lvo_kedro.simulation.public_layouts.topcow import TopcowPatient, write_topcow

__all__ = [
    "CpaisdStudy",
    "Cq500Scan",
    "Isles24Patient",
    "TopcowPatient",
    "write_cpaisd",
    "write_cq500",
    "write_isles24",
    "write_topcow",
]
