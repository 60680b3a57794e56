"""The simulation pipeline; not part of a default run."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.pipelines.simulation import nodes


def create_pipeline(**_: object) -> Pipeline:
    """Options to a cohort table with simulated scans and annotations."""
    return pipeline(
        [
            node(
                nodes.plan_simulation,
                inputs="params:simulation",
                outputs="simulation_plan",
                name="plan_simulation",
            ),
            node(
                nodes.simulate_scans,
                inputs=["simulation_plan", "params:simulation"],
                outputs="simulated_scans",
                name="simulate_scans",
            ),
            node(
                nodes.list_simulated_cases,
                inputs=["simulation_plan", "simulated_scans"],
                outputs="cases",
                name="list_simulated_cases",
            ),
        ]
    )
