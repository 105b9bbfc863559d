"""The project's commands: ``kedro run``, where a user's mistake costs one line."""

import logging
from copy import copy
from typing import Any

import click
import kedro.runner
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS
from kedro.framework.project import pipelines
from yaml import YAMLError

from wbc_pipeline.errors import OWN_PARAMETERS, explain
from wbc_pipeline.suggestions import suggestion

# Where Kedro refuses names of pipelines, nodes, tags and data sets by a plain ValueError.
_SELECTION = ("kedro.pipeline.pipeline", "kedro.framework.session.session")


@click.group(context_settings=CONTEXT_SETTINGS, name=__file__)
def cli() -> None:
    """Command line of this project."""


_PARAMS = next(option for option in kedro_run.params if "--params" in option.opts)


def _split_params(context: click.Context, option: click.Parameter, value: Any) -> Any:
    """Split ``--params`` as Kedro does, and say what to do about a comma that is no separator."""
    try:
        return _PARAMS.callback(context, option, value)
    except click.UsageError as error:
        error.message += (
            " If it follows a comma within a path or a list: --params splits at commas. Write such "
            f"a path into {OWN_PARAMETERS}, and lists with +."
        )
        raise


def _options() -> list[click.Parameter]:
    params = copy(_PARAMS)
    params.callback = _split_params
    return [params if option is _PARAMS else option for option in kedro_run.params]


@cli.command(params=_options(), help=kedro_run.help)
def run(**options: Any) -> dict[str, Any]:
    """Run pipelines as Kedro does."""
    _check_runner(options["runner"])
    click.echo("Importing packages and checking parameters …", err=True)
    logging.getLogger("kedro.runner.sequential_runner").addFilter(_RunnerLines())
    try:
        return kedro_run.callback(**_without_deprecated(options))
    except click.ClickException:
        raise
    except (MissingConfigException, YAMLError) as error:
        raise click.ClickException(
            f"The configuration cannot be read: {error} Correct that file, or name a folder of "
            "conf/ with --env, such as --env=paper."
        ) from None
    except Exception as error:
        message = _explain_selection(error, options) or explain(error)
        if message is None:
            raise
        raise click.ClickException(message) from None


def _without_deprecated(options: dict[str, Any]) -> dict[str, Any]:
    """Hand ``--pipeline`` over as ``--pipelines``, which Kedro 1 prefers with a warning."""
    if not options["pipeline"] or options["pipelines"]:
        return options
    return options | {"pipeline": None, "pipelines": [options["pipeline"]]}


def _check_runner(name: str | None) -> None:
    known = [each for each in kedro.runner.__all__ if each.endswith("Runner")]
    known.remove("AbstractRunner")
    if name and "." not in name and name not in known:
        raise click.ClickException(
            f"There is no runner {name!r}.{suggestion(name, known)} Known are {', '.join(known)}."
        )


class _RunnerLines(logging.Filter):
    """One line a node, with how many there are, in place of two; and no advice on flags."""

    def __init__(self):
        super().__init__()
        self._node = ""

    def filter(self, record: logging.LogRecord) -> bool:
        message = str(record.msg)
        # Kedro names nodes to resume from; here the same command makes only what is missing.
        if record.funcName == "_suggest_resume_scenario" or message.startswith("Using sync"):
            return False
        if message.startswith("Completed node"):
            (self._node,) = record.args
            return False
        if message.startswith("Completed %d out of %d"):
            record.msg, record.args = "%d/%d %s", (*record.args, self._node)
        return True


def _explain_selection(error: Exception, options: dict[str, Any]) -> str | None:
    trace = error.__traceback__
    while trace.tb_next is not None:
        trace = trace.tb_next
    if type(error) is not ValueError or trace.tb_frame.f_globals["__name__"] not in _SELECTION:
        return None
    asked = [*options["pipelines"], *filter(None, [options["pipeline"]])]
    for name in asked:
        if name not in pipelines:
            known = ", ".join(sorted(pipelines))
            hint = suggestion(name, pipelines)
            return f"There is no pipeline {name!r}.{hint} Known are {known}."
    described = asked[0] if asked else "__default__"
    return f"{error} `kedro registry describe {described}` lists the pipeline's nodes."
