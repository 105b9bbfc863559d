"""Crops of white blood cells, found by colour."""

from wbc_pipeline.pipelines.roi.pipeline import create_pipeline

__all__ = ["create_pipeline"]
