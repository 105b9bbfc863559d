import os
import subprocess
import time
from itertools import groupby
from pathlib import Path

import psutil
import pytest

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    """Measure with as many threads as the machine has cores, at most two."""
    import torch

    torch.set_num_threads(min(2, os.cpu_count()))


@pytest.fixture(scope="session")
def peak_memory():
    """Run a command and look at its resident memory every few milliseconds, in MB."""

    def watch(command, folder=PROJECT):
        run = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        process, peak = psutil.Process(run.pid), 0
        while run.poll() is None:
            peak = max(peak, process.memory_info().rss)
            time.sleep(0.02)
        assert run.returncode == 0
        return peak / 2**20

    return watch


@pytest.hookimpl(trylast=True)
def pytest_terminal_summary(terminalreporter, config):
    """Print what the table of times has no column for: the ratios to floors.

    Benchmarks of one group become a table in Markdown.
    """
    benchmarks = config._benchmarksession.benchmarks
    for group, members in groupby(benchmarks, key=lambda benchmark: benchmark.group):
        lines = markdown_table if group else extra_lines
        for line in lines([benchmark for benchmark in members if benchmark.extra_info]):
            terminalreporter.write_line(line)


def extra_lines(benchmarks):
    for benchmark in benchmarks:
        for name, value in benchmark.extra_info.items():
            yield f"{benchmark.name}: {name}: {value}"


def markdown_table(benchmarks):
    columns = [*benchmarks[0].extra_info]
    rows = [benchmark.extra_info.values() for benchmark in benchmarks]
    for cells in (columns, ["---"] * len(columns), *rows):
        yield f"| {' | '.join(map(str, cells))} |"
