"""Talking to MLflow so that nothing depends on it."""

import getpass
import json
import logging
import math
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial, wraps
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.entities import Dataset, DatasetInput, Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.utils.file_utils import local_file_uri_to_path
from mlflow.utils.mlflow_tags import (
    MLFLOW_GIT_COMMIT,
    MLFLOW_RUN_NOTE,
    MLFLOW_SOURCE_NAME,
    MLFLOW_SOURCE_TYPE,
    MLFLOW_USER,
)

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.keys import digest, flatten, run_name
from wbc_pipeline.models import DESCRIPTION_FILE
from wbc_pipeline.provenance import provenance
from wbc_pipeline.tracking import REPORTS
from wbc_pipeline.tracking.dead_runs import close_dead_runs, process_tags
from wbc_pipeline.tracking.description import describe_run
from wbc_pipeline.tracking.file_store import MIGRATION, advise_migration
from wbc_pipeline.tracking.metric_names import SUMMARY, curve_name, path_name, score_name
from wbc_pipeline.tracking.moved_store import follow_moved_store

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

# MLflow takes at most this many metrics, and this many tags or parameters, in one call.
METRICS_AT_ONCE, PARAMETERS_AT_ONCE = 1000, 100
LONGEST_TAG = 5000
IDENTITY = ("paper", "variant", "protocol", "seed", "fold", "dataset")
RUN_KEYS = ["variant", "protocol", "seed"]
SUMMARY_TAGS = ("precision", "channels_last", "device", "hardware", "shared_stages")
CONFIDENCE = "confidence"  # tag: digest of what was fitted beside the training
COMPLETE = "is_complete"  # tag of a run that has all that its training left behind
FOLDER = "result_folder"
_log = logging.getLogger(__name__)


def _never_fails(method: Callable | None = None, *, always: bool = False) -> Callable:
    """Turn a failure of tracking into one warning, and stop tracking.

    What has to be done ``always`` is tried even after a failure.
    """
    if method is None:
        return partial(_never_fails, always=always)

    @wraps(method)
    def guarded(self, *args, **kwargs):
        if self.is_broken and not always:
            return None
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            if not self.is_broken:
                _log.warning(
                    "MLflow at %s failed (%s: %s); this command is no longer tracked. Results are "
                    "on disk, and the next command tracks what is missing.",
                    self.uri,
                    type(error).__name__,
                    str(error).splitlines()[0] if str(error) else "no message",
                )
            self.is_broken = True
            return None

    return guarded


class Tracker:
    """MLflow for the length of one command.

    Parameters
    ----------
    uri
        MLflow's tracking URI.
    artifacts
        For a store of files, the URI of the folder beside it where experiments keep theirs; None
        leaves it to the server.
    tags
        Tags of every run.
    reports
        The folder of reports, ``<reports>/<dataset>/<paper>/report.html``.
    """

    def __init__(
        self,
        uri: str,
        *,
        artifacts: str | None,
        tags: dict[str, str],
        reports: Path | None = None,
    ):
        self.uri = uri
        self.is_broken = False
        self._artifacts = artifacts
        self._tags = tags
        self._reports = reports
        self._experiments: dict[str, str] = {}
        self._ensembles: dict[tuple, list[str]] = defaultdict(list)  # keys, by paper and RUN_KEYS
        self._reported: Run | None = None  # the command's run among the reports
        self._pages: list[str] = []  # where its artifacts' runs are, a line each
        self._client = self._connect()

    @contextmanager
    def run(self, key: dict[str, dict]) -> "Iterator[TrackedRun]":
        """Track one training: RUNNING, then FINISHED, KILLED if interrupted, or FAILED."""
        with self._started(key, provenance()) as run_id:
            monitor = self._start_monitor(run_id)
            try:
                yield TrackedRun(self, run_id)
            finally:
                self._stop_monitor(monitor)

    @_never_fails
    def log_result(self, run_id: str, folder: Path, example: np.ndarray | None) -> None:
        """Log what a training left behind: summary, curves, and a classifier as a model.

        Of the curves it logs the points that the run lacks: a resumed training's logger saw only
        the epochs since, that of a training entered later none.

        Parameters
        ----------
        run_id
            The run.
        folder
            The result's folder.
        example
            uint8 [B, H, W, 3], RGB: packed images. A classifier's model waits for a command that
            has them.
        """
        summary = _read_json(folder / "summary.json")
        now = _milliseconds()
        numbers = [
            Metric(tracked, float(summary[name]), now, 0)
            for name, tracked in SUMMARY.items()
            if summary.get(name) is not None
        ]
        self._log_missing_points(run_id, numbers + _curve_points(folder))
        self._set_tags(
            run_id, {name: str(summary[name]) for name in SUMMARY_TAGS if name in summary}
        )
        self._set_tags(run_id, _unfrozen_tags(folder))
        network = _read_json(folder / DESCRIPTION_FILE)
        if "classes" in network:  # unlike a detector
            if example is None:
                return
            from wbc_pipeline.tracking.model_logging import log_model

            log_model(folder, network, example, run_id=run_id, uri=self.uri)
        self._set_tags(run_id, {COMPLETE: "true"})

    @_never_fails
    def enter(self, result: Result, example: np.ndarray | None) -> None:
        """Give a finished training its run, if nothing tracked it, and the run what it lacks.

        Parameters
        ----------
        result
            The training's result.
        example
            As in `log_result`.
        """
        params, folder = result.key["params"], str(result.folder.resolve())
        run = self._find(params["paper"], result.digest)
        if run is None:
            with self._started(result.key, result.provenance) as run_id:
                self.log_result(run_id, result.folder, example)
        elif COMPLETE not in run.data.tags:
            self.log_result(run.info.run_id, result.folder, example)
        if run is None or run.data.tags.get(FOLDER) != folder:
            self._say_where(params["paper"], result.digest, folder)

    @_never_fails
    def log_confidence(self, paper: str, result: Result) -> None:
        """Add what was fitted beside a training to its logged model, unless it is there.

        Parameters
        ----------
        paper
            Name of the paper.
        result
            Its key names the training.
        """
        run = self._find(paper, result.key["data"]["training"])
        model_id = _last_model(run)
        if model_id is None or run.data.tags.get(CONFIDENCE) == result.digest:
            return
        from wbc_pipeline.models.confidence import CONFIDENCE_FILES
        from wbc_pipeline.tracking.model_logging import log_beside

        log_beside(result.folder, CONFIDENCE_FILES, model_id=model_id, uri=self.uri)
        self._set_tags(run.info.run_id, {CONFIDENCE: result.digest})

    @_never_fails
    def log_ensemble(self, key: dict[str, dict], weights: Mapping[str, float]) -> None:
        """Give an ensemble its run, unless it has one, and remember it for the scores."""
        params = key["params"]
        self._ensembles[params["paper"], *(params[name] for name in RUN_KEYS)].append(digest(key))
        if self._find(params["paper"], digest(key)) is None:
            fitted = {"params": {**params, "weights": dict(weights)}} if weights else {}
            with self._started(key, provenance(), logged={**key, **fitted}):
                pass

    @_never_fails
    def log_scores(self, paper: str, metrics: pd.DataFrame, runs: pd.DataFrame) -> None:
        """Log test scores to the runs that they belong to; to each fold those of all together.

        Parameters
        ----------
        paper
            Name of the paper.
        metrics
            A row per variant, protocol, seed and condition.
        runs
            A row per training, its key's digest in ``key``.
        """
        from wbc_pipeline.evaluation.scores.entries import METRICS

        names = [name for name, metric in METRICS.items() if metric.tracked]
        trained = runs.groupby(RUN_KEYS, sort=False)["key"].agg(list).to_dict()
        for row in metrics[metrics["condition"] == "clean"].to_dict("records"):
            identity = tuple(row[name] for name in RUN_KEYS)
            for key in (*trained.get(identity, ()), *self._ensembles.get((paper, *identity), ())):
                run = self._find(paper, key)
                if run is None:
                    continue
                scores = {score_name(name): row[name] for name in names if name in row}
                now, known = _milliseconds(), run.data.metrics
                self._log_points(
                    run.info.run_id,
                    [
                        Metric(name, value, now, 0)
                        for name, value in scores.items()
                        if known.get(name) != value
                    ],
                )
                self._describe(run, scores=row)

    @_never_fails
    def crown(self, champion: dict[str, Any]) -> None:
        """Register the best leak-free network of a data set, and give it its card.

        Parameters
        ----------
        champion
            ``name`` of the registered model, ``dataset``, ``paper``, and the ``key`` of its
            training; the card lies in ``<reports>/<dataset>/compare/champion``.
        """
        model_id = _last_model(self._find(champion["paper"], champion["key"]))
        if model_id is None:
            _log.warning(
                "%s is not registered, as MLflow at %s has no model of its training: run %s once "
                "more, which enters it and trains nothing anew.",
                champion["name"],
                self.uri,
                champion["paper"],
            )
            return
        from wbc_pipeline.tracking.registry import crown

        card = self._reports / champion["dataset"] / "compare" / "champion"
        crown(champion["name"], model_id=model_id, card=card, uri=self.uri)

    @_never_fails
    def log_figures(self, paper: str, figures: dict[str, Any], runs: pd.DataFrame) -> None:
        """Log each run's own figure; ``figures`` has names like ``blend-source-0.png``.

        What the report has drawn already is not drawn again.
        """
        for row in runs.to_dict("records"):
            name = f"{row['variant']}-{row['protocol']}-{row['seed']}.png"
            run = self._find(paper, row["key"]) if name in figures else None
            if run is None:
                continue
            place = Path(run.data.params["dataset"], paper, "runs", name)
            if self._reports is None or not (self._reports / place).is_file():
                self._client.log_figure(run.info.run_id, figures[name], "figures/run.png")
                continue
            with TemporaryDirectory() as folder:
                copy = shutil.copy(self._reports / place, Path(folder, "run.png"))
                self._client.log_artifact(run.info.run_id, copy, "figures")

    @_never_fails
    def log_report(self, name: str, page: str, *, dataset: str) -> None:
        """Keep a report as an artifact of the command's one run in the experiment of reports.

        Parameters
        ----------
        name
            Of the paper or pipeline, which is its folder there.
        page
            HTML.
        dataset
            That it is of.
        """
        if self._reported is None:
            self._reported = self._client.create_run(
                self._experiment(REPORTS),
                run_name=f"{dataset} {name}",
                tags={**self._tags, **_source_tags(provenance()), "dataset": dataset},
            )
            self._client.set_terminated(self._reported.info.run_id)
        run_id = self._reported.info.run_id
        self._client.log_text(run_id, page, f"{name}/report.html")
        self._pages.append(
            f"- artifact `{name}/report.html`; its runs: experiment `{name}`, filter "
            f"`tags.dataset = '{dataset}'`"
        )
        self._set_tags(run_id, {MLFLOW_RUN_NOTE: "\n".join(["Reports:", "", *self._pages])})

    @_never_fails
    def _connect(self) -> mlflow.MlflowClient | None:
        try:
            client = mlflow.MlflowClient(self.uri)
        except MlflowException as error:
            if MIGRATION not in str(error):
                raise
            self.is_broken = True
            _log.warning(advise_migration(self.uri))
            return None
        client.search_experiments(max_results=1)
        if self._artifacts is not None:
            database = Path(self.uri.removeprefix("sqlite:///"))
            follow_moved_store(database, local_file_uri_to_path(self._artifacts))
        close_dead_runs(client)
        return client

    @contextmanager
    def _started(
        self, key: dict[str, dict], facts: dict[str, Any], logged: dict[str, dict] | None = None
    ) -> Iterator[str | None]:
        """Begin a run, and end it whatever happens meanwhile."""
        run_id = self._create(key, facts)
        status = "FAILED"
        try:
            if run_id is not None:
                self._log_key(run_id, logged or key)
            yield run_id
            status = "FINISHED"
        except (KeyboardInterrupt, SystemExit):
            # Lightning turns Ctrl-C into an exit.
            status = "KILLED"
            raise
        finally:
            if run_id is not None:
                self._end(run_id, status)

    @_never_fails
    def _create(self, key: dict[str, dict], facts: dict[str, Any]) -> str:
        params = key["params"]
        identity = {name: str(params[name]) for name in IDENTITY}
        name = run_name(params["protocol"], params["seed"], params["fold"])
        run = self._client.create_run(
            self._experiment(params["paper"]),
            run_name=f"{params['dataset']} {params['variant']} {name}",
            tags={
                **self._tags,
                **_source_tags(facts),
                **process_tags(),
                **identity,
                "key": digest(key),
                "data_digest": digest(key["data"]),
            },
        )
        return run.info.run_id

    @_never_fails
    def _log_key(self, run_id: str, key: dict[str, dict]) -> None:
        parameters = [Param(name, str(value)[:6000]) for name, value in flatten(key["params"])]
        for start in range(0, len(parameters), PARAMETERS_AT_ONCE):
            self._client.log_batch(run_id, params=parameters[start : start + PARAMETERS_AT_ONCE])
        name = key["params"]["dataset"]
        dataset = Dataset(name=name, digest=digest(key["data"]), source_type="local", source=name)
        self._client.log_inputs(run_id, [DatasetInput(dataset)])
        self._describe(self._client.get_run(run_id))

    def _describe(self, run: Run, *, scores: Mapping[str, float] | None = None) -> None:
        params = run.data.params
        is_reported = self._reports is not None and scores is not None
        place = Path(params["dataset"], params["paper"], "report.html")
        note = describe_run(
            params,
            folder=run.data.tags.get(FOLDER),
            report=self._reports / place if is_reported else None,
            scores=scores,
        )
        self._set_tags(run.info.run_id, {MLFLOW_RUN_NOTE: note})

    @_never_fails
    def _say_where(self, paper: str, key: str, folder: str) -> None:
        run = self._find(paper, key)
        if run is not None:
            self._set_tags(run.info.run_id, {FOLDER: folder})
            self._describe(self._client.get_run(run.info.run_id))

    @_never_fails(always=True)
    def _end(self, run_id: str, status: str) -> None:
        self._client.set_terminated(run_id, status)

    @_never_fails
    def _start_monitor(self, run_id: str) -> SystemMetricsMonitor:
        logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
        monitor = SystemMetricsMonitor(run_id, sampling_interval=2, tracking_uri=self.uri)
        monitor.start()
        return monitor

    @_never_fails(always=True)
    def _stop_monitor(self, monitor: SystemMetricsMonitor | None) -> None:
        if monitor is not None:
            monitor.finish()

    def _log_missing_points(self, run_id: str, points: list[Metric]) -> None:
        known = {
            (name, point.step)
            for name in {point.key for point in points}
            for point in self._client.get_metric_history(run_id, name)
        }
        self._log_points(run_id, [each for each in points if (each.key, each.step) not in known])

    def _log_points(self, run_id: str, points: list[Metric]) -> None:
        finite = [point for point in points if math.isfinite(point.value)]
        for start in range(0, len(finite), METRICS_AT_ONCE):
            self._client.log_batch(run_id, metrics=finite[start : start + METRICS_AT_ONCE])

    def _set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        self._client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def _experiment(self, name: str) -> str:
        if name not in self._experiments:
            known = self._client.get_experiment_by_name(name)
            self._experiments[name] = known.experiment_id if known else self._new_experiment(name)
        return self._experiments[name]

    def _new_experiment(self, name: str) -> str:
        try:
            return self._client.create_experiment(name, artifact_location=self._artifacts)
        except MlflowException:
            known = self._client.get_experiment_by_name(name)
            if known is None:
                raise
            return known.experiment_id  # another command was faster

    def _find(self, paper: str, key: str) -> Run | None:
        found = self._client.search_runs(
            [self._experiment(paper)],
            filter_string=f"tags.key = '{key}' AND attributes.status = 'FINISHED'",
            max_results=1,
        )
        return found[0] if found else None


def _last_model(run: Run | None) -> str | None:
    """Give the ID of the model that a run logged last; None if there is none."""
    models = run.outputs.model_outputs if run is not None and run.outputs else []
    return models[-1].model_id if models else None


class TrackedRun:
    """One MLflow run, while it trains.

    Attributes
    ----------
    logger
        Takes the learning curves of a Lightning trainer; None where nothing tracks.
    """

    def __init__(self, tracker: Tracker, run_id: str | None):
        self._tracker = tracker
        self._run_id = run_id
        self.logger = self._curve_logger()

    def log_result(self, folder: Path, *, example: np.ndarray | None = None) -> None:
        """Log what the training left behind in its folder.

        Parameters
        ----------
        folder
            The result's folder.
        example
            uint8 [B, H, W, 3], RGB: packed images; None for what is not served, as a detector.
        """
        if self._run_id is not None:
            self._tracker.log_result(self._run_id, folder, example)

    def _curve_logger(self) -> "Logger | None":
        if self._run_id is None:
            return None
        from wbc_pipeline.tracking.curves import CurveLogger

        return CurveLogger(self._tracker.uri, self._run_id)


def _source_tags(facts: dict[str, Any]) -> dict[str, str]:
    """Say where a run comes from, in MLflow's own tags and in full."""
    tags = {name: str(value) for name, value in flatten(facts)}
    tags |= {MLFLOW_SOURCE_NAME: tags["command"], MLFLOW_SOURCE_TYPE: "LOCAL"}
    if "git_commit" in tags:
        tags[MLFLOW_GIT_COMMIT] = tags["git_commit"]
    with suppress(OSError, KeyError):  # an unknown user, as in some containers
        tags[MLFLOW_USER] = getpass.getuser()
    return tags


def _unfrozen_tags(folder: Path) -> dict[str, str]:
    """Name what each stage trained; nothing of results that do not say it."""
    history = pd.read_parquet(folder / "history.parquet")
    if "unfrozen" not in history:
        return {}
    stages = history.drop_duplicates("stage")
    return {
        f"unfrozen.{stage}": parts[:LONGEST_TAG]
        for stage, parts in zip(stages["stage"], stages["unfrozen"], strict=True)
    }


def _curve_points(folder: Path) -> list[Metric]:
    """Read what `CurveLogger` logs, with the epoch as step, and the scalars of single steps."""
    history = pd.read_parquet(folder / "history.parquet").set_index("epoch")
    names = {name: curve_name(name) for name in history if curve_name(name)}
    curves = history[[*names]].rename(columns=names).melt(var_name="name", ignore_index=False)
    paths = pd.read_parquet(folder / "paths.parquet")
    paths["name"] = paths["name"].map(path_name)
    return _points(curves.reset_index(names="step")) + _points(paths)


def _points(table: pd.DataFrame) -> list[Metric]:
    now = _milliseconds()
    return [
        Metric(row.name, float(row.value), now, int(row.step))
        for row in table[["name", "value", "step"]].itertuples(index=False)
    ]


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text())


def _milliseconds() -> int:
    return int(time.time() * 1000)
