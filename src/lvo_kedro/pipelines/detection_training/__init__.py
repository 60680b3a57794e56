"""Stage 2: McResNet scores every scan; calibration and operating points from unseen cases."""

from lvo_kedro.pipelines.detection_training.pipeline import create_pipeline

__all__ = ["create_pipeline"]
