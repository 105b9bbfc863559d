"""Images to views of them, computed once."""

from wbc_pipeline.pipelines.preprocessing.pipeline import create_pipeline, view_pipeline

__all__ = ["create_pipeline", "view_pipeline"]
