"""Every paper, and other people's predictions, side by side."""

from wbc_pipeline.pipelines.compare.pipeline import create_pipeline

__all__ = ["create_pipeline"]
