"""Two tracked runs side by side: is one better on the same cases, and which cases changed?"""

from lvo_kedro.pipelines.comparison.pipeline import create_pipeline

__all__ = ["create_pipeline"]
