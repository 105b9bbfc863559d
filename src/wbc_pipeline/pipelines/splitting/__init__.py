"""Who learns from which images, under each protocol."""

from wbc_pipeline.pipelines.splitting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
