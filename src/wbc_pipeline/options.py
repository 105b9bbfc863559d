"""What typed parameters have in common."""

from typing import Any

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """A group of parameters: immutable, and an unknown name is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def split_text(value: Any) -> Any:
    """Make a list of text with ``+`` between: ``--params`` splits at commas.

    Examples
    --------
    >>> split_text("random+source"), split_text(["random"])
    (['random', 'source'], ['random'])
    """
    return value.split("+") if isinstance(value, str) else value
