import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of, texts_of
from matplotlib.collections import PathCollection

from wbc_pipeline.evaluation.figures.headline import headline


@pytest.fixture
def rows():
    ours = {"reproduced": 0.98, "reproduced_low": 0.97, "reproduced_high": 0.99}
    ours |= {"leak_free": 0.81, "leak_free_low": 0.75, "leak_free_high": 0.86}
    ours |= {"reproduced_under": "random (LEAKS)", "leak_free_under": "source"}
    row = {"paper": "blend", "metric": "accuracy"} | ours
    return pd.DataFrame(
        [
            row | {"variant": "normal", "published": "0.9880"},
            row | {"variant": "blend", "published": "0.9907 / 0.9993"},
        ]
    )


def places_of(figure):
    return [
        float(x)
        for collection in figure.axes[0].collections
        if isinstance(collection, PathCollection)  # markers
        for x, _ in collection.get_offsets()
    ]


def test_printed_reproduced_and_leak_free_scores_stand_on_one_line(rows):
    figure = headline(rows, dataset="leukemia5")
    assert rows_of(figure) == ["normal", "blend"]
    assert sorted({*places_of(figure)}) == [0.81, 0.98, 0.988, 0.9907, 0.9993]
    check(figure, "Test accuracy", "leukemia5", "published", "leak-free")


def test_the_cells_behind_each_are_counted_by_protocol(rows):
    cells = {("blend", "normal", "random"): 1243, ("blend", "normal", "source"): 1}
    figure = headline(rows, cells)
    check(figure, "random: 1,243 cells", "source: 1 cell")
    assert "random" in texts_of(figure)  # of blend nobody knows


def test_a_paper_whose_own_protocol_is_leak_free_has_one_point(rows):
    own = rows.head(1).assign(reproduced=0.81, reproduced_under="source")
    assert sorted(places_of(headline(own))) == [0.81, 0.988]


def test_what_was_not_run_is_left_out(rows):
    lacking = rows.head(1).assign(reproduced=np.nan, reproduced_under="")
    assert sorted(places_of(headline(lacking))) == [0.81, 0.988]


def test_several_papers_and_metrics_are_named(rows):
    both = pd.concat([rows.head(1), rows.tail(1).assign(paper="saliency", metric="iou_cell")])
    assert rows_of(headline(both)) == [
        "blend · normal · accuracy",
        "saliency · blend · IoU of the cell",
    ]


def test_without_a_number_the_picture_says_so(rows):
    check(headline(rows.head(0), dataset="lisc"), "no printed number")
