import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of

from wbc_pipeline.evaluation.figures.restoration import nucleus_dice, psnr_gain, restoration_sheet
from wbc_pipeline.evaluation.scores.restoration import CLEAN, NONE


@pytest.fixture
def summary() -> pd.DataFrame:
    """Two methods and doing nothing, on two degradations of two severities and clean images."""
    kinds = [(CLEAN, 0), ("noise", 1), ("noise", 2), ("gaussian_blur", 1), ("gaussian_blur", 2)]
    rows = [
        {"method": method, "kind": kind, "severity": severity, "dice": 0.9 - 0.1 * severity}
        | {"psnr_difference": gain}
        for method, gain in ((NONE, 0.0), ("median_filter", 2.5), ("wiener", -1.0))
        for kind, severity in kinds
    ]
    return pd.DataFrame(rows)


def test_gains_and_losses_are_written_with_their_sign(summary):
    figure = psnr_gain(summary, dataset="demo")
    check(figure, "· demo", "+2.5", "−1.0", "gaussian\nblur")
    assert rows_of(figure) == ["median filter", "wiener"]
    check(psnr_gain(summary[summary["method"] == NONE]), "no method to compare")


def test_curves_begin_with_the_clean_image(summary):
    figure = nucleus_dice(summary, dataset="demo")
    check(figure, "· demo", "noise", "gaussian blur", "mean Dice", "severity")
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines] == [[0, 1, 2]] * 3
    check(nucleus_dice(summary[summary["kind"] == CLEAN]), "no image was restored")


def test_a_sheet_shows_what_each_method_makes_of_each_degradation():
    image = np.full((32, 24, 3), 99, np.uint8)
    restored = {"median_filter": image, "wiener": image}
    figure = restoration_sheet(image, {"noise": image}, {"noise": restored}, dataset="demo")
    check(figure, "· demo", "clean", "degraded", "median\nfilter")
    assert rows_of(figure) == ["noise"]
