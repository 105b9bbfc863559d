"""A trained model's answers on images of users: table, overlays, contact sheet, page."""

from wbc_pipeline.pipelines.predict.pipeline import (
    create_export_pipeline,
    create_likeness_pipeline,
    create_pipeline,
)

__all__ = ["create_export_pipeline", "create_likeness_pipeline", "create_pipeline"]
