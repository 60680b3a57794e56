"""Folders of simulated patients in the layouts of public cohorts, with the quirks of the real ones.

They show that an adapter reads a layout, and nothing about the cohort that it is named after.
"""

from lvo_kedro.simulation.public_layouts.isles24 import Isles24Patient, write_isles24

__all__ = ["Isles24Patient", "write_isles24"]
