"""What anatomy says before any learning: territory, hemispheres, hemispheric difference."""

from lvo_kedro.pipelines.priors.pipeline import create_pipeline

__all__ = ["create_pipeline"]
