"""The card of a model: what it is, what it is worth, and where it fails, in Markdown."""

from collections.abc import Mapping, Sequence

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined

from wbc_pipeline.evaluation.report.page import DEMO
from wbc_pipeline.evaluation.report.tables import collapse_intervals, format_value
from wbc_pipeline.evaluation.scores.entries import metric_label


def render_card(
    *,
    name: str,
    is_demo: bool,
    facts: Mapping[str, object],
    data: Mapping[str, object],
    protocol: str,
    scores: pd.DataFrame,
    by_class: pd.DataFrame,
    confusions: pd.DataFrame,
    picture: str | None,
    caveats: Sequence[str],
    licences: Mapping[str, str],
    asking: str,
    command: str,
) -> str:
    """Render a card.

    Parameters
    ----------
    name
        Of the registered model.
    is_demo
        Whether the images are drawn.
    facts, data
        What the model is, and what it learnt from and was tested on, by name.
    protocol
        Of the split.
    scores, by_class
        Tables in which ``x``, ``x_low`` and ``x_high`` become ``x [low, high]``.
    confusions
        Which classes are taken for which.
    picture
        File of the picture of failures, beside the card; None for none.
    caveats
        What has to be known of the data.
    licences
        By data set: the download, whose page says more, and the licence of its images.
    asking
        The command that asks the model about images.
    command
        That made it.

    Returns
    -------
    str
        Markdown.
    """
    environment = Environment(
        loader=PackageLoader("wbc_pipeline.evaluation.report"),
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    environment.filters["table"] = as_markdown
    return environment.get_template("card.md.j2").render(
        name=name,
        banner=DEMO if is_demo else "",
        facts=facts,
        data=data,
        protocol=protocol,
        scores=scores,
        by_class=by_class,
        confusions=confusions,
        picture=picture,
        caveats=caveats,
        licences=licences,
        asking=asking,
        command=command,
    )


def as_markdown(frame: pd.DataFrame) -> str:
    r"""Write a table in Markdown.

    >>> row = pd.DataFrame({"label": ["a|b"], "f1": [0.953], "f1_low": [0.941], "f1_high": [0.964]})
    >>> print(as_markdown(row))
    | label | f1 |
    |---|---|
    | a\|b | 0.953 [0.941, 0.964] |
    """
    shown = collapse_intervals(frame)
    names = [metric_label(str(name)).replace("_", " ") for name in shown.columns]
    lines = [names, ["---"] * len(names)]
    lines += [
        [format_value(value, name) for name, value in zip(shown.columns, row, strict=True)]
        for row in shown.itertuples(index=False)
    ]
    cells = [[text.replace("|", r"\|") for text in line] for line in lines]
    texts = [f"| {' | '.join(line)} |" for line in cells]
    texts[1] = f"|{'|'.join(cells[1])}|"
    return "\n".join(texts)
