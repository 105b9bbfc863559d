import numpy as np
import pandas as pd
import pytest
from paper_tables import CLASSES, make_predictions

from wbc_pipeline.evaluation.scores import ensembles, metrics
from wbc_pipeline.evaluation.scores.ensembles import (
    combine_predictions,
    ensemble_weights,
    rank_networks,
)
from wbc_pipeline.evaluation.scores.metrics import read_outcomes, score_predictions

COLUMNS = [f"p_{name}" for name in CLASSES]
MEMBERS = ["normal", "blend", "soft_mask"]


@pytest.fixture(scope="module")
def members() -> pd.DataFrame:
    """Three variants, whose first 60 images are the validation part, and the test part degraded."""
    clean = make_predictions(sources=50, variants=MEMBERS, protocols=["source"], seeds=[0, 1])
    is_first = clean["image_id"].isin(clean["image_id"].unique()[:60])
    clean["part"] = np.where(is_first, "validation", "test")
    return pd.concat([clean, clean[~is_first].assign(condition="noise 3")], ignore_index=True)


def probabilities(predictions: pd.DataFrame, variant: str) -> np.ndarray:
    return predictions.loc[predictions["variant"] == variant, COLUMNS].to_numpy()


def combine(predictions: pd.DataFrame, how: str, members=MEMBERS) -> pd.DataFrame:
    """Rows of the ensemble alone."""
    table = combine_predictions(predictions, {"together": (members, how)})
    pd.testing.assert_frame_equal(table.iloc[: len(predictions)], predictions)
    return table.iloc[len(predictions) :]


def log_loss(predictions: pd.DataFrame, part: str) -> pd.Series:
    """Mean clean log loss of each seed."""
    rows = predictions[(predictions["part"] == part) & (predictions["condition"] == "clean")]
    losses = {
        seed: read_outcomes(run.assign(part="test")).loss.mean()
        for seed, run in rows.groupby("seed")
    }
    return pd.Series(losses)


@pytest.mark.parametrize("how", ["mean", "weighted", "vote", "calibrated", "by_class"])
def test_an_ensemble_is_one_more_variant_that_any_score_takes(members, how):
    rows = combine(members, how)
    first = members[members["variant"] == "normal"]
    shared = ["dataset", "image_id", "source_id", "part", "seed", "fold", "condition", "label"]
    pd.testing.assert_frame_equal(
        rows[shared].reset_index(drop=True), first[shared].reset_index(drop=True)
    )
    assert (rows["variant"] == "together").all()
    np.testing.assert_allclose(rows[COLUMNS].sum(axis=1), 1)
    scores = score_predictions(metrics.tested(rows), resamples=2)
    assert np.isfinite(scores["log_loss"]).all()
    assert scores["condition"].unique().tolist() == ["clean", "noise 3"]
    inference = sum(
        members.loc[members["variant"] == name, "inference_ms"].to_numpy() for name in MEMBERS
    )
    np.testing.assert_allclose(rows["inference_ms"], inference)


def test_the_mean_averages_probabilities_whatever_the_order_of_rows(members):
    expected = np.mean([probabilities(members, name) for name in MEMBERS], axis=0)
    np.testing.assert_allclose(combine(members, "mean")[COLUMNS], expected)
    shuffled = members[members["variant"] != "normal"].sample(frac=1, random_state=0)
    mixed = pd.concat([members[members["variant"] == "normal"], shuffled], ignore_index=True)
    np.testing.assert_allclose(combine(mixed, "mean")[COLUMNS], expected)


def test_votes_decide_and_the_mean_breaks_ties(members):
    one = members[(members["seed"] == 0) & (members["condition"] == "clean")]
    one = one.reset_index(drop=True)
    answers = {
        "normal": [0.98, 0.01, 0.01, 0.0, 0.0],
        "blend": [0.4, 0.6, 0.0, 0.0, 0.0],
        "soft_mask": [0.45, 0.55, 0.0, 0.0, 0.0],
    }
    votes = one.copy()
    votes[COLUMNS] = [answers[name] for name in votes["variant"]]
    three = read_outcomes(metrics.tested(combine(votes, "vote")))
    assert (three.predicted == 1).all()  # two votes, though the mean is higher for the other
    assert three.confidence == pytest.approx(2 / 3, abs=1e-3)
    two = read_outcomes(metrics.tested(combine(votes, "vote", ["normal", "blend"])))
    assert (two.predicted == 0).all()
    assert (two.probability > 0).all()


def test_weights_prefer_the_better_member(members):
    guesses = members["variant"] == "blend"
    rng = np.random.default_rng(0)
    guessing = members.copy()
    guessing.loc[guesses, COLUMNS] = rng.dirichlet(np.ones(5), size=guesses.sum())
    table = ensemble_weights(guessing, {"together": (["normal", "blend"], "weighted")})
    assert table["member"].tolist() == ["normal", "blend"] * 2
    weights = table.set_index(["seed", "member"])["weight"].unstack()
    assert (weights["normal"] > 0.85).all()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert (table["weight"] >= 0).all()


def test_the_temperature_undoes_what_makes_a_network_too_sure():
    run = make_predictions(variants=["learnable_canny"], protocols=["source"], seeds=[0])
    run = run.assign(part="validation")
    sure = run.copy()
    sure[COLUMNS] = run[COLUMNS] ** 2
    sure[COLUMNS] = sure[COLUMNS].div(sure[COLUMNS].sum(axis=1), axis=0)
    alone = {"alone": (["learnable_canny"], "weighted")}
    before, after = (ensemble_weights(table, alone)["temperature"].item() for table in (run, sure))
    assert after == pytest.approx(2 * before, rel=0.01)


def test_weights_lower_the_validation_loss_below_that_of_mean_and_members(members):
    fitted = log_loss(combine(members, "weighted"), "validation")
    assert (fitted < log_loss(combine(members, "mean"), "validation")).all()
    for name in MEMBERS:
        assert (fitted < log_loss(members[members["variant"] == name], "validation")).all()


def test_weights_never_look_at_the_test_part_or_at_degraded_images(members):
    other = members.copy()
    is_fitted_on = (other["part"] == "validation") & (other["condition"] == "clean")
    other.loc[~is_fitted_on, "label"] = CLASSES[0]
    of_degraded = members[members["part"] == "validation"].assign(
        condition="noise 3", label=CLASSES[0]
    )
    ensembles = {"together": (MEMBERS, "weighted")}
    pd.testing.assert_frame_equal(
        ensemble_weights(pd.concat([other, of_degraded]), ensembles),
        ensemble_weights(members, ensembles),
    )


def test_only_weighted_ensembles_have_weights(members):
    ensembles = {"together": (MEMBERS, "weighted"), "averaged": (MEMBERS[:2], "mean")}
    assert ensemble_weights(members, ensembles)["variant"].unique().tolist() == ["together"]
    none = ensemble_weights(members, {"averaged": (MEMBERS[:2], "mean")})
    assert none.empty
    assert {"variant", "member", "weight", "temperature"} < {*none.columns}


def test_members_of_other_images_are_named(members):
    lacking = members.drop(members.index[members["variant"] == "soft_mask"][7])
    with pytest.raises(
        ValueError,
        match=r"'normal' and 'soft_mask' of ensemble 'together' .* images: 1 .*=cells/7.png",
    ):
        combine(lacking, "mean")


def test_an_image_that_a_member_predicted_twice_is_refused(members):
    own = members.index[members["variant"] == "soft_mask"]
    doubled = members.drop(own[8])
    doubled = pd.concat([doubled, members.loc[own[[7, 8, 8]]].iloc[1:]])
    with pytest.raises(ValueError, match="'together' predicted an image a different number"):
        combine(doubled, "mean")


def test_weights_without_validation_rows_are_refused(members):
    lacking = members[~((members["part"] == "validation") & (members["seed"] == 1))]
    with pytest.raises(ValueError, match=r"'validation' for protocol=source, seed=1, fold=0"):
        combine_predictions(lacking, {"together": (MEMBERS, "weighted")})


def test_an_unknown_member_or_way_is_named(members):
    with pytest.raises(ValueError, match=r"member 'other' of ensemble 'together'.*normal, blend"):
        combine_predictions(members, {"together": (["normal", "other"], "mean")})
    with pytest.raises(ValueError, match=r"'together' combines its members by 'median'"):
        combine_predictions(members, {"together": (MEMBERS, "median")})


def test_the_best_are_chosen_on_the_validation_part_of_each_seed(members):
    """A network that only guesses under one seed is left out there alone."""
    spoiled = members.copy()
    guesses = (spoiled["variant"] == "blend") & (spoiled["seed"] == 1)
    spoiled.loc[guesses, COLUMNS] = np.random.default_rng(0).dirichlet(np.ones(5), guesses.sum())
    best = {"best": (MEMBERS, "mean", 2)}
    table = ensemble_weights(spoiled, best)
    chosen = table.groupby("seed")["member"].agg(set)
    assert "blend" not in chosen[1]
    assert len(chosen[1]) == 2
    assert (table["weight"] == 0.5).all()
    for _, rows in table.groupby("seed"):
        assert rows["validation_macro_f1"].is_monotonic_decreasing
    rows = combine_predictions(spoiled, best).iloc[len(spoiled) :]
    of_seed = rows[rows["seed"] == 1]
    named = combine_predictions(spoiled, {"named": (sorted(chosen[1]), "mean")})
    expected = named[(named["variant"] == "named") & (named["seed"] == 1)]
    np.testing.assert_allclose(of_seed[COLUMNS], expected[COLUMNS])
    np.testing.assert_allclose(of_seed["inference_ms"], expected["inference_ms"])


def test_the_choice_never_looks_at_the_test_part(members):
    other = members.copy()
    tested = other["part"] == "test"
    other.loc[tested, "label"] = CLASSES[0]
    for how in ((MEMBERS, "mean", 2), (MEMBERS, "calibrated"), (MEMBERS, "by_class")):
        pd.testing.assert_frame_equal(
            ensemble_weights(other, {"it": how}), ensemble_weights(members, {"it": how})
        )


def test_calibration_undoes_that_a_member_is_too_sure(members):
    pair = ["normal", "blend"]
    sure = members.copy()
    loud = sure["variant"] == "blend"
    sure.loc[loud, COLUMNS] = sure.loc[loud, COLUMNS] ** 2
    sure.loc[loud, COLUMNS] = sure.loc[loud, COLUMNS].div(
        sure.loc[loud, COLUMNS].sum(axis=1), axis=0
    )
    before, after = (
        ensemble_weights(table, {"it": (pair, "calibrated")})
        .set_index(["member", "seed"])["temperature"]
        .sort_index()
        for table in (members, sure)
    )
    np.testing.assert_allclose(after["blend"], 2 * before["blend"], rtol=0.01)
    np.testing.assert_allclose(after["normal"], before["normal"])
    np.testing.assert_allclose(
        combine(sure, "calibrated", pair)[COLUMNS],
        combine(members, "calibrated", pair)[COLUMNS],
        atol=2e-3,
    )
    difference = combine(sure, "mean", pair)[COLUMNS] - combine(members, "mean", pair)[COLUMNS]
    assert np.abs(difference).max().max() > 0.05


@pytest.fixture(scope="module")
def experts() -> pd.DataFrame:
    """Two members of which each confuses two classes, and is as sure there as elsewhere."""
    rng = np.random.default_rng(0)
    tables = []
    clean = make_predictions(
        sources=400, views=1, variants=["normal", "blend"], protocols=["source"]
    )
    for name, confused in (("normal", (0, 1)), ("blend", (2, 3))):
        table = clean[clean["variant"] == name].reset_index(drop=True)
        truth = pd.Index(CLASSES).get_indexer(table["label"])
        answers = np.where(np.isin(truth, confused), rng.choice(confused, len(truth)), truth)
        table[COLUMNS] = 0.05 + 0.75 * np.eye(5)[answers]
        table["part"] = np.where(np.arange(len(table)) % 2, "test", "validation")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def test_a_member_is_trusted_for_the_classes_that_it_tells_apart(experts):
    how = {"it": (["normal", "blend"], "by_class")}
    weights = ensemble_weights(experts, how)
    trust = weights[weights["member"] == "normal"].groupby("answer")["weight"].mean()
    assert (trust[CLASSES[:2]] < 0.3).all()
    assert (trust[CLASSES[2:4]] > 0.7).all()
    np.testing.assert_allclose(weights.groupby(["seed", "answer"])["weight"].sum(), 1)
    right = {
        how: read_outcomes(
            metrics.tested(combine(experts, how, ["normal", "blend"]))
        ).correct.mean()
        for how in ("mean", "by_class")
    }
    assert right["by_class"] > 0.98 > right["mean"]


def test_members_that_answer_different_classes_are_weighted_as_fitted(experts, monkeypatch):
    lazy = experts.copy()  # blend answers one class, whatever it sees
    blend, rest = lazy["variant"] == "blend", [0.3, 0.05, 0.05, 0.2, 0.4]
    lazy.loc[blend, COLUMNS] = rest
    found = []

    def minimize(loss, *arguments, **options):
        found.append(fit(loss, *arguments, **options))
        return found[-1]

    fit = ensembles.minimize
    monkeypatch.setattr(ensembles, "minimize", minimize)
    rows = combine(lazy, "by_class", ["normal", "blend"])
    fitted = [each.fun - (each.x**2).sum() / 2 for each in found]  # less the prior
    images = (rows["part"] == "validation").groupby(rows["seed"]).sum()
    np.testing.assert_allclose(log_loss(rows, "validation") * images, fitted, rtol=1e-9)


def test_a_class_that_nobody_answered_in_validation_trusts_all_alike(experts):
    validation = experts["part"] == "validation"
    lacking = experts[~(validation & (experts["label"] == CLASSES[4]))]
    weights = ensemble_weights(lacking, {"it": (["normal", "blend"], "by_class")})
    np.testing.assert_allclose(weights.loc[weights["answer"] == CLASSES[4], "weight"], 0.5)


def test_a_choice_without_validation_rows_is_refused(members):
    with pytest.raises(ValueError, match=r"'together' is chosen, but .* combine named members"):
        combine_predictions(metrics.tested(members), {"together": (MEMBERS, "mean", 2)})


def test_equally_good_networks_stay_in_their_order():
    same = np.repeat([np.eye(3)], 3, axis=0)
    order, scores = rank_networks(same, np.arange(3), 3)
    assert order.tolist() == [0, 1, 2]
    assert scores.tolist() == [1, 1, 1]
