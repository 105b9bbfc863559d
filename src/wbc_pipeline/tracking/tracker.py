"""Talking to MLflow so that nothing depends on it."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import lightning
import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, Metric, Param, RunTag
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import digest, run_name

# MLflow takes at most this many metrics in one call.
BATCH = 1000
SCORES = ("accuracy", "macro_f1", "log_loss", "ece", "brier", "auc", "inference_ms")
_log = logging.getLogger(__name__)


def _never_fails(method: Callable) -> Callable:
    """Turn a failure of tracking into one warning, and stop tracking."""

    @wraps(method)
    def guarded(self, *args, **kwargs):
        if self.is_broken:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            self.is_broken = True
            _log.warning(
                "MLflow at %s failed (%s: %s); this command is no longer tracked. Results are on "
                "disk, and the next command tracks what is missing.",
                self.uri,
                type(error).__name__,
                str(error).splitlines()[0] if str(error) else "no message",
            )
            return None

    return guarded


class Tracker:
    """MLflow for the length of one command.

    Parameters
    ----------
    uri
        MLflow's tracking URI.
    artifacts
        Where new experiments keep their files; None leaves it to the server.
    tags
        Tags of every run.
    """

    def __init__(self, uri: str, *, artifacts: str | None, tags: dict[str, str]):
        self.uri = uri
        self.is_broken = False
        self._artifacts = artifacts
        self._tags = tags
        self._experiments: dict[str, str] = {}
        self._client = mlflow.MlflowClient(uri)
        self._say_hello()

    @contextmanager
    def run(self, key: dict[str, Any]) -> "Iterator[TrackedRun]":
        """Track one training: RUNNING, then FINISHED, KILLED if interrupted, or FAILED."""
        run_id = self.start(key)
        tracked = TrackedRun(self, run_id, key)
        monitor = self._monitor(run_id)
        status = "FAILED"
        try:
            yield tracked
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            # Lightning turns Ctrl-C into an exit.
            status = "KILLED"
            raise
        finally:
            if monitor is not None:
                monitor.finish()
            self.end(run_id, status)

    @_never_fails
    def _say_hello(self) -> None:
        self._client.search_experiments(max_results=1)

    @_never_fails
    def start(self, key: dict[str, Any]) -> str:
        """Create a run with its parameters, tags and data set."""
        names = ("paper", "variant", "protocol", "seed", "fold", "dataset")
        identity = {name: str(key[name]) for name in names}
        data = digest([key["views"]["image"], key["labels"], key["rows"]])
        run = self._client.create_run(
            self._experiment(key["paper"]),
            run_name=f"{key['dataset']} {key['variant']} "
            + run_name(key["protocol"], key["seed"], key["fold"]),
            tags={**self._tags, **identity, "key": digest(key), "data_digest": data},
        )
        run_id = run.info.run_id
        parameters = [Param(name, str(value)[:6000]) for name, value in _flatten(key)]
        self._client.log_batch(run_id, params=parameters)
        dataset = Dataset(
            name=key["dataset"], digest=data, source_type="local", source=key["dataset"]
        )
        self._client.log_inputs(run_id, [DatasetInput(dataset)])
        return run_id

    @_never_fails
    def log_points(self, run_id: str, points: list[Metric]) -> None:
        """Log metrics that carry their own steps."""
        finite = [point for point in points if math.isfinite(point.value)]
        for start in range(0, len(finite), BATCH):
            self._client.log_batch(run_id, metrics=finite[start : start + BATCH])

    @_never_fails
    def log_result(self, run_id: str, folder: Path, example: np.ndarray | None) -> None:
        """Log what a training left behind: summary, tracked scalars, and the model."""
        summary = pd.read_json(folder / "summary.json", typ="series")
        self._client.log_batch(
            run_id,
            tags=[
                RunTag(name, str(summary[name]))
                for name in ("precision", "channels_last", "device", "hardware")
            ],
        )
        self._log_summary(run_id, summary)
        paths = pd.read_parquet(folder / "paths.parquet")
        self.log_points(run_id, _points(paths, "step"))
        if example is not None:
            from wbc_pipeline.tracking.served_model import log_model

            log_model(folder, example, run_id=run_id, uri=self.uri)

    @_never_fails
    def enter(self, result: Result, example: np.ndarray) -> None:
        """Enter a kept training that was made while nothing tracked, unless it is there.

        Parameters
        ----------
        result
            The training's result.
        example
            uint8 [B, H, W, 3], RGB: images as the model takes them.
        """
        if self._find(result.key["paper"], result.digest):
            return
        run_id = self.start(result.key)
        history = result.table("history").melt("epoch", var_name="name")
        self.log_points(run_id, _points(history, "epoch"))
        self.log_result(run_id, result.folder, example)
        self.end(run_id, "FINISHED")

    @_never_fails
    def log_scores(self, paper: str, metrics: pd.DataFrame, runs: pd.DataFrame) -> None:
        """Log test scores to the runs that they belong to; to each fold those of all together."""
        names = ["variant", "protocol", "seed"]
        for row in (
            metrics[metrics["condition"] == "clean"].merge(runs, on=names).to_dict("records")
        ):
            run_id = self._find(paper, row["key"])
            now = _milliseconds()
            scores = [Metric(f"test_{name}", row[name], now, 0) for name in SCORES if name in row]
            if run_id:
                self.log_points(run_id, scores)

    @_never_fails
    def log_figures(self, paper: str, figures: dict[str, Any], runs: pd.DataFrame) -> None:
        """Log each run's own figure; ``figures`` has names like ``blend-source-0.png``."""
        for row in runs.to_dict("records"):
            run_id = self._find(paper, row["key"])
            figure = figures.get(f"{row['variant']}-{row['protocol']}-{row['seed']}.png")
            if run_id and figure is not None:
                self._client.log_figure(run_id, figure, "figures/run.png")

    @_never_fails
    def end(self, run_id: str, status: str) -> None:
        """Close a run as FINISHED, FAILED or KILLED."""
        self._client.set_terminated(run_id, status)

    @_never_fails
    def _monitor(self, run_id: str) -> SystemMetricsMonitor:
        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        monitor = SystemMetricsMonitor(run_id, sampling_interval=2, tracking_uri=self.uri)
        monitor.start()
        return monitor

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            known = self._client.get_experiment_by_name(name)
            self._experiments[name] = (
                known.experiment_id
                if known
                else self._client.create_experiment(name, artifact_location=self._artifacts)
            )
        return self._experiments[name]

    def _find(self, paper: str, key: str) -> str | None:
        found = self._client.search_runs(
            [self._experiment(paper)],
            filter_string=f"tags.key = '{key}' AND attributes.status = 'FINISHED'",
            max_results=1,
        )
        return found[0].info.run_id if found else None

    def _log_summary(self, run_id: str, summary: Any) -> None:
        names = ("epochs", "best_epoch", "training_seconds", "seconds_per_epoch", "parameters")
        now = _milliseconds()
        points = [Metric(name, float(summary[name]), now, 0) for name in names if name in summary]
        self.log_points(run_id, points)


class TrackedRun:
    """One MLflow run, while it trains."""

    def __init__(self, tracker: Tracker, run_id: str | None, key: dict[str, Any]):
        self._tracker = tracker
        self._run_id = run_id
        self.callbacks = [] if run_id is None else [EpochCurves(tracker.uri, run_id)]

    def log_result(self, folder: Path, *, example: np.ndarray | None = None) -> None:
        """Log what the training left behind in its folder.

        Parameters
        ----------
        folder
            The result's folder.
        example
            uint8 [B, H, W, 3], RGB: images as the model takes them; None for one that is not
            served, such as a detector.
        """
        self._tracker.log_result(self._run_id, folder, example)


class EpochCurves(lightning.Callback):
    """Log losses and accuracies after each epoch.

    Holds no client, so that it travels to the processes of a distributed training.
    """

    def __init__(self, uri: str, run_id: str):
        self.uri = uri
        self.run_id = run_id
        self.is_broken = False

    def on_train_epoch_end(self, trainer: lightning.Trainer, module: Any) -> None:
        """Log the epoch's numbers, from the first process only."""
        if trainer.is_global_zero:
            self._log(trainer.current_epoch, dict(trainer.callback_metrics))

    @_never_fails
    def _log(self, epoch: int, metrics: dict[str, Any]) -> None:
        now = _milliseconds()
        names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
        points = [
            Metric(name, metrics[name].item(), now, epoch) for name in names if name in metrics
        ]
        mlflow.MlflowClient(self.uri).log_batch(self.run_id, metrics=points)


def _points(table: pd.DataFrame, step: str) -> list[Metric]:
    now = _milliseconds()
    return [
        Metric(row.name, float(row.value), now, int(getattr(row, step)))
        for row in table[["name", "value", step]].itertuples(index=False)
    ]


def _flatten(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict) and item:
            yield from _flatten(item, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", item


def _milliseconds() -> int:
    return int(time.time() * 1000)
