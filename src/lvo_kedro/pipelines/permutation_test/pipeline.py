"""The permutation_test pipeline; the registry puts detection's own nodes in between."""

from __future__ import annotations

from kedro.pipeline import Pipeline, node, pipeline

from lvo_kedro.cohort import shuffle_labels
from lvo_kedro.pipelines.permutation_test import nodes
from lvo_kedro.settings import EVALUATED_SPLITS, SHUFFLES


def create_pipeline(**_: object) -> Pipeline:
    """The evaluation of each shuffle to one table, with the mean over shuffles."""
    names = [f"{shuffle}.{split}.detection" for shuffle in SHUFFLES for split in EVALUATED_SPLITS]
    return pipeline(
        [
            node(
                nodes.summarize_shuffles,
                inputs={name: name for name in names} | {"options": "params:evaluation"},
                outputs=["permutation_summary", "permutation_metrics"],
                name="summarize_shuffles",
            )
        ]
    )


def deal_labels() -> Pipeline:
    """The cohort of one shuffle, in place of the true one."""
    return pipeline(
        [
            node(
                shuffle_labels,
                inputs=["true_cohort", "params:seed"],
                outputs="cohort",
                name="shuffle_labels",
            )
        ]
    )
