"""Learning curves in MLflow while a network trains."""

import logging
from collections.abc import Mapping
from typing import Any

import mlflow
from lightning.pytorch.loggers import MLFlowLogger

from wbc_pipeline.tracking.metric_names import curve_name

_log = logging.getLogger(__name__)


class CurveLogger(MLFlowLogger):
    """Lightning's logger for a run that the tracker has begun, and which can stop no training.

    Logs what stands once an epoch (see `curve_name`), with the epoch as its step; scalars of single
    steps follow in one batch after training. The tracker logs parameters and ends the run.

    Parameters
    ----------
    uri
        MLflow's tracking URI.
    run_id
        The run.
    """

    def __init__(self, uri: str, run_id: str):
        super().__init__(tracking_uri=uri, run_id=run_id)
        self.is_broken = False

    def __reduce__(self):
        # Travels to the processes of a distributed training, which the client cannot.
        return type(self), (self._tracking_uri, self._run_id)

    @property
    def experiment(self) -> mlflow.MlflowClient:
        """The client; Lightning's property would redirect the whole process to this store."""
        return self._mlflow_client

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log the epoch's metrics; after a failure warn once, and log no more."""
        curves = {curve_name(name): value for name, value in metrics.items() if curve_name(name)}
        if self.is_broken or not curves:
            return
        try:
            super().log_metrics(curves, step=int(metrics["epoch"]))
        except Exception as error:
            self.is_broken = True
            _log.warning(
                "MLflow at %s does not take the learning curves (%s); training goes on, and the "
                "curves are kept in the result's history.parquet.",
                self._tracking_uri,
                type(error).__name__,
            )

    def log_hyperparams(self, params: Any) -> None:
        """Log nothing: the run has the parameters of its key."""

    def finalize(self, status: str = "success") -> None:
        """Leave the run open: the model and the scores follow."""
