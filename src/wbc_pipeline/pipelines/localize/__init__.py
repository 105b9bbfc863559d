"""The localization paper: cells found by colour and by detectors, classified whole and cut out."""

from wbc_pipeline.pipelines.localize.pipeline import create_pipeline

__all__ = ["create_pipeline"]
