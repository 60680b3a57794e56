"""A simulated cohort in place of a real one: cases.csv and its scans, known truth included."""

from lvo_kedro.pipelines.simulation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
