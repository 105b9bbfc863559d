"""The Kedro hook that tracks a command in MLflow."""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

from kedro.framework.hooks import hook_impl

from wbc_pipeline.processes import process_rank
from wbc_pipeline.tracking import current_tracker

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
        self._tables: dict[str, Any] = {}

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Remember the tracking parameters."""
        self._options = context.config_loader["parameters"]["tracking"]

    @hook_impl
    def before_pipeline_run(self, run_params: dict[str, Any]) -> None:
        """Start the tracker, unless tracking is off or this is not the first process."""
        self._tables = {}
        if not self._options["enabled"] or process_rank() > 0:
            return
        for name, value in MLFLOW_SETTINGS.items():
            os.environ.setdefault(name, value)
        from wbc_pipeline.tracking.tracker import Tracker

        uri, artifacts = self._store()
        tags = {"kedro_run": run_params["run_id"], "command": command_line(), **git_state()}
        current_tracker.set(Tracker(uri, artifacts=artifacts, tags=tags))

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log a report's scores and figures once its tables are there."""
        tracker = current_tracker.get()
        paper, _, table = dataset_name.partition(".report.")
        if tracker is None or not table:
            return
        self._tables[dataset_name] = data
        if table == "metrics":
            runs, history = (self._tables[f"{paper}.report.{name}"] for name in ("runs", "history"))
            tracker.log_scores(paper, data, runs, history)
        elif table == "run_figures":
            tracker.log_figures(paper, data, self._tables[f"{paper}.report.runs"])

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Forget the tracker."""
        current_tracker.set(None)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Forget the tracker; the run that failed is marked already."""
        current_tracker.set(None)

    def _store(self) -> tuple[str, str | None]:
        """Give the tracking URI and, for a store of files, where artifacts go."""
        uri = os.environ.get("MLFLOW_TRACKING_URI") or self._options["uri"]
        if not uri.startswith("sqlite:///"):
            return uri, None
        path = Path(uri.removeprefix("sqlite:///")).resolve()
        path.parent.mkdir(parents=True, exist_ok=True)
        return f"sqlite:///{path}", (path.parent / "mlartifacts").as_uri()


def command_line() -> str:
    """Give the command as a user would type it again."""
    return shlex.join(["kedro", *sys.argv[1:]])


def git_state() -> dict[str, str]:
    """Give the commit of the code, and whether files differ from it; empty outside a checkout."""
    here = Path(__file__).parent

    def ask(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        is_dirty = bool(ask("status", "--porcelain", "--untracked-files=no"))
        return {"git_commit": ask("rev-parse", "HEAD"), "git_dirty": str(is_dirty).lower()}
    except (OSError, subprocess.CalledProcessError):
        return {}
