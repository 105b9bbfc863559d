"""The Kedro hook that checks parameters, and says at the end what came of the command."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from kedro.framework.hooks import hook_impl
from kedro.framework.project import pipelines
from kedro.io import CatalogProtocol, MemoryDataset
from kedro.pipeline import Pipeline

from wbc_pipeline.config import WITHOUT_DATASET
from wbc_pipeline.datasets.results import Policy, current_policy
from wbc_pipeline.options import split_text
from wbc_pipeline.processes import FirstProcess, is_launched, process_rank, share_folder
from wbc_pipeline.tracking.settings import viewing_command

if TYPE_CHECKING:
    import pandas as pd

    from wbc_pipeline.planning import Plan

SHOWN_SCORES = ("accuracy", "macro_f1")
ASKED = "predict.report.report"
UNREADABLE = "predict.unreadable"
EXPORTED = "predict.onnx"
UNPLANNED = {"__default__", "prune", *WITHOUT_DATASET}  # the last keep what a command asked for


class ParameterHook:
    """Check parameters as soon as they are read, and the rest before any node runs."""

    _first: FirstProcess | None = None

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check YAML and ``--params`` together."""
        from wbc_pipeline.parameters.schema import check_parameters

        self._parameters = context.config_loader["parameters"]
        self._checked = check_parameters(self._parameters, asked=_asked_groups())
        current_policy.set(Policy(tuple(split_text(self._parameters["rerun"]))))

    @hook_impl(tryfirst=True)  # before anything is tracked
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: CatalogProtocol
    ) -> None:
        """Check runner, raw data, what the pipeline begins with, and networks to be trained."""
        from wbc_pipeline.parameters import checks

        checks.check_runner(run_params["runner"])
        if "prune.plan" in pipeline.inputs():
            catalog["prune.plan"] = MemoryDataset(_plan_all(catalog), copy_mode="assign")
        names = sorted(name for name in pipeline.inputs() if name.endswith("source"))
        checks.check_sources([catalog[name].load() for name in names], self._checked.sources)
        checks.check_inputs(pipeline, catalog, run_params["pipeline_names"] or [])
        checks.check_partial(pipeline, catalog, self._checked)
        for group in {
            node.namespace.rpartition(".")[0] for node in pipeline.nodes if "training" in node.tags
        }:
            checks.check_group(self._checked, group)
        if self._parameters["plan"]:
            from wbc_pipeline.planning import plan_pipelines

            click.echo(plan_pipelines([pipeline], catalog).describe())
            raise SystemExit(0)
        checks.check_data_folder(Path(self._parameters["data"]))
        if is_launched():
            self._first = share_folder(Path(self._parameters["data"]))
            if process_rank() == 0:
                self._first.start()

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Show the scores, where the report lies, and what to open next."""
        self._stop()
        if process_rank() == 0:
            for name in sorted(pipeline.all_outputs()):
                if name.endswith(".report.report"):
                    click.echo(_say(catalog, name, self._viewer()))
            if EXPORTED in pipeline.all_outputs():
                click.echo(f"\nModel: {catalog[EXPORTED]._describe()['filepath']}")
            if UNREADABLE in pipeline.all_outputs():
                _refuse_unreadable(catalog)

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Give no more signs of life to the other processes of a job."""
        self._stop()

    def _viewer(self) -> str | None:
        tracking = self._parameters["tracking"]
        return viewing_command(tracking["uri"]) if tracking["enabled"] else None

    def _stop(self) -> None:
        if self._first is not None and process_rank() == 0:
            self._first.stop()
        self._first = None


def _asked_groups() -> set[str]:
    """Name the groups of parameters that the requested pipelines take."""
    names = pipelines._requested_pipelines or ["__default__"]
    inputs = {each for name in names for each in pipelines.get(name, Pipeline([])).inputs()}
    inputs.discard("params:preprocessing")  # taken for where to work, not for the views in it
    return {
        name.removeprefix("params:").split(".")[0] for name in inputs if name.startswith("params:")
    }


def _refuse_unreadable(catalog: CatalogProtocol) -> None:
    """End with an error, after all else is written, where files could not be read."""
    unreadable = catalog.load(UNREADABLE)
    if len(unreadable):
        first, ending = unreadable.iloc[0], "s" if len(unreadable) > 1 else ""
        raise click.ClickException(
            f"{len(unreadable)} file{ending} could not be read, such as {first['image_id']} "
            f"({first['reason']}); all others are predicted. "
            f"{catalog[UNREADABLE]._describe()['filepath']} lists them."
        )


def _plan_all(catalog: CatalogProtocol) -> "Plan":
    """Plan every pipeline, with the current parameters."""
    from kedro.validation.type_extractor import TypeExtractor
    from pydantic import TypeAdapter

    from wbc_pipeline.planning import plan_pipelines

    requested = pipelines._requested_pipelines
    pipelines.set_requested(None)
    every = {name: pipelines[name] for name in pipelines if name not in UNPLANNED}
    pipelines.set_requested(requested)
    # Kedro has typed the parameters of requested pipelines alone.
    for name, options in TypeExtractor(every).extract_types_from_pipelines().items():
        given = catalog[f"params:{name}"]
        if (value := given.load()) is not None:
            given.save(TypeAdapter(options).validate_python(value))
    return plan_pipelines(every.values(), catalog)


def _say(catalog: CatalogProtocol, name: str, viewer: str | None) -> str:
    report = catalog[name]._describe()["filepath"]
    lines = [f"\nReport: {report}"]
    metrics = name.removesuffix("report") + "metrics"
    if metrics in catalog.filter(name_regex=f"^{metrics}$"):
        scores = catalog.load(metrics)
        if {"variant", "protocol", *SHOWN_SCORES} <= set(scores):
            lines.insert(0, _table(scores[scores["condition"] == "clean"]))
    lines.append("Next: open it in a browser; `kedro viz run` shows the pipeline.")
    if viewer and name != ASKED:
        lines.append(f"Runs side by side: {viewer}")
    return "\n".join(lines)


def _table(scores: "pd.DataFrame") -> str:
    table = scores.groupby(["variant", "protocol"], sort=False).agg(
        seeds=("seed", "nunique"), **{name: (name, "mean") for name in SHOWN_SCORES}
    )
    return "\n" + table.reset_index().to_string(index=False, float_format="{:.3f}".format)
