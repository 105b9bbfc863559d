"""One self-contained HTML page from tables, pictures and charts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import pandas as pd
import plotly.graph_objects as go
from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from wbc_pipeline.evaluation.report.described import caption_of, heading_of
from wbc_pipeline.evaluation.report.explorer import Explorer
from wbc_pipeline.evaluation.report.pictures import Picture, embed
from wbc_pipeline.evaluation.report.tables import ROWS, Link, show_table, words

DEMO = "DEMO DATA — rendered images, no clinical meaning"
FONT = {"family": "system-ui, sans-serif", "size": 13, "color": "#1d1f23"}
CHART_OPTIONS = {"displaylogo": False, "responsive": True}

Item = pd.DataFrame | Picture | go.Figure | Explorer


@dataclass(frozen=True)
class Opening:
    """What a reader sees first.

    Parameters
    ----------
    verdict
        In a word or two, such as ``not reached``.
    sentence
        What was found.
    items
        The picture or table that shows it.
    next
        What to look at next, by the name of its item; names that the page lacks are left out.
    """

    verdict: str = ""
    sentence: str = ""
    items: Mapping[str, Item] = field(default_factory=dict)
    next: Mapping[str, str] = field(default_factory=dict)


def render_report(
    *,
    title: str,
    dataset: str,
    is_demo: bool,
    summary: Mapping[str, object],
    items: Mapping[str, Item],
    opening: Opening | None = None,
    notes: Sequence[str] = (),
    rows: int = ROWS,
) -> str:
    """Render a report that opens offline: styles, pictures and scripts are inside.

    Parameters
    ----------
    title, dataset
        Of the page; demo data are called so in the title and in a banner (``is_demo``).
    summary
        How the page was made, in order (command, date, protocols, hardware, versions, commit, …),
        at its foot; lists and mappings are written on one line, ``command`` as code, a `Link` as a
        link.
    items
        Tables, pictures and charts by name. Those of one heading stand under it together, pictures
        first; what carries none is headed by its name. What has a heading of the opening comes
        first, then headings with a picture, then those of tables alone, each in the order given.
    opening
        The first screen.
    notes
        Paragraphs of plain text.
    rows
        Longer tables are cut to this, and their caption says so.

    Returns
    -------
    str
        HTML; every text is escaped.
    """
    environment = Environment(
        loader=PackageLoader("wbc_pipeline.evaluation.report"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    opening = opening or Opening()
    first = [_show(name, item, rows) | {"folded": False} for name, item in opening.items.items()]
    sections = _sections(
        [_show(name, item, rows) for name, item in items.items()],
        opened={item["heading"] for item in first},
    )
    shown = [item for _, group in sections for item in group]
    anchors = {item["name"]: item["id"] for item in shown}
    kinds = {item["kind"] for item in [*first, *shown]}
    return environment.get_template("report.html.j2").render(
        title=f"{DEMO}: {title}" if is_demo else title,
        heading=title,
        dataset=dataset,
        banner=DEMO if is_demo else "",
        opening=opening,
        opening_items=first,
        next={anchors[name]: text for name, text in opening.next.items() if name in anchors},
        summary={words(key): (key, _fact(value)) for key, value in summary.items()},
        sections=sections,
        notes=notes,
        plotly=get_plotlyjs() if "chart" in kinds else "",
        explores="explorer" in kinds,
    )


def _sections(shown: list[dict], opened: set[str]) -> list[tuple[str, list[dict]]]:
    """Gather what has one heading, pictures before tables, in the order of first appearance."""
    headings = list(dict.fromkeys(item["heading"] for item in shown))
    drawn = {item["heading"] for item in shown if item["kind"] != "table"}
    shown.sort(
        key=lambda item: (
            item["heading"] not in opened,
            item["heading"] not in drawn,
            headings.index(item["heading"]),
            item["kind"] == "table",
        )
    )
    return [(heading, [*group]) for heading, group in groupby(shown, lambda item: item["heading"])]


def _show(name: str, item: Item, most: int) -> dict:
    if isinstance(item, pd.DataFrame):
        return {"name": name} | show_table(name, item, most)
    if isinstance(item, Picture):
        kind, heading, caption, content = "figure", item.heading, item.caption, embed(item.png)
    elif isinstance(item, Explorer):
        kind, heading, caption = "explorer", item.heading, item.caption
        content = {"content": item.content}
    else:
        kind, heading, caption = "chart", heading_of(item), caption_of(item)
        content = {"chart": _chart(name, item)}
    return {
        "name": name,
        "id": f"{kind}-{name}",
        "kind": kind,
        "heading": heading or words(name),
        "caption": caption,
    } | content


def _chart(name: str, figure: go.Figure) -> str:
    """Write a chart as HTML that the page's own copy of Plotly draws.

    The heading above it and the page's letters stand for those that it has on its own.
    """
    on_page = go.Figure(figure).update_layout(
        title=None, margin={"t": 40, "l": 20, "r": 20, "b": 50}, font=FONT
    )
    return on_page.to_html(
        full_html=False,
        include_plotlyjs=False,
        config=CHART_OPTIONS,
        div_id=f"plot-{name}",
        default_height=f"{figure.layout.height or 480}px",
    )


def _fact(value: object) -> str | Link:
    if isinstance(value, Link):
        return value
    if isinstance(value, Mapping):
        return " · ".join(f"{key}: {item}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
