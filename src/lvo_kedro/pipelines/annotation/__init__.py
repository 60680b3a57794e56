"""Vessel labels from paired CT angiographies: proposals for a person to accept or correct."""

from lvo_kedro.pipelines.annotation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
