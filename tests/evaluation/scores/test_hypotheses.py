import tracemalloc

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests

from wbc_pipeline.evaluation.scores.hypotheses import (
    FAMILY,
    judge_hypotheses,
    paired_tests,
    scores_by_direction,
    verdict_of,
)
from wbc_pipeline.evaluation.scores.metrics import score_predictions

STAINS = ["giemsa", "rapid"]
CLASSES = ["lymphocyte", "monocyte", "neutrophil"]
CLAIM = {
    "claim": "Alignment helps",
    "better": "full",
    "than": "without",
    "metric": "iou_cell",
    "margin": 0.02,
    "protocols": ["domain"],
}
GAINS = {"full": [0.05, 0.05], "without": [0.0, 0.05], "other": [0.04, 0.0]}  # of IoU, by fold


def make_tests(
    gains=GAINS, *, sources=40, views=2, seeds=3, protocol="domain", noise=0.01
) -> pd.DataFrame:
    """Test rows of some variants whose IoU differs by known amounts in each fold."""
    tables = []
    for fold, stain in enumerate(STAINS):
        for seed in range(seeds):
            for number, (variant, gain) in enumerate(gains.items()):
                random = np.random.default_rng([fold, seed, number])
                source = np.arange(sources).repeat(views)
                union = np.full(len(source), 10_000)
                hardness = np.random.default_rng(fold).uniform(-0.1, 0.1, sources)[source]
                share = 0.8 + gain[fold] + hardness + random.normal(0, noise, len(source))
                label = np.array(CLASSES)[source % 3]
                answer = np.where(random.random(len(source)) < 0.8 + gain[fold], label, CLASSES[0])
                tables.append(
                    pd.DataFrame(
                        {
                            "image_id": [f"{stain}/{i}" for i in range(len(source))],
                            "source_id": [f"{stain}-{i}" for i in source],
                            "label": label,
                            "intersection_cell": pd.array((share * union).astype(int), "Int64"),
                            "union_cell": pd.array(union, "Int64"),
                            "mask_pixels": pd.array(2 * union, "Int64"),
                            **{f"p_{name}": (answer == name) * 1.0 for name in CLASSES},
                        }
                    ).assign(variant=variant, seed=seed, fold=fold)
                )
    known = {"dataset": "smears", "part": "test", "condition": "clean", "protocol": protocol}
    return pd.concat(tables, ignore_index=True).assign(**known)


@pytest.fixture(scope="module")
def tests():
    return make_tests()


@pytest.fixture(scope="module")
def manifest(tests):
    images = tests[["image_id"]].drop_duplicates()
    return images.assign(domain=images["image_id"].str.split("/").str[0])


@pytest.fixture(scope="module")
def compared(tests, manifest):
    return paired_tests(tests, manifest, reference="full", resamples=400)


def only(table, **values):
    (row,) = table[(table[list(values)] == pd.Series(values)).all(axis=1)].to_dict("records")
    return row


def test_each_direction_of_a_shift_is_compared_with_every_other_variant(compared):
    assert len(compared) == 2 * 2 * 2
    assert set(compared["variant"]) == {"without", "other"}
    assert dict(zip(compared["fold"], compared["tested"], strict=True)) == {0: "giemsa", 1: "rapid"}


def test_scores_stand_alone_for_each_direction_and_agree_with_the_comparison(
    tests, manifest, compared
):
    directions = scores_by_direction(tests, manifest, resamples=50)
    assert directions["protocol"].unique().tolist() == ["to giemsa", "to rapid"]
    for fold, protocol in enumerate(["to giemsa", "to rapid"]):
        found = only(directions, protocol=protocol, variant="other", metric="iou_cell")
        row = only(compared, fold=fold, metric="iou_cell", variant="other")
        assert found["mean"] == pytest.approx(row["variant_score"])
        assert found["low"] < found["mean"] < found["high"]


def test_the_folds_of_a_cross_validation_are_pooled(tests, manifest):
    pooled = paired_tests(tests.assign(protocol="source"), manifest, reference="full", resamples=20)
    assert pooled["fold"].unique().tolist() == [0]
    assert pooled["tested"].isna().all()
    assert set(pooled["sources"]) == {80}


def test_the_gain_is_the_difference_of_the_scores_in_the_metrics(tests, compared):
    giemsa = tests[tests["fold"] == 0]
    scores = score_predictions(giemsa, resamples=2).groupby("variant")[["iou_cell", "macro_f1"]]
    for metric, means in scores.mean().items():
        row = only(compared, fold=0, metric=metric, variant="without")
        assert row["reference_score"] == pytest.approx(means["full"])
        assert row["gain"] == pytest.approx(means["full"] - means["without"])
    answers = [name.removeprefix("p_") for name in giemsa.filter(like="p_").idxmax(axis=1)]
    by_hand = [
        f1_score(run["label"], run["answer"], average="macro")
        for _, run in giemsa.assign(answer=answers).groupby(["variant", "seed"])
    ]
    assert np.mean(by_hand[:3]) == pytest.approx(
        only(compared, fold=0, metric="macro_f1", variant="without")["reference_score"]
    )


def test_the_interval_holds_the_true_gain_and_no_test_calls_nothing_a_gain(compared):
    better = only(compared, fold=0, metric="iou_cell", variant="without")
    assert better["gain_low"] < 0.05 < better["gain_high"]
    assert better["gain_high"] - better["gain_low"] < 0.02
    assert better["p_sources_holm"] < 0.01
    same = only(compared, fold=1, metric="iou_cell", variant="without")
    assert same["gain_low"] < 0 < same["gain_high"]
    assert same["p_sources"] > 0.05


def test_the_test_over_seeds_is_a_paired_t_test_with_its_effect_size(tests, compared):
    runs = score_predictions(tests[tests["fold"] == 0], resamples=2)
    scores = runs.pivot(index="seed", columns="variant", values="iou_cell")
    difference = scores["full"] - scores["other"]
    row = only(compared, fold=0, metric="iou_cell", variant="other")
    assert row["p_seeds"] == pytest.approx(ttest_rel(scores["full"], scores["other"]).pvalue)
    assert row["d_seeds"] == pytest.approx(difference.mean() / difference.std())
    assert row["seeds"] == 3


def test_p_values_are_corrected_after_holm_within_a_fold_and_metric(compared):
    for _, family in compared.groupby(FAMILY):
        for name in ("p_sources", "p_seeds"):
            expected = multipletests(family[name], method="holm")[1]
            np.testing.assert_allclose(family[f"{name}_holm"], expected)


def test_copies_of_a_cell_are_no_further_evidence(manifest, tests):
    once = make_tests(views=1)
    copies = pd.concat([once, once.assign(image_id=once["image_id"] + "-copy")])
    known = pd.concat([manifest, manifest.assign(image_id=manifest["image_id"] + "-copy")])
    options = {"reference": "full", "resamples": 300}
    alone, thrice = (paired_tests(each, known, **options) for each in (once, copies))
    columns = ["gain", "gain_low", "gain_high", "p_sources", "d_sources"]
    np.testing.assert_allclose(alone[columns], thrice[columns], atol=1e-12)


def test_one_seed_has_no_test_over_seeds(tests, manifest):
    one = paired_tests(tests[tests["seed"] == 0], manifest, reference="full", resamples=20)
    assert one[["p_seeds", "p_seeds_holm", "d_seeds"]].isna().all(axis=None)
    assert one["p_sources_holm"].notna().all()


def test_images_that_one_of_both_did_not_measure_are_left_out(tests, manifest):
    blind = tests.copy()
    blind.loc[blind["variant"] == "other", "intersection_cell":"mask_pixels"] = None
    found = paired_tests(blind, manifest, reference="full", resamples=20)
    assert set(found.loc[found["metric"] == "iou_cell", "variant"]) == {"without"}
    assert set(found.loc[found["metric"] == "macro_f1", "variant"]) == {"without", "other"}


def test_without_the_reference_there_is_nothing_to_compare(tests, manifest):
    others = tests[tests["variant"] != "full"]
    found = paired_tests(others, manifest, reference="full", resamples=20)
    assert found.empty and "p_seeds_holm" in found


def test_a_claim_is_judged_in_each_direction_and_holds_only_where_all_agree(tests, manifest):
    table = judge_hypotheses(tests, manifest, {"alignment": CLAIM}, resamples=400)
    overall, giemsa, rapid = table.to_dict("records")
    assert (giemsa["tested"], giemsa["verdict"]) == ("giemsa", "supported")
    assert (rapid["tested"], rapid["verdict"]) == ("rapid", "refuted")
    assert overall["verdict"] == "undecided"
    assert "supported under domain on giemsa; refuted under domain on rapid" in overall["finding"]
    assert "95% interval" in giemsa["finding"] and "40 sources, 3 seeds" in giemsa["finding"]


def test_an_interval_on_both_sides_of_the_margin_decides_nothing(manifest):
    noisy = make_tests({"full": [0.02, 0.02], "without": [0.0, 0.0]}, noise=0.1, sources=20)
    table = judge_hypotheses(noisy, manifest, {"alignment": CLAIM}, resamples=200)
    assert table["verdict"].tolist() == ["undecided"] * 3
    assert verdict_of(0.02, 0.03, 0.02) == "supported"  # at the margin


@pytest.mark.parametrize("lacking", [{"variant": "without"}, {"protocol": "domain"}])
def test_what_was_not_run_says_what_to_run(tests, manifest, lacking):
    ((column, value),) = lacking.items()
    other = tests.assign(protocol="source") if column == "protocol" else tests
    other = other[other[column] != value]
    (row,) = judge_hypotheses(other, manifest, {"alignment": CLAIM}).to_dict("records")
    assert row["verdict"] == "not run"
    assert "--params=protocols=domain,variants=full+without" in row["finding"]


def test_what_was_not_run_is_asked_for_under_the_protocol_that_the_others_follow(tests, manifest):
    alone, anywhere = tests[tests["variant"] == "full"], CLAIM | {"protocols": ["source", "domain"]}
    (row,) = judge_hypotheses(alone, manifest, {"alignment": anywhere}).to_dict("records")
    assert "--params=protocols=domain,variants=full+without" in row["finding"]


def test_a_set_without_masks_leaves_a_claim_on_masks_not_measured(tests, manifest):
    blind = tests.drop(columns=["intersection_cell", "union_cell", "mask_pixels"])
    (row,) = judge_hypotheses(blind, manifest, {"alignment": CLAIM}).to_dict("records")
    assert row["verdict"] == "not measured"
    assert "Take a data set with masks" in row["finding"]


def test_a_claim_of_mean_recall_looks_at_its_classes_alone():
    tests = make_tests({"full": [0.1, 0.1], "without": [-0.3, -0.3]}, seeds=2)
    manifest = tests[["image_id"]].drop_duplicates().assign(domain=STAINS[0])
    claim = CLAIM | {"metric": "mean_recall", "margin": 0.1}

    def judge(*classes):
        claims = {"precursors": claim | {"classes": classes}}
        return judge_hypotheses(tests, manifest, claims, resamples=50)

    found = judge("monocyte", "neutrophil")
    assert found["verdict"][0] == "supported" and "mean recall" in found["finding"][1]
    assert judge("lymphocyte")["gain"].dropna().eq(0).all()  # both take all of them for such
    assert judge("blast")["verdict"].tolist() == ["not measured"]


def test_memory_grows_with_one_pair_and_not_with_all_variants():
    classes, images, variants = 20, 2000, 12
    rng = np.random.default_rng(0)
    columns = [f"p_{number:02}" for number in range(classes)]
    labels = rng.integers(classes, size=images)
    tables = []
    for variant in range(variants):
        answers = np.where(rng.random(images) < 0.8, labels, rng.integers(classes, size=images))
        table = pd.DataFrame(np.eye(classes, dtype=np.float32)[answers], columns=columns)
        tables.append(table.assign(variant=f"v{variant}"))
    known = {"dataset": "smears", "part": "test", "condition": "clean", "protocol": "source"}
    predictions = pd.concat(tables, ignore_index=True).assign(**known, seed=0, fold=0)
    predictions["image_id"] = np.tile(np.arange(images).astype(str), variants)
    predictions["source_id"] = np.tile((labels % 10).astype(str), variants)
    predictions["label"] = np.tile([f"{label:02}" for label in labels], variants)
    pictures = predictions[["image_id"]].drop_duplicates().assign(domain="one")
    tracemalloc.start()
    try:
        found = paired_tests(
            predictions, pictures, reference="v0", metrics=["macro_f1"], resamples=10
        )
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == variants - 1
    assert peak < len(predictions) * classes**2 * np.dtype(float).itemsize / 2
