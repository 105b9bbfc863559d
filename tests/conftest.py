import hashlib
import os
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]

if "PYTEST_XDIST_WORKER" in os.environ:  # else each worker's threads wait for the others'
    os.environ.setdefault("OMP_NUM_THREADS", "1")


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


@pytest.fixture
def untouched():
    """Watch folders of raw data, and assert at the end that they are as they were."""
    before = {}

    def watch(folder: Path) -> Path:
        before.setdefault(folder, _digest(folder))
        return folder

    yield watch
    for folder, digest in before.items():
        assert _digest(folder) == digest, f"{folder} was written to"


def _digest(folder: Path) -> str:
    """Digest the names, contents and times of change of everything below a folder."""
    digest = hashlib.sha256()
    for path in sorted([folder, *folder.rglob("*")]):
        content = path.read_bytes() if path.is_file() else b""
        told = (str(path.relative_to(folder)), path.lstat().st_mtime_ns, content)
        digest.update(repr(told).encode())
    return digest.hexdigest()
