"""Write the README's table of published, reproduced and leak-free scores from the runs' tables.

``python docs/headline_table.py`` does it; ``docs/results/headline.yml`` says which numbers.
"""

import re
from pathlib import Path

import pandas as pd
import yaml

from wbc_pipeline.evaluation.scores.comparison import printed_percent, printed_text

RESULTS = Path(__file__).parent / "results"
PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
PLACE = re.compile(r"(<!-- headline -->\n).*?(<!-- /headline -->)", re.DOTALL)
HEAD = ("paper", "score, %", "published", "reproduced, its protocol", "leak-free", "here on")


def headline_table(results: Path) -> str:
    """Make the table as Markdown.

    Parameters
    ----------
    results
        The folder ``docs/results``, with ``headline.yml``.

    Returns
    -------
    str
        Scores in per cent with their intervals; a dash for what was not run.

    Raises
    ------
    ValueError
        If an entry does not name one row of its table.
    """
    entries = yaml.safe_load((results / "headline.yml").read_text())
    lines = [HEAD, ["---"] * len(HEAD), *(_line(entry, results) for entry in entries)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write(readme: Path, results: Path) -> None:
    """Put the table where the README has its place, between two comments."""
    table = headline_table(results)
    readme.write_text(PLACE.sub(lambda found: found[1] + table + found[2], readme.read_text()))


def _line(entry: dict, results: Path) -> list[str]:
    table = pd.read_csv(results / entry["table"])
    for column, value in entry["where"].items():
        table = table[table[column] == value]
    if len(table) != 1:
        raise ValueError(
            f"headline.yml: {entry['where']} are {len(table)} rows of {entry['table']}, not one."
        )
    row = table.iloc[0]
    return [
        f"[{entry['paper']}](docs/results/{entry['paper']}.md)",
        entry["score"],
        _published(entry),
        _score(row, entry.get("reproduced")),
        _score(row, entry.get("leak_free")),
        f"{entry['images']}; {entry['schedule']}",
    ]


def _published(entry: dict) -> str:
    """Give what the paper prints, in per cent and with its digits; two numbers where it has two."""
    paper, where = entry["paper"], entry["where"]
    parameters = yaml.safe_load((PROJECT / f"conf/base/parameters_{paper}.yml").read_text())
    of = parameters[paper]["published"][entry.get("published_of", where["variant"])]
    return printed_percent(printed_text(of[where["metric"]]))


def _score(row: pd.Series, columns: list[str] | None) -> str:
    if columns is None or row[columns].isna().any():
        return "–"
    value, low, high = (100 * row[column] for column in columns)
    return f"{value:.1f} [{low:.1f}, {high:.1f}]"


if __name__ == "__main__":
    write(README, RESULTS)
