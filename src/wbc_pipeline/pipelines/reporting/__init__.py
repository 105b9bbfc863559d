"""From predictions to tables, figures and the report."""

from wbc_pipeline.pipelines.reporting.pipeline import report_pipeline

__all__ = ["report_pipeline"]
