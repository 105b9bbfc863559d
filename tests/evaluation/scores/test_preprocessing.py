import numpy as np
import pandas as pd
import pytest
from paper_tables import make_predictions
from sklearn.metrics import f1_score

from wbc_pipeline.evaluation.scores.preprocessing import (
    COLUMNS,
    preprocessing_study,
    similarity,
)

METHODS = {"none": "normal", "median": "blend"}


@pytest.fixture
def predictions():
    return make_predictions(variants=["normal", "blend"], protocols=["random", "source"])


@pytest.fixture
def manifest(predictions):
    return predictions[["image_id"]].drop_duplicates().assign(domain="one")


def measured(**values):
    rows = [
        {"method": method, "protocol": protocol, "seed": seed, "fold": 0, "psnr": psnr, "ssim": 0.9}
        for method, psnr in values.items()
        for protocol in ("random", "source")
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


def test_equal_images_are_as_near_as_can_be_and_noise_is_further():
    clean = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    other = clean.copy()
    other[1] = np.clip(other[1].astype(int) + 10, 0, 255)
    found = similarity(clean, other, title="")
    assert found["psnr"].tolist()[0] == found["psnr"].tolist()[2] == 60
    assert 28 < found["psnr"][1] < 30  # 20 log10(255 / 10), a little more where 255 cuts off
    assert found["ssim"][1] < found["ssim"][0] == 1


def test_each_method_stands_beside_the_macro_f1_of_its_variant(predictions, manifest):
    table = preprocessing_study(
        measured(none=20, median=22), predictions, manifest, METHODS, resamples=100
    )
    assert list(table) == COLUMNS
    assert len(table) == 4
    assert table.groupby("method")["psnr"].first().to_dict() == {"none": 20, "median": 22}
    probabilities = predictions.filter(like="p_")
    answers = probabilities.idxmax(axis=1).str.removeprefix("p_")
    for row in table.itertuples():
        of_variant = (predictions["variant"] == row.variant) & (
            predictions["protocol"] == row.protocol
        )
        scores = [
            f1_score(run["label"], answers[run.index], average="macro")
            for _, run in predictions[of_variant].groupby("seed")
        ]
        assert row.macro_f1 == pytest.approx(np.mean(scores))
    by_method = table[table["protocol"] == "source"].set_index("method")
    median, none = by_method.loc["median"], by_method.loc["none"]
    assert median["difference"] == pytest.approx(median["macro_f1"] - none["macro_f1"])
    assert median["difference_low"] <= median["difference"] <= median["difference_high"]
    assert pd.isna(none["difference"])


def test_where_clean_images_are_not_known_macro_f1_stands_alone(predictions, manifest):
    table = preprocessing_study(pd.DataFrame(), predictions, manifest, METHODS, resamples=50)
    assert table["psnr"].isna().all() and table["macro_f1"].notna().all()


def test_without_another_method_there_is_nothing_to_compare(predictions, manifest):
    alone = predictions[predictions["variant"] == "normal"]
    table = preprocessing_study(measured(none=20), alone, manifest, METHODS, resamples=50)
    assert table.empty and list(table) == COLUMNS
