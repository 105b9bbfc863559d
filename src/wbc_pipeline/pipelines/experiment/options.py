"""Parameters of a variant."""

from pathlib import Path

from pydantic import Field, RootModel, ValidationError, field_validator, model_validator

from wbc_pipeline.models import NETWORKS
from wbc_pipeline.options import Options, split_text
from wbc_pipeline.training.options import TrainOptions


class VariantOptions(Options):
    """A network by its name in ``wbc_pipeline.models``.

    Parameters
    ----------
    network
        Its name.
    arguments
        Of its constructor.
    views
        The paper's view for a view of the network, where they are not of one name.
    train
        What its schedule has other than that of the other variants.
    weights
        What a network with an ImageNet ``backbone`` begins with: ``none``, ``imagenet`` (an error
        where those weights cannot be had), ``auto`` (then a warning), or a file of weights.
    """

    network: str
    arguments: dict = Field(default_factory=dict)
    views: dict[str, str] = Field(default_factory=dict)
    train: dict = Field(default_factory=dict)
    weights: str = "none"

    @field_validator("network")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in NETWORKS:
            raise ValueError(f"no network is called {name!r}; known are {', '.join(NETWORKS)}")
        return name

    @field_validator("train")
    @classmethod
    def _is_a_schedule(cls, train: dict) -> dict:
        whole = {"epochs": 1, "patience": 1, "batch_size": 2, "learning_rate": 1.0}
        try:
            TrainOptions.model_validate(whole | train)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(TrainOptions.model_fields)
            raise ValueError(f"{where}: {first['msg']}; known are {known}") from None
        return train

    @model_validator(mode="after")
    def _weights_need_a_backbone(self) -> "VariantOptions":
        if self.weights != "none" and "backbone" not in self.arguments:
            raise ValueError(f"weights {self.weights}: {self.network} has no backbone to load them")
        return self


def weights_file(network: Options) -> Path | None:
    """Find what a network of YAML begins with; None for random weights.

    Parameters
    ----------
    network
        With ``weights`` and ``arguments``, such as a variant.

    Raises
    ------
    MissingWeightsError
        If they were asked for and cannot be had.
    """
    from wbc_pipeline.models.pretrained import find_weights

    if network.weights == "none":
        return None
    return find_weights(network.arguments["backbone"], network.weights)


class Variants(RootModel[list[str]]):
    """Names of variants: a list, or text with ``+`` between; ``all`` for all."""

    root: list[str] = Field(min_length=1)

    _split_text = model_validator(mode="before")(split_text)

    def include(self, name: str) -> bool:
        """Tell whether a variant takes part."""
        return self.root == ["all"] or name in self.root
