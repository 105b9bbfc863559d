from collections import Counter
from itertools import combinations

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.sources import demo

SMALL = {"cells_per_class": 2, "views_per_cell": 2, "image_size": 32}
GIEMSA, RAPID = "giemsa/laboratory_a", "rapid/laboratory_b"


@pytest.fixture(scope="module")
def listing(tmp_path_factory):
    return demo.list_images(tmp_path_factory.mktemp("raw") / "demo", **SMALL)


@pytest.fixture(scope="module", params=demo.CLASSES)
def cell(request):
    slide = demo.prepare_slide(request.param, seed=3, image_size=64, domain=GIEMSA)
    return demo.render_view(slide, seed=4)


def read_bytes(listing):
    paths = [*listing["path"], *listing["mask_path"]]
    return [open(path, "rb").read() for path in paths]


def test_same_seed_renders_identical_bytes(listing, tmp_path):
    again = demo.list_images(tmp_path / "elsewhere", **SMALL)
    assert read_bytes(again) == read_bytes(listing)
    stays = ["image_id", "label", "source_id", "domain", "published_part", "box"]
    pd.testing.assert_frame_equal(again[stays], listing[stays])


def test_different_seeds_render_different_cells():
    first, second = (
        demo.render_cell("monocyte", seed=seed, image_size=32, domain=GIEMSA) for seed in (0, 1)
    )
    assert (first.image != second.image).any()
    assert (first.mask != second.mask).any()


def test_more_cells_leave_earlier_ones_unchanged(listing, tmp_path):
    more = demo.list_images(
        tmp_path / "demo", **SMALL | {"cells_per_class": 3, "classes": ["monocyte"]}
    )
    shared = listing[listing["label"] == "monocyte"]
    assert read_bytes(more[more["image_id"].isin(shared["image_id"])]) == read_bytes(shared)


def test_mask_follows_the_published_convention(cell):
    assert cell.image.dtype == cell.mask.dtype == np.uint8
    assert cell.image.shape == (*cell.mask.shape, 3)
    assert set(np.unique(cell.mask)) == {0, 128, 255}


def test_mask_nucleus_lies_inside_cell(cell):
    nucleus = (cell.mask == 255).astype(np.uint8)
    grown = cv2.dilate(nucleus, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    assert (cell.mask[grown > 0] > 0).all()


def test_mask_nucleus_is_the_dark_part(cell):
    grey = cell.image.mean(axis=2)
    nucleus, cytoplasm, field = (grey[cell.mask == value].mean() for value in (255, 128, 0))
    assert nucleus < cytoplasm < field


def test_box_encloses_mask(cell):
    xmin, ymin, xmax, ymax = cell.box
    inside = cell.mask[ymin:ymax, xmin:xmax] > 0
    assert inside.sum() == (cell.mask > 0).sum()
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.any()


def test_whole_cell_is_in_every_view():
    slide = demo.prepare_slide("monocyte", seed=1, image_size=64, domain=RAPID)
    for seed in range(20):
        xmin, ymin, xmax, ymax = demo.render_view(slide, seed=seed).box
        assert min(xmin, ymin) > 0
        assert max(xmax, ymax) < 64


def test_views_of_a_cell_differ_but_show_one_cell():
    slide = demo.prepare_slide("eosinophil", seed=0, image_size=64, domain=GIEMSA)
    views = [demo.render_view(slide, seed=seed) for seed in range(4)]
    for one, other in combinations(views, 2):
        assert (one.image != other.image).mean() > 0.5
        assert (one.mask > 0).sum() == pytest.approx((other.mask > 0).sum(), rel=0.5)


def test_stain_changes_the_colour_and_not_the_shape():
    giemsa, rapid = (
        demo.render_cell("lymphocyte", seed=5, image_size=48, domain=domain)
        for domain in (GIEMSA, RAPID)
    )
    assert (giemsa.mask == rapid.mask).all()
    assert giemsa.image[..., 2].mean() > rapid.image[..., 2].mean() + 30


def test_domains_are_not_confounded_with_classes(tmp_path):
    cells = demo.list_images(tmp_path / "demo", cells_per_class=12, views_per_cell=1, image_size=32)
    counts = pd.crosstab(cells["label"], cells["domain"])
    assert counts.shape == (len(demo.CLASSES), len(demo.DOMAINS))
    assert (counts == 2).all(axis=None)


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
    monkeypatch.setattr(demo, "_render_set", lambda *_: pytest.fail("rendered again"))
    pd.testing.assert_frame_equal(demo.list_images(tmp_path / "demo", **SMALL), first)


def test_other_options_render_anew_and_leave_no_stale_file(tmp_path):
    demo.list_images(tmp_path / "demo", **SMALL)
    listing = demo.list_images(tmp_path / "demo", **SMALL | {"classes": ["basophil"]})
    assert set(listing["label"]) == {"basophil"}
    assert len(list((tmp_path / "demo").rglob("*.png"))) == 2 * len(listing)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_interrupted_rendering_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "render_view", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        demo.list_images(tmp_path / "demo", **SMALL)
    assert not list(tmp_path.iterdir())


def test_folder_with_other_files_stays_untouched(tmp_path):
    (tmp_path / "slides.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="choose an empty folder"):
        demo.list_images(tmp_path, **SMALL)
    assert (tmp_path / "slides.txt").read_text() == "mine"


def test_unknown_class_error_names_the_allowed_classes(tmp_path):
    with pytest.raises(ValueError, match=r"'platypus'.*basophil, erythroblast"):
        demo.list_images(tmp_path / "demo", classes=("platypus",))
    assert not list(tmp_path.iterdir())


def test_unknown_domain_error_names_the_allowed_domains():
    with pytest.raises(ValueError, match=r"'gram'.*giemsa/laboratory_a"):
        demo.render_cell("basophil", seed=0, domain="gram")
