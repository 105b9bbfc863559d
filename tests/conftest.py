import os
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
