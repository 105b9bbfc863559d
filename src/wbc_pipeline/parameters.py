"""The whole tree of parameters, checked before any node runs."""

import difflib
from typing import Any, Literal

import click
from kedro.framework.hooks import hook_impl
from pydantic import BaseModel, Field, ValidationError

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.blend.options import BlendOptions
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions


class TrackingOptions(Options):
    """MLflow: whether, and where. ``MLFLOW_TRACKING_URI`` takes precedence over ``uri``."""

    enabled: bool
    uri: str


class Parameters(Options):
    """Everything that YAML and ``--params`` may say.

    Parameters
    ----------
    dataset
        Name of a source.
    raw
        Folder of raw data.
    data
        Folder of every output.
    protocols
        Ways to split.
    seeds
        How many: 0, 1, …
    device
        Where networks run.
    """

    dataset: str
    raw: str
    data: str
    protocols: Protocols
    seeds: int = Field(gt=0)
    device: Literal["auto", "cpu", "cuda"]
    tracking: TrackingOptions
    sources: SourcesOptions
    ingestion: IngestionOptions
    splitting: SplittingOptions
    blend: BlendOptions


class ParameterError(click.ClickException, ValueError):
    """A parameter has an unknown name or a bad value."""


def check_parameters(parameters: dict[str, Any]) -> None:
    """Check the whole tree of parameters.

    Raises
    ------
    ParameterError
        Naming each parameter at fault, what is wrong with it, and the nearest known name.
    """
    try:
        Parameters.model_validate(parameters)
    except ValidationError as error:
        lines = [_explain(problem) for problem in error.errors()]
        raise ParameterError("\n".join(["Parameters were refused:", *lines])) from None


def _explain(problem: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"- {name}: {problem['msg']} (got {problem['input']!r})"
    known = _known_names(problem["loc"][:-1])
    close = difflib.get_close_matches(str(problem["loc"][-1]), known, n=1)
    hint = f"; did you mean {close[0]}?" if close else f"; known are {', '.join(known)}"
    return f"- {name}: there is no such parameter{hint}"


def _known_names(path: tuple) -> list[str]:
    group: type[BaseModel] = Parameters
    for part in path:
        field = group.model_fields[part].annotation
        options = getattr(field, "__args__", (field,))
        group = next(item for item in options if issubclass(item, BaseModel))
    return list(group.model_fields)


class ParameterHook:
    """Check parameters as soon as they are read, before any node runs."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check YAML and ``--params`` together."""
        check_parameters(context.config_loader["parameters"])
