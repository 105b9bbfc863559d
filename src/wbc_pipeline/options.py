"""What typed parameters have in common."""

from collections.abc import Collection
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo

from wbc_pipeline.suggestions import suggestion


class Options(BaseModel):
    """A group of parameters: immutable, and an unknown name is an error."""

    # A listing of pipelines validates nothing.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


def split_text(value: Any) -> Any:
    """Make a list of text with ``+`` between: ``--params`` splits at commas.

    Examples
    --------
    >>> split_text("random+source"), split_text(["random"])
    (['random', 'source'], ['random'])
    """
    return value.split("+") if isinstance(value, str) else value


def check_name(name: str, known: Collection[str], what: str) -> None:
    """Refuse a name that is not known.

    Raises
    ------
    ValueError
        Naming the nearest known name, and all of them.
    """
    if name not in known:
        raise ValueError(
            f"{what} {name!r} is not known.{suggestion(name, known)} Known are {', '.join(known)}."
        )


def is_asked(info: ValidationInfo) -> bool:
    """Whether a command asks for the group of parameters that is being validated.

    What costs time to check is checked of these alone; a group that is validated by itself is
    asked for.
    """
    tree = info.context
    return tree is None or tree["group"] in tree["asked"]
