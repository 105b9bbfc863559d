"""The blend paper: a CNN fed by a learned mix of the image and its segmented foreground."""

from wbc_pipeline.pipelines.blend.pipeline import create_pipeline

__all__ = ["create_pipeline"]
