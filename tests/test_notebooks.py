from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
ON_REAL_IMAGES = {"choose_segmentation"}  # the others draw or render their own
WATCHED = ("conf", "data", "notebooks", "src")

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs_from_top_to_bottom_and_leaves_the_project_alone(
    path, request, monkeypatch
):
    if path.stem in ON_REAL_IMAGES:
        monkeypatch.setenv("WBC_DATA", str(request.getfixturevalue("real_data")))
    before = files_of_the_project()
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(FOLDER)}}
    nbclient.NotebookClient(notebook, timeout=900, resources=where).execute()
    assert files_of_the_project() == before


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_is_stored_without_outputs(path):
    cells = nbformat.read(path, as_version=4).cells
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in cells)


def files_of_the_project():
    """Time of change of each file that a notebook might touch; compiled Python is none."""
    files = [path for path in FOLDER.parent.iterdir() if not path.name.startswith(".")]
    files += [path for folder in WATCHED for path in (FOLDER.parent / folder).rglob("*")]
    return {
        path: path.stat().st_mtime_ns
        for path in files
        if path.is_file() and "__pycache__" not in path.parts
    }
