import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    """Measure with as many threads as the machine has cores, at most two."""
    import torch

    torch.set_num_threads(min(2, os.cpu_count()))


def pytest_terminal_summary(terminalreporter, config):
    """Print the ratios to floors, which the table of times has no column for."""
    for benchmark in config._benchmarksession.benchmarks:
        for name, value in benchmark.extra_info.items():
            terminalreporter.write_line(f"{benchmark.name}: {name}: {value}")
