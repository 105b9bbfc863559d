"""What YAML and ``--params`` may say."""

from collections.abc import Collection
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from pydantic import (
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    create_model,
    field_validator,
)

from wbc_pipeline.errors import OWN_PARAMETERS
from wbc_pipeline.options import Options, check_name, split_text
from wbc_pipeline.pipelines.audit.options import AuditOptions
from wbc_pipeline.pipelines.compare.options import CompareOptions
from wbc_pipeline.pipelines.experiment.options import Selection
from wbc_pipeline.pipelines.ingestion.options import IngestionOptions, SourcesOptions
from wbc_pipeline.pipelines.papers import PAPERS
from wbc_pipeline.pipelines.predict.options import PredictOptions
from wbc_pipeline.pipelines.preprocessing.options import CheckedPreprocessing, Name
from wbc_pipeline.pipelines.quality.options import QualityOptions
from wbc_pipeline.pipelines.roi.options import RoiOptions
from wbc_pipeline.pipelines.splitting.options import Protocols, SplittingOptions
from wbc_pipeline.suggestions import suggestion


class TrackingOptions(Options):
    """MLflow: whether, and where. ``MLFLOW_TRACKING_URI`` takes precedence over ``uri``."""

    enabled: bool
    uri: str


class SharedParameters(Options):
    """What every pipeline knows.

    Parameters
    ----------
    dataset
        Name of a source, or several with ``+`` between.
    boxes
        That of the annotated boxes which detectors learn from.
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
    size
        Side in pixels of the images that networks see; None for the one that a paper's views have.
    device
        Where networks run.
    rerun
        What makes a result anew: a change of parameters and data, and of code unless that is left
        out.
    plan
        Say what would be made, and make nothing.
    apply
        Whether ``prune`` removes what it lists.
    submission
        Table of other people's predictions that ``compare`` scores; None for none.
    submission_name
        Its name on the leaderboard; None for that of the file.
    submission_training
        What it was trained on, in words; None for unstated.
    images, model
        What ``predict`` asks about, and which model.
    onnx
        The file that ``export`` writes.
    """

    dataset: str
    boxes: str
    raw: str
    data: str
    protocols: Protocols
    seeds: int = Field(gt=0)
    variants: Selection
    size: int | None = Field(gt=0)
    device: Literal["auto", "cpu", "cuda"]
    rerun: list[Literal["params", "data", "code"]]
    plan: bool
    apply: bool
    submission: str | None
    submission_name: Name | None
    submission_training: str | None
    images: str | None = Field(coerce_numbers_to_str=True)
    model: str | None = Field(coerce_numbers_to_str=True)
    onnx: str | None = Field(coerce_numbers_to_str=True)
    tracking: TrackingOptions
    sources: SourcesOptions
    ingestion: IngestionOptions
    splitting: SplittingOptions
    preprocessing: CheckedPreprocessing
    roi: RoiOptions
    audit: AuditOptions
    quality: QualityOptions
    compare: CompareOptions
    predict: PredictOptions

    _split_rerun = field_validator("rerun", mode="before")(split_text)

    @field_validator("*", mode="wrap")
    @classmethod
    def _name_group(
        cls, given: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo
    ) -> Any:
        if info.context is not None:
            info.context["group"] = info.field_name  # for `is_asked`
        return check(given)

    @field_validator("dataset", "boxes")
    @classmethod
    def _are_sources(cls, names: str) -> str:
        from wbc_pipeline.sources.combined import set_names

        set_names(names)
        return names

    @field_validator("splitting")
    @classmethod
    def _deals_images_that_are_there(
        cls, splitting: SplittingOptions, known: ValidationInfo
    ) -> SplittingOptions:
        if "dataset" in known.data:  # else it was refused itself
            for name in splitting.datasets or ():
                check_name(name, known.data["dataset"].split("+"), "datasets: data set")
        return splitting

    @field_validator("rerun")
    @classmethod
    def _leaves_out_code_alone(cls, rerun: list[str]) -> list[str]:
        if not {"params", "data"} <= set(rerun):
            raise ValueError(
                "a result of other parameters or data is never taken for this one: say "
                "params+data, or params+data+code"
            )
        return rerun


Parameters = create_model(
    "Parameters",
    __base__=SharedParameters,
    **{paper.name: (paper.options, ...) for paper in PAPERS},
)


class ParameterError(click.ClickException, ValueError):
    """A parameter has an unknown name or a bad value."""


def refuse(problem: str) -> ParameterError:
    """Make the error for one parameter."""
    return ParameterError(f"Parameters were refused:\n- {problem}")


def check_parameters(
    parameters: dict[str, Any], asked: Collection[str] | None = None
) -> SharedParameters:
    """Check the whole tree of parameters, and return it typed.

    Parameters
    ----------
    parameters
        As YAML and ``--params`` say them.
    asked
        Groups whose chains of steps are built too, which takes seconds; None for all.

    Raises
    ------
    ParameterError
        Naming each parameter at fault, what is wrong with it, and the nearest known name.
    """
    try:
        return Parameters.model_validate(
            parameters, context={"asked": Parameters.model_fields if asked is None else asked}
        )
    except ValidationError as error:
        problems = error.errors()
        of_dataset = {one["msg"] for one in problems if one["loc"] == ("dataset",)}
        lines = [
            _explain(one)
            for one in problems
            if one["loc"] != ("boxes",) or one["msg"] not in of_dataset  # where not said, the same
        ]
        raise ParameterError("\n".join(["Parameters were refused:", *lines])) from None


def _explain(problem: dict[str, Any]) -> str:
    name = ".".join(str(part) for part in problem["loc"])
    if problem["type"] != "extra_forbidden":
        return f"- {name}: {problem['msg']} (got {problem['input']!r})"
    known = _known_names(problem["loc"][:-1])
    hint = suggestion(str(problem["loc"][-1]), known) or f" Known are {', '.join(known)}."
    if len(problem["loc"]) == 1:
        hint += (
            " If it is what follows a comma in a path or list: --params splits at commas; say such "
            f"a path in {OWN_PARAMETERS}, and write lists with +."
        )
    return f"- {name}: there is no such parameter.{hint}"


def _known_names(path: tuple) -> list[str]:
    group: Any = Parameters
    for part in path:
        group = _inside(group, part)
    return list(group.model_fields)


def _inside(group: Any, part: Any) -> Any:
    """Give the type of a member of a model, a mapping or a list."""
    if get_origin(group) in (dict, list):
        group = get_args(group)[-1]
    elif "root" in group.model_fields:
        return _inside(group.model_fields["root"].annotation, part)
    else:
        group = group.model_fields[part].annotation
    while get_origin(group) in (Annotated, Union, UnionType):
        group = next(item for item in get_args(group) if item is not type(None))
    return group
