"""The directive ``results-table``: a table of a page, made from a run's CSV when docs are built."""

import string
from pathlib import Path
from typing import ClassVar

import pandas as pd
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_MISSING = "–"


class ResultsTable(SphinxDirective):
    """Show rows of a CSV, formatted column by column.

    The argument is the file, beside the page. Each line of the content is a column: its heading,
    ``:``, and what stands in it, with the CSV's columns in braces as in Python's format strings,
    such as ``macro F1: {macro_f1:.1%} [{low:.1%}, {high:.1%}]``. A cell whose first value is
    missing shows a dash.

    Options
    -------
    where
        Which rows, as a query of pandas.
    rows
        Which values of the CSV's first column, in this order.
    """

    required_arguments = 1
    has_content = True
    option_spec: ClassVar = {"where": directives.unchanged, "rows": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        """Read the file and make the table; a build with ``-W`` fails where it can't be made."""
        file = Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]
        self.env.note_dependency(str(file))
        columns = [[part.strip() for part in line.split(":", 1)] for line in self.content if line]
        try:
            table = self._selected(pd.read_csv(file))
            lines = [[_filled(form, row) for _, form in columns] for _, row in table.iterrows()]
        except (OSError, KeyError, ValueError, pd.errors.UndefinedVariableError) as error:
            raise self.error(f"{self.arguments[0]}: {error!r}") from error
        head = [[heading for heading, _ in columns], ["---"] * len(columns)]
        page = "\n".join(f"| {' | '.join(line)} |" for line in head + lines)
        return self.parse_text_to_nodes(page)

    def _selected(self, table: pd.DataFrame) -> pd.DataFrame:
        if "where" in self.options:
            table = table.query(self.options["where"])
        if "rows" in self.options:
            first = table.columns[0]
            table = table.set_index(first, drop=False).loc[self.options["rows"].split()]
        if table.empty:
            raise ValueError("no row is left")
        return table


def _filled(form: str, row: pd.Series) -> str:
    names = [name for _, name, _, _ in string.Formatter().parse(form) if name]
    return _MISSING if names and pd.isna(row[names[0]]) else form.format(**row)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("results-table", ResultsTable)
    return {"parallel_read_safe": True}
