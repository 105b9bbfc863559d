"""Parameters of splitting."""

from typing import Literal

from pydantic import Field, RootModel, field_validator, model_validator

from wbc_pipeline.options import Options, split_text

Protocol = Literal["random", "filename", "published", "source", "domain", "dataset"]
TESTED_PARTS = ("validation", "test")  # whose images no network may have learnt from
UNUSED = "unused"  # where `train_images` puts the rest of a training part; played by nobody


class Protocols(RootModel[list[Protocol]]):
    """Names of protocols: a list, or text with ``+`` between."""

    root: list[Protocol] = Field(min_length=1)

    _split_text = model_validator(mode="before")(split_text)

    @model_validator(mode="after")
    def _are_distinct(self) -> "Protocols":
        if len(set(self.root)) < len(self.root):
            raise ValueError(f"a protocol stands twice in {'+'.join(self.root)}")
        return self


class SplittingOptions(Options):
    """How images are shared out.

    Parameters
    ----------
    validation, test
        Shares of the images; the rest trains.
    folds
        Of the protocol ``source``: with 1 a part is set aside as test, with more each source is
        tested once, by a network trained on the other folds.
    max_unknown
        Share of images of unknown source that a split by source may leave out.
    train_images
        How many images of each training part train, of whatever protocol and fold; the rest of the
        part is not used. None: all of them.
    within
        ``published_train``: only images of the published training part are dealt, so that a search
        never touches the published test part.
    datasets
        Of several data sets as one, those whose images are dealt; images of the others stand
        ``outside``, for networks to learn from, and are never validated or tested on. None: all.
    """

    validation: float = Field(gt=0, lt=0.5)
    test: float = Field(gt=0, lt=0.5)
    folds: int = Field(gt=0)
    max_unknown: float = Field(ge=0, lt=1)
    train_images: int | None = Field(None, gt=0)
    # What these two choose is part of a split's key as the images themselves.
    within: Literal["all", "published_train"] = Field("all", exclude=True)
    datasets: list[str] | None = Field(None, min_length=1, exclude=True)

    _split_datasets = field_validator("datasets", mode="before")(split_text)
