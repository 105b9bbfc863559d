import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of, texts_of

from wbc_pipeline.evaluation.figures.localization import (
    box_overlays,
    detection_overlays,
    iou_histogram,
    iou_histograms,
    worst_ten,
    worst_ten_away,
)
from wbc_pipeline.evaluation.figures.sheets import FOUND_COLOUR, Boxes, rgb
from wbc_pipeline.evaluation.localization.tuning import UNTUNED

FIGURES = (iou_histograms, detection_overlays, worst_ten)


@pytest.fixture
def scored():
    """Twelve images by one method, three by another, and one without a true box."""
    rows = [("mask_rcnn_vgg16", f"{n}.jpg", n / 20) for n in range(12)]
    rows += [("light", f"{n}.jpg", 0.9 - n / 100) for n in range(3)]
    rows += [("light", "empty.jpg", np.nan)]
    return pd.DataFrame(rows, columns=["method", "image_id", "iou"])


@pytest.fixture
def looked():
    """Method and image of each look, in order."""
    return []


@pytest.fixture
def look(looked):
    def show(row):
        looked.append((row["method"], row["image_id"]))
        return Boxes(np.full((48, 64, 3), 200, np.uint8), [(10, 10, 30, 30)], (12, 10, 33, 30))

    return show


def test_histograms_name_each_method_with_its_mean_and_mark_the_printed_one(scored):
    figure = iou_histograms(scored, published={"mask_rcnn_vgg16": 0.71, "colour": 0.59})
    check(figure, "mask rcnn vgg16: mean 0.275", "light: mean 0.890", "published mean")
    lines = [[line.get_xdata()[0] for line in axes.lines] for axes in figure.axes]
    assert lines == [[pytest.approx(0.275), 0.71], [pytest.approx(0.89)]]


def test_histograms_without_printed_means_do_not_speak_of_them(scored):
    assert not any("published" in text for text in texts_of(iou_histograms(scored)))


def test_overlays_go_from_the_worst_to_the_best(scored, look, looked):
    figure = detection_overlays(scored, look, dataset="smears")
    shown = [image for method, image in looked if method == "mask_rcnn_vgg16"]
    assert (shown[0], shown[-1]) == ("0.jpg", "11.jpg")
    assert next(image for method, image in looked if method == "light") == "2.jpg"
    assert rows_of(figure) == ["mask\nrcnn\nvgg16", "light"]
    check(figure, "smears", "worst", "best", "0.55", "annotated", "found")
    page = figure.axes[0].images[0].get_array()
    assert (page == rgb(FOUND_COLOUR)).all(axis=2).any()


def test_the_ten_worst_images_of_each_method_come_in_order(scored, look, looked):
    figure = worst_ten(scored, look)
    shown = [image for method, image in looked if method == "mask_rcnn_vgg16"]
    assert shown == [f"{n}.jpg" for n in range(10)]
    assert ("light", "empty.jpg") not in looked
    assert rows_of(figure) == ["mask\nrcnn\nvgg16", "", "light"]


def test_the_worst_away_are_drawn_likewise_and_none_were_left_out_is_said(scored, look, looked):
    assert rows_of(worst_ten_away(scored, look)) == ["mask\nrcnn\nvgg16", "", "light"]
    assert looked[0] == ("mask_rcnn_vgg16", "0.jpg")
    check(worst_ten_away(scored[:0], look), "no set was left out", "protocols=dataset")


@pytest.mark.parametrize("figure", FIGURES)
def test_without_boxes_a_figure_says_so(figure, scored, look):
    nothing = scored[scored["image_id"] == "empty.jpg"]
    check(figure(nothing) if figure is iou_histograms else figure(nothing, look), "no annotated")


@pytest.fixture
def tests(scored):
    """Tests of both methods: as written on all, tuned on their own and on another domain."""
    boxed = scored.dropna().assign(tested_on="giemsa")
    return pd.concat([boxed.assign(tuned_on=name) for name in (UNTUNED, "giemsa", "wright")])


def test_parameters_as_written_are_told_from_tuned_ones(tests, look, looked):
    figure = iou_histogram(tests, published_mean=0.6, dataset="demo")
    check(
        figure, "· demo", "mask rcnn vgg16, untuned: mean 0.275", "light, tuned", "published mean"
    )
    assert len(figure.axes) == 4  # what was tuned on another domain is not shown
    assert len(rows_of(box_overlays(tests, look))) == 4
    assert len(looked) == 4 * 6
    check(iou_histogram(tests.head(0)), "no boxes and no masks")
    check(box_overlays(tests.head(0), look), "no boxes and no masks")
