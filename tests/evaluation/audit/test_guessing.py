import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from wbc_pipeline.evaluation.audit.guessing import chance_test, guess_from_features


def table(sources=20, copies=5, classes="ab", signal=0.0, seed=0):
    """Copies that share their features; those tell the class as far as ``signal``."""
    rng = np.random.default_rng(seed)
    label = np.array(list(classes))[np.arange(sources) % len(classes)].repeat(copies)
    values = rng.normal(size=(sources, 3)).repeat(copies, axis=0)
    values += signal * (np.char.array(label) == "a")[:, None]
    source = pd.Series([f"cell {i}" for i in range(sources)]).repeat(copies).reset_index(drop=True)
    return pd.DataFrame(values, columns=list("xyz")), pd.Series(label), source


def predictions_of(labels, guesses):
    guessed = pd.get_dummies(pd.Series(guesses), dtype=float).add_prefix("p_")
    return guessed.assign(label=labels)


def test_copies_are_known_again_only_where_their_source_is_not_given():
    features, labels, source = table(sources=40)
    by_image = chance_test(guess_from_features(features, labels, None), None)
    by_source = chance_test(guess_from_features(features, labels, source), source)
    assert by_image["balanced_accuracy"] > 0.95
    assert by_image["p_permutation"] < 0.01
    assert by_source["balanced_accuracy_low"] < 0.5
    assert by_source["p_permutation"] > 0.05


def test_what_features_tell_is_guessed():
    features, labels, source = table(sources=60, copies=2, classes="abb", signal=2)
    result = chance_test(guess_from_features(features, labels, source), source)
    assert result["balanced_accuracy_low"] > 0.7
    assert result["p_permutation"] < 0.01
    assert result["chance"] == 0.5
    assert (result["images"], result["sources"]) == (120, 60)
    assert result["interval_unit"] == "source"


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from("uvwxyz")),
        min_size=1,
        max_size=25,
    )
)
def test_any_table_is_guessed_with_probabilities_that_sum_to_one_or_refused(rows):
    labels, source = (pd.Series(column, dtype="str") for column in zip(*rows, strict=True))
    features = pd.DataFrame({"x": np.arange(len(rows)) % 3.0})
    enough = source.groupby(labels).nunique() > 1
    if enough.sum() < 2:
        with pytest.raises(ValueError, match="needs two classes"):
            guess_from_features(features, labels, source)
        return
    guesses = guess_from_features(features, labels, source)
    kept = labels.index[labels.isin(enough.index[enough])]
    assert guesses.index.equals(kept)
    assert guesses["label"].equals(labels[kept])
    assert list(guesses) == ["label", *(f"p_{name}" for name in enough.index[enough])]
    np.testing.assert_allclose(guesses.drop(columns="label").sum(axis=1), 1)


def test_rows_without_label_or_features_are_left_out_and_the_others_keep_their_index():
    features, labels, source = table()
    features.index = labels.index = source.index = [f"image {i}" for i in range(100)]
    labels.iloc[3], features.iloc[7, 1] = None, np.nan
    kept = features.index.delete([3, 7])
    assert guess_from_features(features, labels, source).index.equals(kept)


def test_a_class_with_a_single_source_is_left_out_with_a_warning(caplog):
    features, labels, source = table()
    labels[source == "cell 0"] = "rare"
    guesses = guess_from_features(features, labels, source)
    assert set(guesses["label"]) == {"a", "b"}
    assert "single source: rare" in caplog.text


def test_a_class_with_two_sources_is_still_guessed():
    features, labels, source = table(signal=4)
    labels[source.isin(["cell 0", "cell 2"])] = "rare"
    features[labels == "rare"] = 50.0
    guesses = guess_from_features(features, labels, source)
    assert (guesses.loc[labels == "rare", "p_rare"] > 0.5).all()


def test_the_same_seed_gives_the_same_guesses():
    first, second, third = (guess_from_features(*table(), seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first, second)
    assert not first.equals(third)


def test_codes_of_classes_are_guessed_like_names():
    features, labels, source = table(sources=12, copies=2, classes="abc")
    labels = labels.map({"a": "0", "b": "1", "c": "NA"})
    guesses = guess_from_features(features, labels, source)
    assert list(guesses) == ["label", "p_0", "p_1", "p_NA"]
    result = chance_test(guesses, source, permutations=10)
    assert (result["images"], result["chance"]) == (24, pytest.approx(1 / 3))


def test_a_class_called_na_is_left_out_by_its_name(caplog):
    features, labels, source = table(sources=12, copies=2)
    labels[source == "cell 0"] = "NA"
    assert set(guess_from_features(features, labels, source)["label"]) == {"a", "b"}
    assert "single source: NA" in caplog.text


def test_other_indexes_are_refused():
    features, labels, source = table()
    with pytest.raises(ValueError, match="labels and features"):
        guess_from_features(features, labels[::-1], source)
    with pytest.raises(ValueError, match="groups and features"):
        guess_from_features(features, labels, source[1:])


def test_balanced_accuracy_is_that_of_scikit_learn_and_lies_in_its_interval():
    rng = np.random.default_rng(1)
    labels, guesses = rng.choice(list("aabc"), 200), rng.choice(list("abbc"), 200)
    result = chance_test(predictions_of(labels, guesses), None)
    assert result["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, guesses))
    assert result["balanced_accuracy_low"] < 1 / 3 < result["balanced_accuracy_high"]
    assert result["chance"] == pytest.approx(1 / 3)
    assert result["p_permutation"] > 0.05
    assert result["interval_unit"] == "image"


def test_hundred_copies_of_four_cells_prove_no_more_than_four_cells():
    labels = list("aabb") * 100
    source = pd.Series(list("wxyz") * 100)
    right = predictions_of(labels, labels)
    by_source, by_image = chance_test(right, source), chance_test(right, None)
    assert by_source["p_permutation"] == pytest.approx(1 / 6, abs=0.04)  # 6 ways to deal 2 of 4
    assert by_image["p_permutation"] == pytest.approx(1 / 1001)


def test_a_source_of_two_classes_can_be_tested():
    labels = list("ab") * 30
    patient = pd.Series(np.repeat(["p", "q", "r"], 20))
    result = chance_test(predictions_of(labels, labels), patient)
    assert result["sources"] == 3
    assert result["p_permutation"] == pytest.approx(1 / 20, abs=0.03)  # 20 ways to deal 3 of 6


def test_labels_and_probabilities_of_other_classes_are_refused():
    predictions = predictions_of(list("aabb"), list("aabb"))
    with pytest.raises(ValueError, match=r"labels are a, b.*probabilities are of a, c"):
        chance_test(predictions.rename(columns={"p_b": "p_c"}), None)
