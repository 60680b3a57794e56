"""Stage 3: nnU-Net marks the occluded vessel on its projection; segment, side and point follow."""

from lvo_kedro.pipelines.localization_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
