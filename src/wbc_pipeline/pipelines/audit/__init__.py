"""What a reviewer asks of an image set before believing a score on it."""

from wbc_pipeline.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
