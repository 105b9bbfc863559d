import json
import shutil
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from kept_results import result_of, write_times
from pydantic import ValidationError

from wbc_pipeline.evaluation.scores.robustness import robustness_areas, robustness_scores
from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.imaging.degrade import DEGRADATIONS, SEVERITIES
from wbc_pipeline.imaging.degraded_views import Condition
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.robustness.nodes import sample_images
from wbc_pipeline.pipelines.robustness.options import FALLING, Degradation, RobustnessOptions
from wbc_pipeline.training.predict import predict_probabilities

RESTORE = [{"unsharp_mask": {}}]
BLUR = {"degradation": "defocus_blur", "severities": [2, 5], "restore": RESTORE}
CONDITIONS = {"clean", "noise 0.35", "blur 2", "blur 5"}
RUN_KEYS = ["variant", "protocol", "seed"]
NOISE = {"degradation": "gaussian_noise", "amounts": [0.1]}


@pytest.fixture(scope="module")
def curved(run_pipeline, blended, tmp_path_factory):
    """Two of blend's trained variants on a curve that is in no file of the project."""
    data = shutil.copytree(blended, tmp_path_factory.mktemp("curved") / "data")
    curves = {"blur": {**BLUR, "finds_on": "clean"}}
    run_pipeline("blend", data, variants="normal+blend", blend={"robustness": {"curves": curves}})
    return data


@pytest.fixture
def predictions(curved):
    return pd.read_parquet(curved / "07_model_output/demo/blend/robustness_predictions.parquet")


def test_a_curve_given_at_run_time_is_tried_on_networks_that_are_there(
    curved, blended, predictions
):
    weights = "06_models/demo/blend/*/[!.]*/weights.safetensors"
    before, after = write_times(blended, weights), write_times(curved, weights)
    assert sorted(before.values()) == sorted(after.values())
    assert set(predictions["condition"]) == CONDITIONS
    assert set(predictions["variant"]) == {"normal", "blend"}
    scores = pd.read_csv(curved / "08_reporting/demo/blend/robustness.csv")
    assert set(scores["curve"]) == {"noise", "blur"}
    assert set(scores.loc[scores["curve"] == "blur", "amount"]) == {0, 2, 5}


def test_tables_and_figures_stand_where_the_design_says_and_in_the_report(blended):
    reports = blended / "08_reporting/demo/blend"
    for name in ("robustness_curves", "degraded_sheet"):
        assert (reports / f"{name}.png").stat().st_size > 10_000, name
    page = (reports / "report.html").read_text()
    for name in ("table-robustness_by_amount", "table-robustness_area", "figure-degraded_sheet"):
        assert f'id="{name}"' in page
    assert "Accuracy by amount of degradation, means over seeds" in page


def test_every_run_sees_the_same_images_of_its_test_part_under_all_conditions(curved, predictions):
    splits = pd.read_parquet(curved / "05_model_input/demo/splits.parquet")
    tested = splits[splits["part"] == "test"]
    for (_, protocol, seed), run in predictions.groupby(RUN_KEYS):
        part = tested[(tested["protocol"] == protocol) & (tested["seed"] == seed)]
        seen = run.groupby("condition")["image_id"].agg(frozenset)
        assert seen.nunique() == 1 and len(seen) == len(CONDITIONS)
        assert seen.iloc[0] <= set(part["image_id"])
        assert not run.duplicated(["condition", "image_id"]).any()


def test_clean_predictions_are_those_of_the_paper(curved, predictions):
    paper = pd.read_parquet(curved / "07_model_output/demo/blend/predictions.parquet")
    clean = predictions[predictions["condition"] == "clean"]
    assert list(clean) == list(paper)
    same = paper.merge(clean[[*RUN_KEYS, "image_id"]])
    pd.testing.assert_frame_equal(same, clean.reset_index(drop=True))


def test_a_degraded_prediction_can_be_made_by_hand(curved, predictions):
    chosen = predictions.query("variant == 'blend' and condition == 'blur 5'").iloc[0]
    packed = np.load(result_of(curved / "03_primary/demo/images") / "images.npy")
    manifest = pd.read_parquet(curved / "02_intermediate/demo/manifest.parquet")
    row = manifest.index[manifest["image_id"] == chosen["image_id"]][0]
    blur = Condition("defocus_blur", SEVERITIES["defocus_blur"][4], build_chain(RESTORE), True)
    run = f"blend/{chosen['protocol']}-{chosen['seed']}"
    folder = result_of(curved / "06_models/demo/blend", run)
    network, description = load_network(folder)
    views = [
        blur.view(build_chain(description["views"][name]), packed[row], row)[None]
        for name in network.views
    ]
    probabilities, _ = predict_probabilities(
        network, views, np.array([0]), device=torch.device("cpu")
    )
    columns = [f"p_{name}" for name in description["classes"]]
    np.testing.assert_allclose(
        chosen[columns].to_numpy(float), probabilities[0], atol=1e-6, rtol=1e-4
    )


def test_tables_can_be_recomputed_from_predictions(curved, predictions):
    for name, compute in (("robustness", robustness_scores), ("robustness_area", robustness_areas)):
        saved = pd.read_csv(curved / f"08_reporting/demo/blend/{name}.csv")
        again = compute(predictions, resamples=50)
        keys = [name for name in ("variant", "protocol", "curve", "amount") if name in again]
        tables = [table.sort_values(keys, ignore_index=True) for table in (saved, again)]
        pd.testing.assert_frame_equal(*tables, check_dtype=False)


def test_a_second_command_degrades_and_predicts_nothing_anew_and_skips_what_nobody_looks_at(
    run_pipeline, curved, tmp_path
):
    data = shutil.copytree(curved, tmp_path / "data")
    curves = {"blur": {**BLUR, "finds_on": "clean"}}
    degraded = data / "05_model_input/demo/blend/degraded"
    kept = "*/demo/blend/degraded/*/*/*", "*/demo/blend/robustness/*/*/*"
    before = [write_times(data, pattern) for pattern in kept]
    run_pipeline("blend", data, variants="normal", blend={"robustness": {"curves": curves}})
    assert all(before) and [write_times(data, pattern) for pattern in kept] == before
    asked = json.loads((degraded / "latest.json").read_text())
    assert {name.partition("/")[0] for name in asked} == {"image"}  # normal sees no foreground


def options(**changes) -> RobustnessOptions:
    return RobustnessOptions.model_validate({"images": 9, "curves": {"noise": NOISE}} | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curves": {}}, "at least 1 item"),
        ({"curves": {"no ise": NOISE}}, "should match pattern"),
        ({"curves": {"noise": NOISE | {"degradation": "nois"}}}, "'gaussian_noise', 'shot_noise'"),
        ({"curves": {"noise": NOISE | {"severities": [1]}}}, "either amounts or severities"),
        ({"curves": {"noise": NOISE | {"amounts": None}}}, "either amounts or severities"),
        ({"curves": {"noise": NOISE | {"amounts": [0.1, 0]}}}, "greater than 0"),
        ({"curves": {"noise": NOISE | {"amounts": [0.1, 0.10]}}}, "name it once"),
        ({"curves": {"noise": BLUR | {"severities": [6]}}}, "1, 2, 3, 4 or 5"),
        ({"curves": {"jpeg": NOISE | {"degradation": "jpeg"}}}, "more harm.*use severities"),
        ({"curves": {"noise": NOISE | {"restore": [{"median": {}}]}}}, "no step 'median'. Did you"),
        ({"curves": {"noise": NOISE | {"restore": [{"resize": {"size": 8}}]}}}, "resize or crop"),
        ({"curves": {"noise": NOISE | {"find_on": "clean"}}}, "find_on"),
        ({"published": {"normal": {"nois": {0.1: 0.8}}}}, "curve 'nois'; known are noise"),
        ({"images": 0}, "greater than 0"),
    ],
)
def test_a_wrong_parameter_is_refused_and_says_why(changes, message):
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        options(**changes)


def test_conditions_are_named_after_curve_and_amount():
    curves = {"noise": NOISE | {"amounts": [0.35, 0.05, 2]}, "jpeg": BLUR | {"severities": [1]}}
    named = options(curves=curves).conditions
    assert list(named) == ["noise 0.05", "noise 0.35", "noise 2", "jpeg 1"]


def test_what_is_published_may_have_its_amounts_as_text():
    published = {"normal": {"noise": {"0.05": "0.81", 0.35: 0.51}}}
    assert options(published=published).published["normal"]["noise"] == {0.05: "0.81", 0.35: 0.51}


def test_the_options_know_every_degradation_and_which_of_them_fall():
    assert get_args(Degradation) == tuple(DEGRADATIONS)
    assert set(FALLING) == {kind for kind, levels in SEVERITIES.items() if levels[0] > levels[-1]}


@pytest.fixture(scope="module")
def tables():
    """A manifest with a refused image, and splits with two test parts that overlap."""
    manifest = pd.DataFrame(
        {"image_id": [f"{row}.png" for row in range(121)], "status": "ok", "source_group": "a"}
    )
    manifest["dataset"] = "demo"
    manifest["label"] = np.where(np.arange(121) % 3, "blast", "monocyte")
    manifest.loc[0, "status"] = "truncated"
    ids = manifest["image_id"]
    parts = [
        pd.DataFrame({"image_id": ids[start:stop], "protocol": name, "seed": 0, "fold": 0})
        for name, start, stop in (("random", 1, 81), ("source", 41, 121))
    ]
    train = parts[0].assign(part="train", seed=1)
    return manifest, pd.concat([*(part.assign(part="test") for part in parts), train])


def test_each_test_part_gives_its_share_of_every_class(tables):
    sample = sample_images(*tables, options(images=24))
    assert len(sample) <= 24
    assert sample["row"].is_monotonic_increasing
    assert (tables[0]["image_id"].iloc[1:].to_numpy()[sample["row"]] == sample["image_id"]).all()
    for first, last in ((0, 79), (40, 119)):
        part = sample[sample["row"].between(first, last)]
        assert part["label"].value_counts().min() >= 6
        assert part["row"].max() - part["row"].min() > 70


def test_a_test_part_is_taken_whole_and_the_others_share_the_number(tables):
    sample = sample_images(*tables, options(images=24, whole=["source"]))
    assert set(range(40, 120)) <= set(sample["row"])
    assert 12 <= (sample["row"] < 40).sum() <= 24
    assert sample["row"].is_unique


def test_few_images_are_still_one_of_each_class_and_null_means_all(tables):
    few = sample_images(*tables, options(images=1))
    assert set(few["label"]) == {"blast", "monocyte"}
    assert len(sample_images(*tables, options(images=None))) == 120
