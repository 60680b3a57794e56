"""On demand: the same cases scored again after controlled changes of their scans."""

from lvo_kedro.pipelines.robustness.pipeline import create_pipeline

__all__ = ["create_pipeline"]
