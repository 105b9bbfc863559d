import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paper_tables import VARIANTS, make_predictions

from wbc_pipeline.evaluation.scores.comparison import summarise_seeds
from wbc_pipeline.evaluation.scores.robustness import (
    robustness_areas,
    robustness_scores,
    widen_scores,
)

NOISE = {"noise 0.05": 0.1, "noise 0.15": 0.4, "noise 0.35": 0.9}
FEW = {"resamples": 40}
CURVE = ["variant", "protocol", "curve"]


def degrade(clean: pd.DataFrame, harms: dict[str, float], *, seed: int = 0) -> pd.DataFrame:
    """Predictions under each condition, a share of which say nothing but the first class."""
    rng, tables = np.random.default_rng(seed), [clean]
    columns = [name for name in clean if name.startswith("p_")]
    for condition, harm in harms.items():
        table = clean.assign(condition=condition)
        lost = rng.random(len(table)) < harm
        table.loc[lost, columns] = np.eye(len(columns))[0]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


@pytest.fixture(scope="module")
def degraded() -> pd.DataFrame:
    clean = make_predictions(sources=40, views=2, variants=VARIANTS[:3])
    return degrade(clean, {**NOISE, "blur 2": 0.2, "blur 5": 0.6})


def answer(*curves: tuple[str, str], source: str | None = None, **run: object) -> pd.DataFrame:
    """Predictions of images whose answers are written as ``10``: right when clean, then wrong."""
    keys = {"variant": "cnn", "protocol": "source", "seed": 0, "label": "a"} | run
    keys |= {"part": "test"}
    rows = [
        {"image_id": image, "source_id": source or image, "condition": condition}
        | {"p_a": float(right), "p_b": 1 - float(right)}
        for image, answers in curves
        for condition, right in zip(("clean", "noise 1", "noise 4"), answers, strict=False)
    ]
    return pd.DataFrame(rows).assign(**keys)


def test_every_curve_begins_with_the_same_clean_images(degraded):
    scores = robustness_scores(degraded, **FEW)
    assert scores["curve"].unique().tolist() == ["noise", "blur"]
    begins = scores[scores["amount"] == 0].set_index(CURVE)
    assert len(begins) == 3 * 2 * 2
    blur, noise = (begins.xs(name, level="curve") for name in ("blur", "noise"))
    pd.testing.assert_frame_equal(blur, noise)


def test_points_of_a_curve_stand_in_the_order_of_their_amounts(degraded):
    shuffled = degraded.sample(frac=1, random_state=0)
    for _, points in robustness_scores(shuffled, **FEW).groupby(CURVE):
        assert points["amount"].is_monotonic_increasing
    noise = robustness_scores(degraded, **FEW).query("curve == 'noise'")
    assert noise["amount"].unique().tolist() == [0, 0.05, 0.15, 0.35]


def test_a_point_is_the_mean_over_seeds_of_its_condition(degraded):
    scores = robustness_scores(degraded, **FEW).set_index([*CURVE, "amount"])
    summary = summarise_seeds(degraded, **FEW).set_index(
        ["variant", "protocol", "condition", "metric"]
    )
    point = scores.loc["blend", "source", "noise", 0.15]
    for name in ("accuracy", "macro_f1"):
        assert point[name] == summary.loc[("blend", "source", "noise 0.15", name), "mean"]
    assert point["accuracy_low"] < point["accuracy"] < point["accuracy_high"]
    assert (point["images"], point["cells"]) == (80, 40)


def test_cells_are_missing_not_none_where_no_source_is_known():
    scores = robustness_scores(answer(("x", "110"), ("y", "100")).assign(source_id=None), **FEW)
    assert scores["cells"].isna().all()
    assert scores["images"].eq(2).all()


def test_for_people_the_amounts_stand_side_by_side_below_what_is_printed(degraded):
    scores = robustness_scores(degraded, resamples=20)
    curve, variant = scores["curve"].iloc[0], scores["variant"].iloc[0]
    wide = widen_scores(scores, {variant: {curve: {0.5: 0.81}}})
    printed = wide[wide["protocol"] == "printed"]
    assert printed[["curve", "variant", "0.5"]].to_numpy().tolist() == [[curve, variant, 0.81]]
    point = scores.iloc[1]
    keys = ["curve", "variant", "protocol"]
    row = wide[(wide[keys] == point[keys]).all(axis=1)]
    assert row[f"{point['amount']:g}"].item() == point["accuracy"]


def test_an_area_is_one_for_what_stays_right_and_none_for_what_stays_wrong():
    areas = robustness_areas(answer(("x", "111"), ("y", "111")), **FEW)
    assert areas["area"].tolist() == [1.0]
    assert robustness_areas(answer(("x", "000")), **FEW)["area"].tolist() == [0.0]


def test_an_area_weighs_amounts_by_how_far_they_are_apart():
    areas = robustness_areas(answer(("x", "100"), ("y", "110")), **FEW)
    trapezoids = (0.5 * 1) / 4, (1 + 0.5 * 3) / 4  # amounts 0, 1, 4
    assert areas.loc[0, "area"] == pytest.approx(np.mean(trapezoids))
    assert areas.loc[0, "to_amount"] == 4


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 1000), st.lists(st.floats(0, 1), min_size=3, max_size=3))
def test_an_area_is_that_under_the_accuracies_whatever_they_are(seed, harms):
    clean = make_predictions(sources=10, views=2, variants=["blend"], protocols=["source"])
    conditions = dict(zip(NOISE, harms, strict=True))
    uneven = clean.drop(clean.index[-7:])  # the second seed tests fewer images
    predictions = degrade(uneven, conditions, seed=seed)
    points = robustness_scores(predictions, **FEW)
    area = robustness_areas(predictions, **FEW).loc[0, "area"]
    expected = np.trapezoid(points["accuracy"], points["amount"]) / points["amount"].max()
    assert area == pytest.approx(expected)


def test_an_area_lies_in_its_interval_over_sources(degraded):
    areas = robustness_areas(degraded, resamples=300)
    assert (areas["area_low"] < areas["area"]).all()
    assert (areas["area"] < areas["area_high"]).all()
    one = degraded.assign(source_id="the only cell")
    assert robustness_areas(one, **FEW)["area_low"].isna().all()


def test_variants_are_compared_with_the_first_on_the_same_images(degraded):
    areas = robustness_areas(degraded, resamples=300).set_index(CURVE).sort_index()
    first = VARIANTS[0]
    assert areas.loc[first, "area_difference"].isna().all()
    for variant in VARIANTS[1:3]:
        gap = areas.loc[variant, "area"] - areas.loc[first, "area"]
        np.testing.assert_allclose(areas.loc[variant, "area_difference"], gap)
    same = degraded[degraded["variant"] == first]
    twins = robustness_areas(pd.concat([same, same.assign(variant="twin")]), **FEW)
    twin = twins[twins["variant"] == "twin"]
    assert (twin["area_difference"] == 0).all()
    assert twin["area_difference_low"].isna().all()  # no spread at all


def test_an_image_that_lacks_a_condition_is_named():
    with pytest.raises(ValueError, match=r"'y' was not predicted under .* curve 'noise'"):
        robustness_areas(answer(("x", "110"), ("y", "10")), **FEW)


def test_the_interval_of_an_area_ends_at_what_an_area_can_be():
    few = answer(("x", "111"), ("y", "100"), ("z", "111"))
    (area,) = robustness_areas(few, resamples=200).to_dict("records")
    assert (area["area_low"], area["area_high"]) == (0, 1)
