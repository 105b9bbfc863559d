import numpy as np
import pandas as pd

from wbc_pipeline.evaluation.localization.away import compare_home_with_away, worst_away

IMAGES = pd.DataFrame(
    {
        "image_id": ["a1", "a2", "b1", "b2"],
        "source_group": ["a1", "a2", "b1", "b2"],
        "dataset": ["a", "a", "b", "b"],
        "domain": ["red", "red", "blue", "violet"],
    }
)


def scored(*rows):
    columns = ["method", "protocol", "fold", "image_id", "found", "iou", "dice"]
    return pd.DataFrame(rows, columns=columns).assign(part="test", seed=0, shown="image")


def compare(table):
    return compare_home_with_away(table, IMAGES, resamples=50, level=0.95)


def test_a_set_that_was_left_out_stands_beside_itself_at_home():
    table = compare(
        scored(
            ["light", "source", 0, "a1", True, 0.9, np.nan],
            ["light", "source", 0, "b1", True, 0.8, np.nan],
            ["light", "dataset", 0, "a1", True, 0.6, np.nan],
            ["light", "dataset", 0, "a2", True, 0.4, np.nan],
            ["light", "dataset", 1, "b1", True, 0.05, np.nan],
            ["light", "dataset", 1, "b2", False, 0.3, np.nan],
        )
    ).set_index("set")
    assert table.loc["a", ["home_iou", "away_iou", "away_missed"]].tolist() == [0.9, 0.5, 0]
    assert table.loc["b", ["home_iou", "home_images", "away_missed"]].tolist() == [0.8, 1, 1]
    assert table.loc["a", "away_iou_low"] < 0.5 < table.loc["a", "away_iou_high"]
    assert "away_dice" not in table


def test_stains_are_left_out_under_their_own_protocol():
    table = compare(
        scored(
            ["stain_mask", "domain", 0, "b1", True, 0.9, 0.8],
            ["stain_mask", "domain", 2, "b2", True, 0.7, np.nan],
        )
    ).set_index("set")
    assert table["left_out"].unique().tolist() == ["domain"]
    assert table.loc["blue", "away_dice"] == 0.8
    assert table["home_images"].tolist() == [0, 0]


def test_without_a_set_left_out_there_is_nothing_to_compare():
    table = scored(["light", "source", 0, "a1", True, 0.9, np.nan])
    assert compare(table).empty
    assert worst_away(table).empty


def test_what_fails_away_is_of_one_protocol():
    table = scored(
        ["light", "domain", 0, "a1", True, 0.9, np.nan],
        ["light", "dataset", 0, "a1", True, 0.8, np.nan],
        ["light", "source", 0, "a1", True, 0.7, np.nan],
    )
    assert worst_away(table)["iou"].tolist() == [0.8]
