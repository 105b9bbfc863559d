import cv2
import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of, texts_of
from joint_tables import make_overlaps
from paper_tables import CLASSES, VARIANTS
from sklearn.metrics import average_precision_score

from wbc_pipeline.evaluation.figures import segmentation as figures
from wbc_pipeline.evaluation.figures.sheets import FOUND_COLOUR, TRUE_COLOUR, Outlines, rgb


@pytest.fixture(scope="module")
def overlaps() -> pd.DataFrame:
    return make_overlaps()


def titles_of(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def look(row: pd.Series) -> Outlines:
    """A cell that the network finds too large; its mask is a probability."""
    true, found = (cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), r, 230, -1) for r in (9, 20))
    return Outlines(np.full((64, 64, 3), 200, np.uint8), cv2.inRange(true, 1, 255), found)


def test_boxes_stand_by_class_in_a_panel_for_each_direction(overlaps):
    shuffled = overlaps.iloc[::-1]
    figure = figures.overlap_boxes(shuffled, published={"monocyte": 0.81}, dataset="demo")
    check(figure, "IoU of the cell by class · demo", "printed in the paper", *VARIANTS[:2])
    assert titles_of(figure) == ["source", "to wright", "to giemsa"]
    assert rows_of(figure) == sorted(CLASSES)
    medians = [line.get_xdata()[0] for line in figure.axes[2].lines if len(line.get_xdata()) == 2]
    expected = overlaps[(overlaps["protocol"] == "domain") & (overlaps["fold"] == 0)]
    expected = expected.groupby(["label", "variant"])["iou_cell"].median()
    assert set(np.round(expected, 6)) <= set(np.round(medians, 6))


def test_a_printed_value_is_a_star_in_the_row_of_its_class(overlaps):
    figure = figures.overlap_boxes(overlaps, published={"monocyte": [0.81, "0.8150"], "none": 1})
    stars = [
        found.get_offsets() for found in figure.axes[0].collections if len(found.get_offsets())
    ]
    row = sorted(CLASSES).index("monocyte")
    assert np.concatenate(stars).tolist() == [[0.81, row], [0.815, row]]


def test_a_variant_keeps_its_place_and_colour_where_another_has_no_masks(overlaps):
    both = figures.overlap_boxes(overlaps, variants=VARIANTS)
    alone = overlaps.assign(iou_cell=overlaps["iou_cell"].where(overlaps["variant"] == VARIANTS[1]))
    one = figures.overlap_boxes(alone, variants=VARIANTS)
    assert not any(text == VARIANTS[0] for text in texts_of(one))
    colours = [{patch.get_facecolor() for patch in f.axes[0].patches} for f in (both, one)]
    assert len(colours[0]) == 2
    assert colours[1] < colours[0]


def test_degraded_images_are_not_drawn(overlaps):
    noisy = overlaps.assign(condition="noise-3", variant="noisy")
    table = pd.concat([overlaps, noisy])
    assert "noisy" not in texts_of(figures.overlap_boxes(table))
    assert "noisy" not in texts_of(figures.precision_recall(table, ["monocyte"]))


def test_curves_name_the_average_precision_and_the_share_of_the_class(overlaps):
    figure = figures.precision_recall(overlaps, ["monocyte", "basophil", "none"], dataset="demo")
    assert titles_of(figure)[:4] == [
        *("monocyte · source", "monocyte · to giemsa", "monocyte · to wright"),
        "basophil · source",
    ]
    run = overlaps[(overlaps["protocol"] == "source") & (overlaps["variant"] == VARIANTS[0])]
    areas = [
        average_precision_score(seed["label"] == "monocyte", seed["p_monocyte"])
        for _, seed in run.groupby("seed")
    ]
    check(figure, "· demo", "share of the class", f"{np.mean(areas):.3f}")
    guess, *curves = figure.axes[0].lines
    assert guess.get_ydata()[0] == pytest.approx((run["label"] == "monocyte").mean())
    assert len(curves) == 2


def test_the_area_under_a_curve_is_its_average_precision(overlaps):
    run = overlaps.query("protocol == 'source' and seed == 0 and variant == @VARIANTS[0]")
    curve = figures.precision_recall(run, ["monocyte"]).axes[0].lines[1].get_ydata()
    area = average_precision_score(run["label"] == "monocyte", run["p_monocyte"])
    assert curve.mean() == pytest.approx(area, abs=0.01)


def test_a_wrong_image_at_the_top_does_not_make_a_curve_begin_at_nothing():
    tests = make_overlaps(variants=VARIANTS[:1], seeds=(0,)).query("protocol == 'source'")
    tests.loc[tests["label"] != "monocyte", "p_monocyte"] = 1.0  # all others lie above
    curve = figures.precision_recall(tests, ["monocyte"]).axes[0].lines[1].get_ydata()
    assert 0 < curve.min() <= curve.max() <= (tests["label"] == "monocyte").mean()


def test_a_class_that_one_direction_does_not_test_has_no_curve_there(overlaps):
    absent = (overlaps["label"] == "monocyte") & (overlaps["protocol"] == "source")
    check(figures.precision_recall(overlaps[~absent], ["monocyte"]), "no test image")


def test_outlines_go_from_the_worst_to_the_best_cell_of_each_variant_and_direction(overlaps):
    looked = []

    def watch(row):
        looked.append(row)
        return look(row)

    figure = figures.overlay_sheet(overlaps, watch, dataset="demo", variants=VARIANTS)
    check(figure, "Outlines of the cell", "· demo", "annotated", "found", "worst", "best")
    assert len(rows_of(figure)) == 6
    assert rows_of(figure)[:3] == ["normal\nsource", "blend\nsource", "normal\nto giemsa"]
    first = overlaps.query("variant == 'normal' and protocol == 'source' and seed == 0")
    shown = [row["iou_cell"] for row in looked[:6]]
    assert shown == sorted(shown)
    assert shown[0] == first["iou_cell"].min()
    assert shown[-1] == first["iou_cell"].max()
    assert {row["seed"] for row in looked} == {0}
    page = figure.axes[0].images[0].get_array()
    for colour in (TRUE_COLOUR, FOUND_COLOUR):
        assert (page == rgb(colour)).all(axis=2).any()


def test_what_cannot_be_drawn_is_said(overlaps):
    without = overlaps.drop(columns=["iou_cell", "iou_nucleus"])
    for table in (without, overlaps.head(0), overlaps.assign(iou_nucleus=np.nan)):
        check(figures.overlap_boxes(table, region="nucleus"), "no predicted mask of the nucleus")
        check(figures.overlay_sheet(table, look, region="nucleus"), "no predicted mask")
    check(figures.precision_recall(overlaps.head(0), ["monocyte"]), "none of the classes")
    check(figures.precision_recall(overlaps, []), "none of the classes")


@pytest.mark.parametrize("variants", [1, 5])
def test_one_and_many_variants_are_drawn(variants):
    table = make_overlaps(variants=VARIANTS[:variants], seeds=(0,))
    check(figures.overlap_boxes(table), VARIANTS[variants - 1])
    check(figures.precision_recall(table, CLASSES[:1]), VARIANTS[variants - 1])
