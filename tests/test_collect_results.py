"""Tables of a report are copied for a page, with what they were made by."""

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from sphinx_page import EXTENSIONS, build_page

DOCS = Path(__file__).parents[1] / "docs"
RUNS = {
    "training_seconds": [1800.0, 5400.0],
    "made": ["2026-11-27T23:00:00+00:00", "2026-11-28T01:00:00+00:00"],
    "commit": ["abc", "abc"],
    "hardware": ["a CPU, 1 cores", "a CPU, 1 cores"],
    "device": ["cpu", "cpu"],
}


@pytest.fixture
def report(tmp_path):
    folder = tmp_path / "report"
    folder.mkdir()
    pd.DataFrame({"accuracy": [0.123456]}).to_csv(folder / "metrics.csv", index=False)
    pd.DataFrame(RUNS).to_csv(folder / "runs.csv", index=False)
    return folder


def collect(report, *tables):
    target = report.parent / "pages" / "blend"
    words = [report, target, *tables, "--command", "kedro run --pipeline=blend"]
    command = [sys.executable, DOCS / "collect_results.py", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return target, done


def test_tables_are_rounded_and_lie_beside_what_they_were_made_by(report):
    target, done = collect(report, "metrics")
    assert done.returncode == 0, done.stderr
    assert (target / "metrics.csv").read_text() == "accuracy\n0.12346\n"
    facts = json.loads((target / "run.json").read_text())
    assert (facts["first"], facts["last"], facts["hours"]) == ("2026-11-27", "2026-11-28", 2.0)
    assert "pandas==" in (target / "environment.txt").read_text()


def test_a_table_that_is_not_there_is_named_with_those_that_are(report):
    _, done = collect(report, "metrisc")
    assert done.returncode != 0
    assert "metrisc.csv is not there. There are: metrics, runs." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_page_says_by_which_command_when_and_on_what(report, monkeypatch):
    target, _ = collect(report, "metrics")
    monkeypatch.syspath_prepend(EXTENSIONS)
    page = build_page(target.parent, "# Runs\n\n```{results-run} blend\n```\n", "results_run")
    page = " ".join(page.split())
    assert "kedro run --pipeline=blend" in page
    assert "a CPU, 1 cores, on cpu, 2026-11-27 to 2026-11-28: 2 trainings, 2.0 hours in all" in page
