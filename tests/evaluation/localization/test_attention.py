import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.evaluation.localization.attention import summarise_attention


def test_right_and_wrong_answers_are_averaged_apart_over_images_whose_share_is_known():
    images = pd.DataFrame(
        {
            "variant": "full",
            "protocol": "source",
            "fold": 0,
            "image_id": list("abcde"),
            "source_id": list("vwxyz"),
            "right": [True, True, True, False, False],
            "grad_cam_inside": [0.8, 0.6, np.nan, 0.1, 0.3],
        }
    )
    table = summarise_attention(images, resamples=50).set_index("answers")
    assert table.loc["right", "grad_cam_inside"] == pytest.approx(0.7)
    assert table.loc["wrong", "grad_cam_inside"] == pytest.approx(0.2)
    assert table["images"].to_dict() == {"right": 3, "wrong": 2}
    assert table["explained"].to_dict() == {"right": 2, "wrong": 2}
    ends = table[["grad_cam_inside_low", "grad_cam_inside_high"]]
    assert ((ends >= 0) & (ends <= 1)).all(axis=None)
    assert "saliency_inside" not in table
