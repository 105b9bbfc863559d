"""Parameters of the saliency paper."""

from typing import Literal

from pydantic import Field, model_validator

from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.preprocessing.options import Name
from wbc_pipeline.pipelines.reporting.options import Published
from wbc_pipeline.pipelines.splitting.options import Protocol


class HypothesisOptions(Options):
    """A claim that one variant scores higher than another, and by how much.

    Parameters
    ----------
    claim
        In words.
    better, than
        The variants.
    metric
        Of ``wbc_pipeline.evaluation.scores.hypotheses``.
    margin
        The least gain, of a metric from 0 to 1.
    protocols
        Under which it is claimed, one of them at least.
    """

    claim: str
    better: str
    than: str
    metric: Literal["iou_cell", "macro_f1"]
    margin: float = Field(ge=0, lt=1)
    protocols: list[Protocol] = Field(min_length=1)


class ShownOptions(Options):
    """What is looked at in single images and classes.

    Parameters
    ----------
    measured
        Test images of each fold whose Grad-CAM is measured at most, evenly from each class.
    images
        How many are drawn with it.
    minor_classes
        Classes of few images, whose precision is drawn against recall.
    """

    measured: int = Field(gt=0)
    images: int = Field(gt=0)
    minor_classes: list[str]


class SaliencyOptions(PaperParameters):
    """Everything under ``saliency`` in the parameters.

    Parameters
    ----------
    hypotheses
        What the paper claims, by name.
    shown
        What is looked at in single images and classes.
    published_sd
        Standard deviations over runs as printed, by variant and metric.
    published_classes
        What the paper prints of single classes, by variant, class and metric.
    """

    hypotheses: dict[Name, HypothesisOptions]
    shown: ShownOptions
    published_sd: Published
    published_classes: dict[str, Published]

    @model_validator(mode="after")
    def _names_are_known(self) -> "SaliencyOptions":
        for name, hypothesis in self.hypotheses.items():
            for variant in (hypothesis.better, hypothesis.than):
                check_name(variant, self.variants.root, f"hypotheses.{name}: variant")
        for variant, values in self.published_sd.items():
            check_name(variant, self.published, "published_sd: variant")
            for metric in values:
                check_name(metric, self.published[variant], f"published_sd.{variant}: metric")
        return self
