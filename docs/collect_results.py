"""Copy tables of a run's report for a page: rounded, with its command, machine and versions.

``python docs/collect_results.py --help`` says how; pages show what it writes by the directives
``results-table`` and ``results-run``.
"""

import argparse
import json
from importlib.metadata import distributions
from pathlib import Path

import pandas as pd

DIGITS = 5
TABLE, ENVIRONMENT, RUN = "{}.csv", "environment.txt", "run.json"


def collect(report: Path, target: Path, tables: list[str], command: str) -> None:
    """Write ``tables``, ``runs.csv``, ``run.json`` and ``environment.txt`` to the target.

    Parameters
    ----------
    report
        Folder of the report, such as ``data/08_reporting/pbc/challenge``.
    target
        Folder under ``docs/results``; what lies there under other names stays.
    tables
        Names of the report's tables.
    command
        By which the report was made, without paths of the machine.

    Raises
    ------
    SystemExit
        If the report lacks one of the tables.
    """
    target.mkdir(parents=True, exist_ok=True)
    read = {}
    for name in dict.fromkeys([*tables, "runs"]):
        file = report / TABLE.format(name)
        if not file.exists():
            there = ", ".join(sorted(each.stem for each in report.glob(TABLE.format("*"))))
            raise SystemExit(f"{file} is not there. There are: {there}.")
        read[name] = pd.read_csv(file)
        read[name].round(DIGITS).to_csv(target / file.name, index=False)
    runs = read["runs"]
    facts = {
        "command": command,
        "first": runs["made"].min()[:10],
        "last": runs["made"].max()[:10],
        "hardware": sorted(runs["hardware"].unique()),
        "device": sorted(runs["device"].unique()),
        "commits": sorted(runs["commit"].unique()),
        "trainings": len(runs),
        "hours": round(runs["training_seconds"].sum() / 3600, 1),
    }
    (target / RUN).write_text(json.dumps(facts, indent=2) + "\n")
    installed = sorted(f"{each.name}=={each.version}" for each in distributions())
    (target / ENVIRONMENT).write_text("\n".join(dict.fromkeys(installed)) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Copy tables of a run's report to a folder that a page shows."
    )
    parser.add_argument("report", type=Path, help="such as data/08_reporting/pbc/challenge")
    parser.add_argument("target", type=Path, help="such as docs/results/challenge")
    parser.add_argument("tables", nargs="+", help="names of tables, such as metrics published")
    parser.add_argument("--command", required=True, help="by which the report was made")
    asked = parser.parse_args()
    collect(asked.report, asked.target, asked.tables, asked.command)
