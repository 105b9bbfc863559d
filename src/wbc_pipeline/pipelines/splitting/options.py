"""Parameters of splitting."""

from typing import Any, Literal

from pydantic import Field, RootModel, model_validator

from wbc_pipeline.options import Options

Protocol = Literal["random", "filename", "published", "source"]


class Protocols(RootModel[list[Protocol]]):
    """Names of protocols: a list, or text with ``+`` between, as ``--params`` splits at commas."""

    root: list[Protocol] = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _split_text(cls, value: Any) -> Any:
        return value.split("+") if isinstance(value, str) else value

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
    max_unknown
        Share of images of unknown source that a split by source may leave out.
    """

    validation: float = Field(gt=0, lt=0.5)
    test: float = Field(gt=0, lt=0.5)
    max_unknown: float = Field(ge=0, lt=1)
