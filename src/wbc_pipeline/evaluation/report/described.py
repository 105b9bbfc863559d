"""Headings and captions that figures and tables carry themselves."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import pandas as pd

Arguments = ParamSpec("Arguments")
Shown = TypeVar("Shown")  # a DataFrame, a matplotlib Figure or a Plotly figure


def described(
    *, heading: str, caption: str = ""
) -> Callable[[Callable[Arguments, Shown]], Callable[Arguments, Shown]]:
    """Decorate a function so that the figure or table it returns carries heading and caption.

    The function itself carries them, too.

    Examples
    --------
    >>> @described(heading="Trainings", caption="The trainings behind the scores.")
    ... def list_runs() -> pd.DataFrame:
    ...     return pd.DataFrame({"seed": [0]})
    >>> heading_of(list_runs()), caption_of(list_runs())
    ('Trainings', 'The trainings behind the scores.')
    """

    def decorate(function: Callable[Arguments, Shown]) -> Callable[Arguments, Shown]:
        @wraps(function)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Shown:
            return describe(function(*args, **kwargs), heading, caption)

        return describe(call, heading, caption)

    return decorate


def describe(shown: Shown, heading: str, caption: str = "") -> Shown:
    """Attach heading and caption to a figure or table, and return it.

    A table keeps them in ``attrs``, which pandas passes on to most tables derived from it and
    parquet stores; a figure as attributes ``heading`` and ``caption``.
    """
    _texts(shown).update(heading=heading, caption=caption)
    return shown


def heading_of(shown: object) -> str:
    """Heading of a figure, a table or a function of either; empty if it carries none."""
    return _texts(shown).get("heading", "")


def caption_of(shown: object) -> str:
    """Caption of a figure, a table or a function of either; empty if it carries none."""
    return _texts(shown).get("caption", "")


def _texts(shown: object) -> dict:
    # not setattr: Plotly's figures refuse names that they do not know
    return shown.attrs if isinstance(shown, pd.DataFrame) else vars(shown)
