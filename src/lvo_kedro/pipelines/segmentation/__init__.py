"""Stage 1: nnU-Net finds C7, M1, M2 and other vessels; every prediction is out of fold."""

from lvo_kedro.pipelines.segmentation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
