"""Parameters of the separable paper."""

from pydantic import Field

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import VariantOptions
from wbc_pipeline.pipelines.preprocessing.options import Chain
from wbc_pipeline.pipelines.reporting.options import (
    PaperOptions,
    Printed,
    Published,
    ScoreOptions,
)
from wbc_pipeline.pipelines.robustness.options import RobustnessOptions
from wbc_pipeline.pipelines.splitting.options import Protocol
from wbc_pipeline.training.options import TrainerOptions, TrainOptions


class ViewsOptions(Options):
    """Chains of steps that make the networks' inputs."""

    image: Chain
    cell: Chain


class VariantsOptions(Options):
    """The network of Table 1, the ablation of Table 2, and a network of this project."""

    mixed: VariantOptions
    batch_norm: VariantOptions
    leaky_relu: VariantOptions
    relu: VariantOptions
    swish: VariantOptions
    equal_16: VariantOptions
    equal_32: VariantOptions
    equal_64: VariantOptions
    equal_128: VariantOptions
    compact: VariantOptions


class ShownOptions(Options):
    """Whose failures are drawn.

    Parameters
    ----------
    variant, protocol
        Whose predictions; the first of this command if it has not got them.
    sources, tiles
        How many sources, and images of each.
    """

    variant: str
    protocol: Protocol
    sources: int = Field(gt=0)
    tiles: int = Field(gt=0)


class LiteratureOptions(Options):
    """A method of other people on the same images, and what is known of its split."""

    method: str
    accuracy: Printed
    split: str


class SeparableOptions(Options):
    """Everything under ``separable`` in the parameters."""

    paper: PaperOptions
    views: ViewsOptions
    variants: VariantsOptions
    train: TrainOptions
    trainer: TrainerOptions
    score: ScoreOptions
    robustness: RobustnessOptions
    shown: ShownOptions
    layers: dict[str, int]
    literature: list[LiteratureOptions]
    published: Published
    recalls: Published
