import base64
import json
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
from kept_results import result_of

from wbc_pipeline.datasets.images import ViewsDataset, open_images
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.masks import resize_mask
from wbc_pipeline.pipelines.preprocessing.nodes import make_view
from wbc_pipeline.pipelines.preprocessing.options import PreprocessingOptions

PROJECT = Path(__file__).parents[2]
VIEWS = {"clahe", "denoised", "sharpened", "nucleus", "foreground"}
CROPS = {"colour_published", "colour", "enhanced"}


def views_of(data, pipeline):
    """Folders of the views that a pipeline's last command asked for, by name."""
    folder = data / "04_feature/demo" / pipeline
    return {
        name: result_of(folder, name) for name in json.loads((folder / "latest.json").read_text())
    }


def packed_images(data):
    return result_of(data / "03_primary/demo/images")


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
    assert set(views_of(made, "preprocessing")) == VIEWS
    assert set(views_of(made, "roi")) == CROPS


def test_a_view_is_its_chain_applied_to_the_packed_images(made):
    packed = np.load(packed_images(made) / "images.npy")
    view = np.load(views_of(made, "preprocessing")["clahe"] / "images.npy")
    chain = build_chain([{"clahe": {"clip_limit": 2.0, "tiles": 8}}])
    np.testing.assert_array_equal(view, np.stack([chain(image) for image in packed]))


def test_each_view_has_a_sheet_of_images_before_and_after(made):
    for folder in (views_of(made, "preprocessing") | views_of(made, "roi")).values():
        sheet = cv2.imread(str(folder / "contact_sheet.png"))
        assert sheet.std() > 20
        assert sheet.shape[1] > 1000


def test_the_sheets_of_all_views_show_in_kedro_viz(made):
    preview = ViewsDataset(filepath=str(made / "04_feature/demo/preprocessing")).preview()
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(preview), np.uint8), cv2.IMREAD_COLOR)
    sheets = [
        cv2.imread(str(folder / "contact_sheet.png"))
        for folder in views_of(made, "preprocessing").values()
    ]
    assert len(shown) == sum(map(len, sheets))
    first = sheets[0]
    np.testing.assert_array_equal(shown[: len(first), : first.shape[1]], first)


def test_masks_are_cut_and_scaled_with_their_images(made):
    packed = np.load(packed_images(made) / "masks.npy")
    views = views_of(made, "preprocessing") | views_of(made, "roi")
    masks = {name: np.load(folder / "masks.npy") for name, folder in views.items()}
    for name in VIEWS:  # these change colours alone
        np.testing.assert_array_equal(masks[name], packed)
    for name in CROPS:
        crops = np.load(views[name] / "images.npy")
        assert masks[name].shape == crops.shape[:3]
        assert set(np.unique(masks[name])) == {0, 1, 2}
    regions = pd.read_parquet(views["colour"] / "regions.parquet")
    assert regions["found"].any()
    for mask, crop, region in zip(packed, masks["colour"], regions.itertuples(), strict=True):
        rows = slice(region.crop_ymin, region.crop_ymax)
        columns = slice(region.crop_xmin, region.crop_xmax)
        np.testing.assert_array_equal(crop, resize_mask(mask[rows, columns], crop.shape))


def test_a_changed_mask_makes_a_view_of_the_files_anew(made, tmp_path):
    packed = open_images(Result(packed_images(made)))
    manifest = pd.read_parquet(made / "02_intermediate/demo/manifest.parquet")
    outcome = packed.result.table("outcome")
    outcome.loc[0, "mask_sha256"] = "changed"
    outcome.to_parquet(tmp_path / "outcome.parquet")
    for file in ("images.npy", "masks.npy", "key.json"):
        (tmp_path / file).symlink_to(packed.result.folder / file)
    options = PreprocessingOptions(backend="threads", workers=1, scheduler=None, views={})
    steps = [{"full_resolution": {}}, {"resize": {"size": 8}}]
    before, after = (
        make_view(images, manifest, steps, options).key
        for images in (packed, open_images(Result(tmp_path)))
    )
    assert before.digest != after.digest


def test_crops_are_cut_from_the_files_and_the_manifest_says_where_nothing_was_found(made):
    manifest = pd.read_parquet(made / "02_intermediate" / "demo" / "roi" / "manifest.parquet")
    assert not manifest["colour_found"].all()  # the demo's rapid stain has red nuclei
    assert manifest["colour_found"].any()
    row = manifest["colour_found"].idxmax()
    file = cv2.imread(manifest.loc[row, "path"], cv2.IMREAD_COLOR_RGB)
    steps = [{"colour_region": {}}, {"square_region": {}}, {"resize": {"size": 64}}]
    crops = np.load(views_of(made, "roi")["colour"] / "images.npy")
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
    folders = [made / "03_primary", made / "04_feature"]
    before = [write_times(folder) for folder in folders]
    assert all(before)
    run_pipeline("preprocessing", made)
    run_pipeline("roi", made)
    assert [write_times(folder) for folder in folders] == before


def test_a_dask_cluster_gives_the_same_bytes(run_pipeline, made, tmp_path):
    pytest.importorskip("distributed", reason="pip install -e '.[dask]'")
    run_pipeline("roi", tmp_path, preprocessing={"backend": "dask", "workers": 2})
    for name in CROPS:
        threads, dask = (views_of(data, "roi")[name] for data in (made, tmp_path))
        for file in ("images.npy", "masks.npy"):
            assert (dask / file).read_bytes() == (threads / file).read_bytes()


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
    folder = killed / "04_feature/demo/preprocessing"
    run = kedro_run(killed)
    while not (begun := list(folder.glob(".*.making/images.npy"))):
        assert run.poll() is None
        time.sleep(0.001)
    run.send_signal(signal.SIGKILL)
    run.wait()
    assert begun[0].is_file()  # it had not finished this view
    assert kedro_run(killed).wait() == 0
    for view in VIEWS:
        before, after = (views_of(data, "preprocessing")[view] for data in (whole, killed))
        assert after.name == before.name
        files = {path.name for path in before.iterdir()}
        assert files == {path.name for path in after.iterdir()}
        for file in files - {"provenance.json"}:
            assert (after / file).read_bytes() == (before / file).read_bytes()
    assert not list(folder.glob(".*"))
