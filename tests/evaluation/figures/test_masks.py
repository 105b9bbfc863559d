import cv2
import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of

from wbc_pipeline.evaluation.figures.masks import mask_overlays, mask_scores
from wbc_pipeline.evaluation.figures.sheets import FOUND_COLOUR, TRUE_COLOUR, Outlines, rgb
from wbc_pipeline.evaluation.localization.mask_quality import compare_tuning
from wbc_pipeline.evaluation.localization.tuning import UNTUNED


@pytest.fixture
def tests() -> pd.DataFrame:
    """Two methods on three images of each of four stains, tuned on each and not at all."""
    stains = ["a", "b", "c", "d"]
    rows = [
        {"target": "nucleus", "method": method, "tuned_on": tuned_on, "tested_on": stain}
        | {"image_id": f"{stain}{number}.png", "dice": 0.2 + 0.3 * number}
        for method in ("otsu_mask", "two_level")
        for stain in stains
        for tuned_on in (UNTUNED, *stains)
        for number in range(3 if stain != "d" else 2)
    ]
    return pd.DataFrame(rows)


def test_scores_are_drawn_by_method_on_the_largest_stains(tests):
    compared = compare_tuning(tests)
    figure = mask_scores(compared, dataset="demo")
    check(figure, "· demo", "nucleus · a", "mean Dice", "cross stain")
    assert len(figure.axes) == 3
    assert sorted(rows_of(figure)) == ["otsu_mask", "two_level"]
    check(mask_scores(compared.head(0)), "no masks in this data set")


def test_outlines_go_from_the_best_to_the_worst_image_of_each_stain(tests):
    looked = []

    def look(row: pd.Series) -> Outlines:
        looked.append((row["method"], row["image_id"]))
        true, found = (
            cv2.circle(np.zeros((64, 64), np.uint8), (32, 32), r, 255, -1) for r in (9, 20)
        )
        return Outlines(np.full((64, 64, 3), 200, np.uint8), true, found)

    figure = mask_overlays(tests, look, target="nucleus", dataset="demo")
    check(figure, "Outlines of the nucleus · demo", "expert", "found", "0.80")
    shown = [image for method, image in looked if method == "otsu_mask"]
    assert shown[:3] == ["a2.png", "a1.png", "a0.png"]
    page = figure.axes[0].images[0].get_array()
    for colour in (TRUE_COLOUR, FOUND_COLOUR):
        assert (page == rgb(colour)).all(axis=2).any()
    check(mask_overlays(tests, look, target="cell"), "no masks of the cell")
