"""Cells counted by class."""

import pandas as pd
import pytest

from wbc_pipeline.evaluation.scores.differential import count_cells, count_flags

FLAGS = {"no_cell_found": "no cell found", "unlike": "unlike the training data"}


@pytest.fixture
def cells():
    return pd.DataFrame(
        {
            "image_id": ["a", "a", "b", "c"],
            "class": ["mono", "neut", "neut", "neut"],
            "confidence": [0.9, 0.8, 0.6, 0.5],
            "flags": [
                "",
                "unlike the training data",
                "",
                "no cell found; unlike the training data",
            ],
        }
    )


def test_files_without_a_cell_are_counted_under_no_class(cells):
    counted = count_cells(cells, ["baso", "mono", "neut"], FLAGS).set_index("class")
    assert counted["cells"].tolist() == [0, 1, 2]
    assert counted["share"].sum() == pytest.approx(1)
    assert counted.loc["neut", "confidence"] == pytest.approx(0.7)
    assert counted.loc["neut", "unlike"] == 1
    assert (counted["share_low"] <= counted["share"]).all()
    assert (counted["share"] <= counted["share_high"]).all()


def test_each_flag_is_counted_with_a_file(cells):
    counted = count_flags(cells, FLAGS).set_index("flag")
    assert counted["rows"].tolist() == [1, 2]
    assert counted["such_as"].tolist() == ["c", "a"]


def test_nothing_found_is_no_error(cells):
    counted = count_cells(cells.head(0), ["baso"], FLAGS)
    assert counted["cells"].tolist() == [0] and counted["share"].tolist() == [0]
