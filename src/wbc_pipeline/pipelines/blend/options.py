"""Parameters of the blend paper."""

from wbc_pipeline.options import Options
from wbc_pipeline.pipelines.experiment.options import VariantOptions
from wbc_pipeline.pipelines.preprocessing.options import Chain
from wbc_pipeline.pipelines.reporting.options import PaperOptions, Published, ScoreOptions
from wbc_pipeline.pipelines.robustness.options import RobustnessOptions
from wbc_pipeline.training.options import TrainerOptions, TrainOptions


class ViewsOptions(Options):
    """Chains of steps that make the networks' inputs from the packed images."""

    image: Chain
    foreground: Chain


class VariantsOptions(Options):
    """The variants' networks."""

    normal: VariantOptions
    blend: VariantOptions
    learnable_canny: VariantOptions
    soft_mask: VariantOptions
    adaptive_blend: VariantOptions


class BlendOptions(Options):
    """Everything under ``blend`` in the parameters."""

    paper: PaperOptions
    views: ViewsOptions
    variants: VariantsOptions
    train: TrainOptions
    trainer: TrainerOptions
    score: ScoreOptions
    robustness: RobustnessOptions
    published: Published
