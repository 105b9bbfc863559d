"""One variant of a paper: trained and tested under each protocol and seed."""

from wbc_pipeline.pipelines.experiment.pipeline import experiment_pipeline, precision_pipeline

__all__ = ["experiment_pipeline", "precision_pipeline"]
