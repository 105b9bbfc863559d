import subprocess
import sys
from collections import Counter

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.sources import demo

SMALL = {"cells_per_class": 2, "views_per_cell": 2, "image_size": 32}


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    return demo.list_images(tmp_path_factory.mktemp("raw") / "demo", **SMALL)


def read_bytes(listing):
    paths = [*listing["path"], *listing["mask_path"]]
    return [open(path, "rb").read() for path in paths]


def test_same_seed_renders_identical_bytes(listing, tmp_path):
    again = demo.list_images(tmp_path / "elsewhere", **SMALL)
    assert read_bytes(again) == read_bytes(listing)
    stays = ["image_id", "label", "source_id", "domain", "published_part", "box"]
    pd.testing.assert_frame_equal(again[stays], listing[stays])


def test_more_cells_leave_earlier_ones_unchanged(listing, tmp_path):
    more = demo.list_images(
        tmp_path / "demo", **SMALL | {"cells_per_class": 3, "classes": ["monocyte"]}
    )
    shared = listing[listing["label"] == "monocyte"]
    assert read_bytes(more[more["image_id"].isin(shared["image_id"])]) == read_bytes(shared)


def test_domains_are_not_confounded_with_classes(tmp_path):
    cells = demo.list_images(tmp_path / "demo", cells_per_class=12, views_per_cell=1, image_size=32)
    counts = pd.crosstab(cells["label"], cells["domain"])
    assert counts.shape == (len(demo.CLASSES), 3)
    assert (counts == 4).all(axis=None)
    tested = cells.groupby(["label", "domain"])["published_part"].value_counts()
    assert (tested.xs("test", level="published_part") == 1).all() and len(tested) == 2 * 21


def test_leaving_a_domain_out_of_the_smallest_set_leaves_cells_of_each_class(tmp_path):
    classes = ["basophil", "lymphocyte", "seg_neutrophil"]
    listing = demo.list_images(
        tmp_path / "demo", cells_per_class=4, views_per_cell=2, image_size=32, classes=classes
    )
    cells = listing.drop_duplicates("source_id")
    counts = pd.crosstab(cells["domain"], cells["label"])
    assert counts.shape == (3, 3)
    assert (counts >= 1).all(axis=None)  # to test
    assert ((counts.sum() - counts) >= 2).all(axis=None)  # to train, and to choose an epoch by


def test_mask_files_have_the_grey_levels_of_a_listing_without_levels(listing):
    mask = cv2.imread(listing["mask_path"][0], cv2.IMREAD_UNCHANGED)
    assert set(np.unique(mask)) == {0, 128, 255}
    assert set(listing["mask_levels"]) == {'{"background": 0, "cytoplasm": 128, "nucleus": 255}'}


def test_published_parts_share_no_cell_and_cover_every_class(listing):
    assert (listing.groupby("source_id")["published_part"].nunique() == 1).all()
    assert (listing.groupby("label")["published_part"].nunique() == 2).all()


def test_listing_has_a_row_per_view_of_every_cell(listing):
    assert listing["image_id"].is_monotonic_increasing
    assert Counter(listing["source_id"].value_counts()) == {2: 2 * len(demo.CLASSES)}
    first = listing.iloc[0]
    assert first["image_id"] == "images/basophil/basophil_0000_0.png"
    assert first["source_id"] == "basophil_0000"
    assert cv2.boundingRect(cv2.imread(first["mask_path"], cv2.IMREAD_GRAYSCALE))[:2] == tuple(
        first["box"][:2]
    )


def test_second_listing_renders_nothing(listing, tmp_path, monkeypatch):
    first = demo.list_images(tmp_path / "demo", **SMALL)
    monkeypatch.setattr(demo, "render_view", lambda *_, **__: 1 / 0)
    pd.testing.assert_frame_equal(demo.list_images(tmp_path / "demo", **SMALL), first)


def test_sets_of_other_options_lie_beside_each_other(tmp_path):
    first = demo.list_images(tmp_path, **SMALL)
    before = read_bytes(first)
    other = demo.list_images(tmp_path, **SMALL | {"seed": 1})
    assert read_bytes(first) == before
    assert not set(first["path"]) & set(other["path"])
    assert len(list(tmp_path.iterdir())) == 2
    assert len(list(tmp_path.rglob("*.png"))) == 2 * len(first) + 2 * len(other)


def test_other_code_renders_into_another_folder(tmp_path, monkeypatch):
    first = demo.list_images(tmp_path, **SMALL | {"classes": ["basophil"]})
    monkeypatch.setattr(demo, "code_digest", lambda *_: {"sources/smears.py": "other"})
    other = demo.list_images(tmp_path, **SMALL | {"classes": ["basophil"]})
    assert not set(first["path"]) & set(other["path"])


def test_two_processes_that_render_the_same_set_at_once_both_list_it(tmp_path):
    render = (
        f"from wbc_pipeline.sources import demo; demo.list_images({str(tmp_path)!r}, **{SMALL})"
    )
    processes = [subprocess.Popen([sys.executable, "-c", render]) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(tmp_path.iterdir())) == 1


def test_slower_of_two_processes_takes_the_set_of_the_faster(tmp_path, monkeypatch):
    render_set = demo._render_set

    def overtaken(folder, options):
        monkeypatch.setattr(demo, "_render_set", render_set)
        demo.list_images(tmp_path / "demo", **SMALL)
        render_set(folder, options)

    expected = demo.list_images(tmp_path / "expected", **SMALL)
    monkeypatch.setattr(demo, "code_digest", lambda *_: {})
    monkeypatch.setattr(demo, "_render_set", overtaken)
    listing = demo.list_images(tmp_path / "demo", **SMALL)
    assert read_bytes(listing) == read_bytes(expected)
    assert len(list((tmp_path / "demo").iterdir())) == 1


def test_interrupted_rendering_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "render_view", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo.list_images(tmp_path, **SMALL)
    assert not list(tmp_path.iterdir())


def test_other_files_stay_untouched(tmp_path):
    (tmp_path / "slides.txt").write_text("mine")
    listing = demo.list_images(tmp_path, **SMALL)
    assert (tmp_path / "slides.txt").read_text() == "mine"
    (table,) = tmp_path.glob("*/cells.csv")
    table.unlink()
    with pytest.raises(FileExistsError, match=r"cells\.csv of a demo set .* move them elsewhere"):
        demo.list_images(tmp_path, **SMALL)
    assert read_bytes(listing)


def test_unknown_class_error_names_the_allowed_classes(tmp_path):
    with pytest.raises(ValueError, match=r"'platypus'.*basophil, erythroblast"):
        demo.list_images(tmp_path / "demo", classes=("platypus",))
    assert not list(tmp_path.iterdir())
