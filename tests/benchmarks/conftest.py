import os

import pytest


@pytest.fixture(scope="session", autouse=True)
def two_threads():
    """Measure with as many threads as the machine has cores, at most two."""
    import torch

    torch.set_num_threads(min(2, os.cpu_count()))
