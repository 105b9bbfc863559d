"""The separable paper: three kinds of convolutions on violet crops."""

from wbc_pipeline.pipelines.separable.pipeline import create_pipeline

__all__ = ["create_pipeline"]
