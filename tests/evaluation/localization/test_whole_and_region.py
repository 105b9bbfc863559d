import pytest
from paper_tables import make_predictions

from wbc_pipeline.evaluation.localization.whole_and_region import compare_whole_with_region

PAIRS = {"small": ("small_whole", "small_roi"), "large": ("large_whole", "large_roi")}


@pytest.fixture(scope="module")
def predictions():
    names = {"normal": "small_whole", "blend": "small_roi", "soft_mask": "large_whole"}
    made = make_predictions(variants=list(names), views=2)
    return made.assign(variant=made["variant"].map(names))


@pytest.fixture(scope="module")
def compared(predictions):
    published = {"small_whole": {"accuracy": "0.800"}, "small_roi": {"accuracy": "0.880"}}
    return compare_whole_with_region(predictions, PAIRS, published, resamples=50)


def test_a_network_that_was_not_tested_on_both_is_left_out(compared):
    assert compared["network"].unique().tolist() == ["small"]
    assert compared["protocol"].tolist() == ["random", "source"]


def test_the_printed_numbers_keep_their_zeros(compared):
    assert compared["published_whole"].eq("0.800").all()
    assert compared["published_region"].eq("0.880").all()


def test_the_difference_is_that_of_the_two_accuracies(compared):
    assert (compared["region"] - compared["whole"]).tolist() == pytest.approx(
        compared["difference"].tolist()
    )
    assert (compared["difference_low"] <= compared["difference"]).all()
    assert (compared["difference"] <= compared["difference_high"]).all()


def test_without_a_pair_there_is_an_empty_table(predictions):
    alone = predictions[predictions["variant"] == "large_whole"]
    assert compare_whole_with_region(alone, PAIRS, {}).empty
