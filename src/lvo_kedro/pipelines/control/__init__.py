"""Detection on shuffled labels, whose AUC must be a coin's."""

from lvo_kedro.pipelines.control.pipeline import create_pipeline

__all__ = ["create_pipeline"]
