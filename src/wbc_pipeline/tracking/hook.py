"""The Kedro hook that tracks a command in MLflow."""

import os
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl
from kedro.pipeline import Pipeline

from wbc_pipeline.processes import process_rank
from wbc_pipeline.tracking import current_tracker
from wbc_pipeline.tracking.settings import MLFLOW_SETTINGS, store_uri

TRAININGS = (".trainings", ".detectors")  # how the names of datasets of kept trainings end
CHAMPION = "compare.champion"  # files of a card
REPORT = ".report.report"  # and that of pages
CONFIDENCES = ".confidences"  # and that of what is fitted beside them


class TrackingHook:
    """Start a tracker before a pipeline runs and feed it the scores that the pipeline saves.

    MLflow is imported only here, and only when a pipeline is about to run.
    """

    def __init__(self):
        self._forget()

    def _forget(self) -> None:
        self._runs: dict[str, Any] = {}  # by paper, the report's table of trainings
        self._metrics: dict[str, Any] = {}  # and that of scores
        self._seen: set[Any] = set()  # trainings in MLflow, and whether there was an example
        self._example = None  # a few packed images
        current_tracker.set(None)

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember the tracking parameters."""
        parameters = context.config_loader["parameters"]
        self._options = parameters["tracking"]
        self._dataset = parameters["dataset"]
        self._reports = Path(parameters["data"]) / "08_reporting"

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Start the tracker, unless tracking is off or this is not the first process.

        A pipeline that neither trains, reports nor registers does without MLflow's half gigabyte.
        """
        self._forget()
        has_runs = any({"training", "reporting", "registry"} & node.tags for node in pipeline.nodes)
        if not (self._options["enabled"] and has_runs) or process_rank() > 0:
            return
        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        from wbc_pipeline.tracking.tracker import Tracker

        uri, artifacts = self._store()
        tags = {"kedro_run": run_params["run_id"]}
        tracker = Tracker(uri, artifacts=artifacts, tags=tags, reports=self._reports)
        current_tracker.set(tracker)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a report, and its scores and figures to the trainings that they come from."""
        tracker = current_tracker.get()
        if tracker is None:
            return
        if dataset_name == CHAMPION:
            if data:
                tracker.crown(data["champion.json"])
            return
        if dataset_name.endswith(REPORT):
            name = dataset_name.removesuffix(REPORT)
            tracker.log_report(name, data, dataset=self._dataset)
            return
        paper, _, name = dataset_name.partition(".")
        table = name.removeprefix("report.")
        if table == "ensembles":
            for ensemble in data:
                tracker.log_ensemble(**ensemble)
        elif table == "runs":
            self._runs[paper] = data
        elif table == "metrics":
            self._metrics[paper] = data
        if table in ("ensembles", "metrics") and paper in self._runs.keys() & self._metrics:
            tracker.log_scores(paper, self._metrics[paper], self._runs[paper])
        elif table == "run_figures" and paper in self._runs:
            tracker.log_figures(paper, data, self._runs[paper])

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Enter kept trainings that were made while nothing tracked, and complete the others."""
        tracker = current_tracker.get()
        if tracker is None:
            return
        if dataset_name == "images":
            self._example = data.pixels[:1]
        elif dataset_name.endswith(TRAININGS):
            for result in data.values():
                known = result.digest, self._example is not None
                if known not in self._seen:
                    self._seen.add(known)
                    tracker.enter(result, self._example)
        elif dataset_name.endswith(CONFIDENCES):
            paper = dataset_name.removesuffix(CONFIDENCES)
            for result in data.values():
                if result.digest not in self._seen:
                    self._seen.add(result.digest)
                    tracker.log_confidence(paper, result)

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
        uri = store_uri(self._options["uri"])
        if not uri.startswith("sqlite:///"):
            return uri, None
        folder = Path(uri.removeprefix("sqlite:///")).parent
        folder.mkdir(parents=True, exist_ok=True)
        return uri, (folder / "mlartifacts").as_uri()
