"""The Kedro hook that tracks a command in MLflow."""

import os
import re
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from wbc_pipeline.processes import process_rank
from wbc_pipeline.provenance import command_line, git_state
from wbc_pipeline.tracking import current_tracker

# Names of the datasets that keep a variant's trainings; a report has a table of that name.
TRAININGS = re.compile(r"\w+\.(?!report\.)\w+\.runs")
# MLflow's own defaults let a dead server hold a run up for minutes, and talk much.
MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
}


class TrackingHook:
    """Start a tracker before a pipeline runs and feed it the scores that the pipeline saves.

    MLflow is imported only here, and only when a pipeline is about to run.
    """

    def __init__(self):
        self._forget()

    def _forget(self) -> None:
        self._runs: dict[str, Any] = {}  # by paper, the report's table of trainings
        self._seen: set[str] = set()  # trainings known to be in MLflow
        self._example = None  # a few packed images
        current_tracker.set(None)

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember the tracking parameters."""
        self._options = context.config_loader["parameters"]["tracking"]

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Start the tracker, unless tracking is off or this is not the first process.

        A pipeline that neither trains nor reports does without MLflow's half gigabyte.
        """
        self._forget()
        has_runs = any({"training", "reporting"} & node.tags for node in pipeline.nodes)
        if not (self._options["enabled"] and has_runs) or process_rank() > 0:
            return
        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        from wbc_pipeline.tracking.tracker import Tracker

        uri, artifacts = self._store()
        tags = {"kedro_run": run_params["run_id"], "command": command_line(), **git_state()}
        current_tracker.set(Tracker(uri, artifacts=artifacts, tags=tags))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a report's scores and figures to the trainings that they come from."""
        tracker = current_tracker.get()
        paper, _, table = dataset_name.partition(".report.")
        if tracker is None or not table:
            return
        if table == "runs":
            self._runs[paper] = data
        elif table == "metrics" and paper in self._runs:
            tracker.log_scores(paper, data, self._runs[paper])
        elif table == "run_figures" and paper in self._runs:
            tracker.log_figures(paper, data, self._runs[paper])

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Enter kept trainings that were made while nothing tracked."""
        tracker = current_tracker.get()
        if tracker is None:
            return
        if dataset_name == "images":
            self._example = data.pixels[:2]
        elif self._example is not None and TRAININGS.fullmatch(dataset_name):
            for result in data.values():
                if result.digest not in self._seen:
                    self._seen.add(result.digest)
                    tracker.enter(result, self._example)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Forget the tracker."""
        self._forget()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Forget the tracker; the run that failed is marked already."""
        self._forget()

    def _store(self) -> tuple[str, str | None]:
        """Give the tracking URI and, for a store of files, where artifacts go."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self._options["uri"]
        if not uri.startswith("sqlite:///"):
            return uri, None
        path = Path(uri.removeprefix("sqlite:///")).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{path}", (path.parent / "mlartifacts").as_uri()
