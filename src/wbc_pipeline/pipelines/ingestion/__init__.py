"""Raw files to one manifest and one array."""

from wbc_pipeline.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
