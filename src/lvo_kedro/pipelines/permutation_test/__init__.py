"""Detection on shuffled labels, whose AUC must be a coin's."""

from lvo_kedro.pipelines.permutation_test.pipeline import create_pipeline

__all__ = ["create_pipeline"]
