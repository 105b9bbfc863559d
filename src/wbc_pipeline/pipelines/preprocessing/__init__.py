"""Images to views of them, computed once."""

from wbc_pipeline.pipelines.preprocessing.pipeline import view_pipeline

__all__ = ["view_pipeline"]
