"""A paper's networks on degraded images."""

from wbc_pipeline.pipelines.robustness.pipeline import robustness_pipeline

__all__ = ["robustness_pipeline"]
