"""The base of all typed parameters."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A group of parameters: immutable, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
