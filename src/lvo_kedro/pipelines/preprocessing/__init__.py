"""Scans and annotations from files of any origin to straight RAS+ images in HU, and the folds."""

from lvo_kedro.pipelines.preprocessing.pipeline import create_pipeline

__all__ = ["create_pipeline"]
