"""Parameters of the saliency paper."""

from pydantic import Field, model_validator

from wbc_pipeline.options import Options, check_name
from wbc_pipeline.pipelines.experiment.options import PaperParameters
from wbc_pipeline.pipelines.preprocessing.options import Name
from wbc_pipeline.pipelines.reporting.options import HypothesisOptions, Published
from wbc_pipeline.pipelines.saliency.drawing import DrawingOptions


class AttentionOptions(Options):
    """How attention is measured by Grad-CAM.

    Parameters
    ----------
    images
        Test images of each fold at most, evenly from each class.
    """

    images: int = Field(gt=0)


class SaliencyOptions(PaperParameters):
    """Everything under ``saliency`` in the parameters.

    Parameters
    ----------
    hypotheses
        What the paper claims, by name.
    attention
        How it is measured.
    drawing
        What is drawn.
    published_sd
        Standard deviations over runs as printed, by variant and metric.
    published_classes
        What the paper prints of single classes, by variant, class and metric.
    """

    hypotheses: dict[Name, HypothesisOptions]
    attention: AttentionOptions
    drawing: DrawingOptions
    published_sd: Published
    published_classes: dict[str, Published]

    @model_validator(mode="after")
    def _names_are_known(self) -> "SaliencyOptions":
        for name, hypothesis in self.hypotheses.items():
            for variant in (hypothesis.better, hypothesis.than):
                check_name(variant, self.variants.root, f"hypotheses.{name}: variant")
        for variant in (*self.drawing.variants, *self.drawing.sheets):
            check_name(variant, self.variants.root, "drawing: variant")
        for variant, values in self.published_sd.items():
            check_name(variant, self.published, "published_sd: variant")
            for metric in values:
                check_name(metric, self.published[variant], f"published_sd.{variant}: metric")
        return self
