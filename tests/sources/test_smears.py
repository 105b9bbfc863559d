from itertools import combinations

import cv2
import numpy as np
import pytest

from wbc_pipeline.sources.morphology import CLASSES
from wbc_pipeline.sources.smears import prepare_slide, render_cell, render_view

GIEMSA, RAPID = "giemsa/laboratory_a", "rapid/laboratory_b"


@pytest.fixture(scope="module", params=CLASSES)
def cell(request):
    slide = prepare_slide(request.param, seed=3, image_size=64, domain=GIEMSA)
    return render_view(slide, seed=4)


def test_different_seeds_render_different_cells():
    first, second = (
        render_cell("monocyte", seed=seed, image_size=32, domain=GIEMSA) for seed in (0, 1)
    )
    assert (first.image != second.image).any()
    assert (first.mask != second.mask).any()


def test_a_mask_tells_background_cytoplasm_and_nucleus(cell):
    assert cell.image.dtype == cell.mask.dtype == np.uint8
    assert cell.image.shape == (*cell.mask.shape, 3)
    assert set(np.unique(cell.mask)) == {0, 1, 2}


def test_mask_nucleus_lies_inside_cell(cell):
    nucleus = (cell.mask == 2).astype(np.uint8)
    grown = cv2.dilate(nucleus, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    assert (cell.mask[grown > 0] > 0).all()


def test_mask_nucleus_is_the_dark_part(cell):
    grey = cell.image.mean(axis=2)
    nucleus, cytoplasm, field = (grey[cell.mask == value].mean() for value in (2, 1, 0))
    assert nucleus < cytoplasm < field


def test_box_encloses_mask(cell):
    xmin, ymin, xmax, ymax = cell.box
    inside = cell.mask[ymin:ymax, xmin:xmax] > 0
    assert inside.sum() == (cell.mask > 0).sum()
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.any()


def test_whole_cell_is_in_every_view():
    slide = prepare_slide("monocyte", seed=1, image_size=64, domain=RAPID)
    for seed in range(20):
        xmin, ymin, xmax, ymax = render_view(slide, seed=seed).box
        assert min(xmin, ymin) > 0
        assert max(xmax, ymax) < 64


def test_views_of_a_cell_differ_but_show_one_cell():
    slide = prepare_slide("eosinophil", seed=0, image_size=64, domain=GIEMSA)
    views = [render_view(slide, seed=seed) for seed in range(4)]
    for one, other in combinations(views, 2):
        assert (one.image != other.image).mean() > 0.5
        assert (one.mask > 0).sum() == pytest.approx((other.mask > 0).sum(), rel=0.5)


def test_stain_changes_the_colour_and_not_the_shape():
    giemsa, rapid = (
        render_cell("lymphocyte", seed=5, image_size=48, domain=domain)
        for domain in (GIEMSA, RAPID)
    )
    assert (giemsa.mask == rapid.mask).all()
    assert giemsa.image[..., 2].mean() > rapid.image[..., 2].mean() + 30


def test_unknown_domain_error_names_the_allowed_domains():
    with pytest.raises(ValueError, match=r"'gram'.*giemsa/laboratory_a"):
        render_cell("basophil", seed=0, domain="gram")
