"""How well it works, on cases that no model has seen, and how far the metrics can be trusted."""

from lvo_kedro.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
