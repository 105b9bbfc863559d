"""Lists results that no current parameters ask for, and removes them on demand."""

from wbc_pipeline.pipelines.prune.pipeline import create_pipeline

__all__ = ["create_pipeline"]
