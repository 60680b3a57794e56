"""The comparison pipeline: each run fetched in a namespace of its own, each split compared."""

from __future__ import annotations

from kedro.pipeline import Node, Pipeline, node, pipeline

from lvo_kedro.pipelines.comparison import nodes
from lvo_kedro.settings import EVALUATED_SPLITS


def create_pipeline(**_: object) -> Pipeline:
    """Two run ids to tables of differences and a page."""
    fetched = [_fetch(name) for name in ("run_a", "run_b")]
    return sum(fetched, start=pipeline([*map(_compare, EVALUATED_SPLITS), _write()]))


def _fetch(name: str) -> Pipeline:
    fetch = node(
        nodes.fetch_run,
        inputs="params:id",
        outputs="results",
        name="fetch_run",
    )
    return pipeline([fetch], namespace=name, parameters={"params:id": f"params:comparison.{name}"})


def _compare(split: str) -> Node:
    return node(
        nodes.compare_split,
        inputs=[
            "run_a.results",
            "run_b.results",
            "params:comparison",
            "params:evaluation",
            f"params:{split}.split",
        ],
        outputs=[f"comparison.{split}", f"comparison.{split}_metrics"],
        name=f"compare_{split}",
    )


def _write() -> Node:
    inputs = {run: f"{run}.results" for run in ("run_a", "run_b")}
    inputs |= {split: f"comparison.{split}" for split in EVALUATED_SPLITS}
    inputs["evaluation"] = "params:evaluation"
    return node(
        nodes.write_comparison, inputs=inputs, outputs="comparison.report", name="write_comparison"
    )
