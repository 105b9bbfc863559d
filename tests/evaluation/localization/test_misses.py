import pandas as pd

from wbc_pipeline.evaluation.localization.misses import ALL, count_misses


def test_misses_are_counted_by_view_and_class():
    images = pd.DataFrame(
        {
            "dataset": "made",
            "image_id": [*"abcd"],
            "label": ["LY", "LY", "SNE", None],
            "source_group": ["one", "one", "two", None],
        }
    )
    regions = {"crop": pd.DataFrame({"image_id": [*"abcd"], "found": [True, False, True, False]})}
    table = count_misses(regions, images).set_index("label")
    assert table.loc[ALL, ["view", "images", "missed", "share"]].tolist() == ["crop", 4, 2, 0.5]
    assert table.loc["SNE", "missed"] == 0 and table.loc["LY", "share"] == 0.5
    assert (table["share_low"] <= table["share"]).all()
