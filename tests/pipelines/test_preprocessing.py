import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.imaging.chain import build_chain

PROJECT = Path(__file__).parents[2]
VIEWS = {"clahe", "denoised", "sharpened", "nucleus", "foreground"}
CROPS = {"colour_published", "colour", "enhanced"}


def views_of(data, pipeline):
    return data / "03_primary" / "demo" / pipeline


def write_times(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def made(run_pipeline, tmp_path_factory):
    """The outputs of one run of each of the two pipelines."""
    data = tmp_path_factory.mktemp("made")
    run_pipeline("preprocessing", data)
    run_pipeline("roi", data)
    return data


def test_every_view_of_the_parameters_is_made(made):
    assert {path.name for path in views_of(made, "preprocessing").iterdir()} == VIEWS
    assert {path.name for path in views_of(made, "roi").iterdir()} == CROPS


def test_a_view_is_its_chain_applied_to_the_packed_images(made):
    packed = np.load(made / "03_primary" / "demo" / "images" / "images.npy")
    view = np.load(views_of(made, "preprocessing") / "clahe" / "images.npy")
    chain = build_chain([{"clahe": {"clip_limit": 2.0, "tiles": 8}}])
    np.testing.assert_array_equal(view, np.stack([chain(image) for image in packed]))


def test_each_view_has_a_sheet_of_images_before_and_after(made):
    for folder in (*views_of(made, "preprocessing").iterdir(), *views_of(made, "roi").iterdir()):
        sheet = cv2.imread(str(folder / "contact_sheet.png"))
        assert sheet.std() > 20
        assert sheet.shape[1] > 1000


def test_the_sheets_of_all_views_show_in_kedro_viz(made):
    from wbc_pipeline.datasets.images import ImagesDataset, ViewsDataset

    folder = views_of(made, "preprocessing")
    one = ImagesDataset(filepath=str(folder / "clahe")).preview()
    assert len(ViewsDataset(filepath=str(folder)).preview()) > 3 * len(one)


def test_crops_are_cut_from_the_files_and_the_manifest_says_where_nothing_was_found(made):
    manifest = pd.read_parquet(made / "02_intermediate" / "demo" / "roi" / "manifest.parquet")
    assert not manifest["colour_found"].all()  # the demo's rapid stain has red nuclei
    assert manifest["colour_found"].any()
    row = manifest["colour_found"].idxmax()
    file = cv2.imread(manifest.loc[row, "path"], cv2.IMREAD_COLOR_RGB)
    steps = [{"colour_region": {}}, {"square_region": {}}, {"resize": {"size": 64}}]
    crops = np.load(views_of(made, "roi") / "colour" / "images.npy")
    np.testing.assert_array_equal(crops[row], build_chain(steps)(file))
    lost = manifest["colour_found"].idxmin()
    whole = cv2.imread(manifest.loc[lost, "path"], cv2.IMREAD_COLOR_RGB)
    assert manifest.loc[lost, "colour_box"].tolist() == [0, 0, *whole.shape[1::-1]]


def test_found_boxes_are_compared_with_annotated_ones(made):
    reports = made / "08_reporting" / "demo" / "roi"
    summary, overlaps = (pd.read_csv(reports / f"{name}.csv") for name in ("summary", "overlaps"))
    assert set(overlaps["view"]) == CROPS
    published = overlaps[overlaps["view"] == "colour_published"]
    by_domain = published.groupby("domain")["iou"].mean()
    means = summary[summary["view"] == "colour_published"].set_index("domain")["mean"]
    pd.testing.assert_series_equal(means.sort_index(), by_domain, check_names=False)


def test_a_second_run_does_no_work(run_pipeline, made):
    before = write_times(made / "03_primary")
    run_pipeline("preprocessing", made)
    run_pipeline("roi", made)
    assert write_times(made / "03_primary") == before


def test_a_dask_cluster_gives_the_same_bytes(run_pipeline, made, tmp_path):
    pytest.importorskip("distributed", reason="pip install -e '.[dask]'")
    run_pipeline("roi", tmp_path, preprocessing={"backend": "dask", "workers": 2})
    for name in CROPS:
        threads, dask = (views_of(data, "roi") / name / "images.npy" for data in (made, tmp_path))
        assert dask.read_bytes() == threads.read_bytes()


def kedro_run(data):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "kedro", "run", "--env=test", "--pipelines=preprocessing"),
            f"--params=data={data},sources.demo.cells_per_class=40,sources.demo.views_per_cell=3",
        ],
        cwd=PROJECT,
        env=os.environ | {"KEDRO_DISABLE_TELEMETRY": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def test_after_a_kill_in_the_middle_the_next_run_gives_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert kedro_run(whole).wait() == 0
    shutil.copytree(whole, killed, ignore=shutil.ignore_patterns("preprocessing"))
    run, folder = kedro_run(killed), views_of(killed, "preprocessing")
    while not (begun := list(folder.glob(".*.making.*/images.npy"))):
        assert run.poll() is None
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert begun[0].is_file()  # it had not finished this view
    assert kedro_run(killed).wait() == 0
    for view in VIEWS:
        before, after = (views_of(data, "preprocessing") / view for data in (whole, killed))
        files = {path.name for path in before.iterdir()}
        assert files == {path.name for path in after.iterdir()}
        for file in files:
            assert (after / file).read_bytes() == (before / file).read_bytes()
    assert not list(folder.glob(".*"))
