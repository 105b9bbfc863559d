import numpy as np
import pandas as pd
import pytest
from paper_tables import make_predictions

from wbc_pipeline.evaluation.scores.best_network import COLUMNS, ensembles_against_best
from wbc_pipeline.evaluation.scores.ensembles import combine_predictions

NETWORKS = ["normal", "blend", "learnable_canny"]
ENSEMBLES = {"all": (NETWORKS, "mean"), "two": (NETWORKS, "weighted", 2)}


@pytest.fixture(scope="module")
def combined() -> pd.DataFrame:
    table = make_predictions(sources=80, variants=NETWORKS, protocols=["source"], seeds=[0, 1])
    is_first = table["image_id"].isin(table["image_id"].unique()[:120])
    table["part"] = np.where(is_first, "validation", "test")
    return combine_predictions(table, ENSEMBLES)


@pytest.fixture(scope="module")
def pictures(combined) -> pd.DataFrame:
    return combined[["image_id"]].drop_duplicates().assign(domain="one")


def test_each_ensemble_stands_against_the_network_that_validation_puts_first(combined, pictures):
    table = ensembles_against_best(combined, pictures, ENSEMBLES, resamples=50)
    assert table.columns.tolist() == COLUMNS
    assert table["ensemble"].tolist() == ["all", "two"]
    assert table["best_macro_f1"].nunique() == 1
    np.testing.assert_allclose(
        table["gain"], table["ensemble_macro_f1"] - table["best_macro_f1"], atol=1e-9
    )
    assert ((table["gain_low"] < table["gain"]) & (table["gain"] < table["gain_high"])).all()
    assert (table["seeds"] == 2).all()


def test_the_best_on_the_test_part_is_not_taken_for_it(combined, pictures):
    """What is worst in validation stays out, however good it is on the test part."""
    other = combined[~combined["variant"].isin([*ENSEMBLES])].copy()
    right = (other["variant"] == "learnable_canny") & (other["part"] == "test")
    columns = [name for name in other.columns if name.startswith("p_")]
    truth = np.array([[name == f"p_{label}" for name in columns] for label in other["label"]])
    other.loc[right, columns] = truth[right.to_numpy()].astype(float)
    table = ensembles_against_best(
        combine_predictions(other, ENSEMBLES), pictures, ENSEMBLES, resamples=20
    )
    assert not table["best_networks"].str.contains("learnable_canny").any()
    assert (table["best_macro_f1"] < 1).all()


def test_without_an_ensemble_or_validation_there_is_nothing_to_compare(combined, pictures):
    assert ensembles_against_best(combined, pictures, {}).empty
    tested = combined[combined["part"] == "test"]
    assert ensembles_against_best(tested, pictures, ENSEMBLES).empty
