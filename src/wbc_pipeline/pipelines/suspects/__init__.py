"""Which labels cross-validated classifiers deny, and what that explains."""

from wbc_pipeline.pipelines.suspects.pipeline import create_pipeline

__all__ = ["create_pipeline"]
