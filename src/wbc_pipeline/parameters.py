"""The whole tree of parameters, checked before any node runs."""

import difflib
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from kedro.framework.hooks import hook_impl
from kedro.io import CatalogProtocol
from kedro.pipeline import Pipeline
from pydantic import Field, ValidationError, field_validator

from wbc_pipeline.datasets.source import Source
from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.audit.options import AuditOptions
from wbc_pipeline.pipelines.blend.options import BlendOptions
from wbc_pipeline.pipelines.experiment.options import Variants
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions
from wbc_pipeline.pipelines.localize.options import LocalizeOptions
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions
from wbc_pipeline.pipelines.quality.options import QualityOptions
from wbc_pipeline.pipelines.roi.options import RoiOptions
from wbc_pipeline.pipelines.separable.options import SeparableOptions
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
    variants
        Those of a paper that take part.
    device
        Where networks run.
    """

    dataset: str
    raw: str
    data: str
    protocols: Protocols
    seeds: int = Field(gt=0)
    variants: Variants
    device: Literal["auto", "cpu", "cuda"]
    tracking: TrackingOptions
    sources: SourcesOptions
    ingestion: IngestionOptions
    splitting: SplittingOptions
    preprocessing: PreprocessingOptions
    roi: RoiOptions
    audit: AuditOptions
    quality: QualityOptions
    blend: BlendOptions
    separable: SeparableOptions
    localize: LocalizeOptions

    @field_validator("dataset")
    @classmethod
    def _is_a_source(cls, name: str) -> str:
        from wbc_pipeline.sources.listing import SOURCES

        if name not in SOURCES:
            raise ValueError(f"known are {', '.join(SOURCES)}")
        return name


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
    group: Any = Parameters
    for part in path:
        inside = get_origin(group) in (dict, list)  # of which ``part`` is a key or a place
        group = get_args(group)[-1] if inside else group.model_fields[part].annotation
        while get_origin(group) in (Annotated, Union, UnionType):
            group = next(item for item in get_args(group) if item is not type(None))
    return list(group.model_fields)


def check_paper(parameters: dict[str, Any], paper: str) -> None:
    """Check what takes heavy imports to tell: device, printed metrics, networks, their weights.

    Parameters
    ----------
    parameters
        The whole tree, accepted by `check_parameters`.
    paper
        The group whose variants are built, each once.

    Raises
    ------
    ParameterError
        Naming the parameter at fault and what is wrong with it.
    """
    import numpy as np

    from wbc_pipeline.evaluation.comparison import check_published
    from wbc_pipeline.imaging.chain import build_chain
    from wbc_pipeline.training.devices import choose_device

    try:
        choose_device(parameters["device"])
        check_published(parameters[paper].get("published", {}))
    except ValueError as error:
        raise ParameterError(f"Parameters were refused:\n- {error}") from None
    known = list(parameters[paper]["variants"])
    for name in Variants(parameters["variants"]).root:
        if name not in [*known, "all"]:
            raise ParameterError(
                f"Parameters were refused:\n- variants: {paper} has no variant {name!r}; "
                f"known are {', '.join(known)}"
            )
    packed = parameters["ingestion"]["image_size"]
    views = parameters[paper]["views"]
    size = len(build_chain(views["image"])(np.zeros((packed, packed, 3), np.uint8)))
    for name, variant in parameters[paper]["variants"].items():
        unknown = set(variant.get("views", {}).values()) - views.keys()
        if unknown:
            raise ParameterError(
                f"Parameters were refused:\n- {paper}.variants.{name}.views: {paper} has no view "
                f"{', '.join(sorted(unknown))}; known are {', '.join(views)}"
            )
        _check_network(f"{paper}.variants.{name}", variant, {"classes": 2, "image_size": size})
        if Variants(parameters["variants"]).include(name):
            _check_weights(f"{paper}.variants.{name}", variant)
    localization = parameters[paper].get("localization", {})
    for name, detector in localization.get("detectors", {}).items():
        shape = {"image_size": localization["frame"]}
        _check_network(f"{paper}.localization.detectors.{name}", detector, shape)
        if Variants(localization["chosen"]).include(name):
            _check_weights(f"{paper}.localization.detectors.{name}", detector)


def _check_network(where: str, options: dict[str, Any], shape: dict[str, int]) -> None:
    import torch

    from wbc_pipeline.models import build_network

    try:
        with torch.device("meta"):  # shapes alone: no hundred million weights to draw
            build_network(options["network"], {**shape, **options.get("arguments", {})}, seed=0)
    except Exception as error:
        raise ParameterError(f"Parameters were refused:\n- {where}.arguments: {error}") from error


def _check_weights(where: str, options: dict[str, Any]) -> None:
    from wbc_pipeline.models.pretrained import MissingWeightsError, find_weights

    weights = options.get("weights", "none")
    if weights in ("none", "auto"):
        return
    try:
        find_weights(options["arguments"]["backbone"], weights)
    except (MissingWeightsError, ValueError) as error:
        raise ParameterError(f"Parameters were refused:\n- {where}.weights: {error}") from error


def check_source(source: Source, options: dict[str, Any]) -> None:
    """Check that the raw data are there, before any node runs.

    Raises
    ------
    ParameterError
        Saying where the data set was looked for and what to do.
    """
    from wbc_pipeline.sources.listing import LayoutError

    try:
        source.list_images(options)
    except (LayoutError, OSError) as error:  # MissingDataError is one of the latter
        raise ParameterError(str(error)) from None


class ParameterHook:
    """Check parameters as soon as they are read, before any node runs."""

    @hook_impl
    def after_context_created(self, context: Any) -> None:
        """Check YAML and ``--params`` together."""
        self._parameters = context.config_loader["parameters"]
        check_parameters(self._parameters)

    @hook_impl(tryfirst=True)  # before anything is tracked
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check that the raw data are there, and the papers whose networks are to be trained."""
        if "source" in pipeline.inputs():
            check_source(catalog.load("source"), self._parameters["sources"])
        trained = {
            node.namespace.split(".")[0] for node in pipeline.nodes if "training" in node.tags
        }
        for paper in trained:
            check_paper(self._parameters, paper)
