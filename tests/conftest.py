import os
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of the public image sets: ``WBC_DATA``, else beside the project."""
    folder = Path(os.environ.get("WBC_DATA", PROJECT / "../shared/datasets")).resolve()
    if not folder.is_dir():
        reason = f"no real images in {folder}; set WBC_DATA to the folder of the public downloads"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(autouse=True)
def import_path():
    """Let MLflow, which puts the code beside a served model first, do so for one test alone."""
    before = list(sys.path)
    yield
    sys.path[:] = before
