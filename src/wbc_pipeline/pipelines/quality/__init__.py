"""How good the image library is, measured on annotated images."""

from wbc_pipeline.pipelines.quality.pipeline import create_pipeline

__all__ = ["create_pipeline"]
