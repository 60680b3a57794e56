"""What surrounds the method's own nodes when trained models are run on new scans."""

from lvo_kedro.pipelines.inference.pipeline import create_pipeline

__all__ = ["create_pipeline"]
