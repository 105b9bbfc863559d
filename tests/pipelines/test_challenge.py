"""The challenge paper: every row of its tables as a variant, on shifted images of few classes."""

import json
import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from kept_results import PROJECT, result_of, variants_of

from wbc_pipeline.datasets.results import Result
from wbc_pipeline.pipelines.challenge.nodes import follow_maturation, report_crops
from wbc_pipeline.pipelines.challenge.options import MaturationOptions
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.training.options import merge_stages

TABLES = (
    *("experiments", "claims", "class_recalls", "chain_errors", "crop_misses", "missed_by_all"),
    *("class_gaps", "ensembles_against_best", "metrics", "published", "per_class", "robustness"),
)
FIGURES = ("family_recalls", "chain_matrices", "missed_sheet", "confusion_matrices")
PRINTED = {  # macro F1 of the paper's Tables 1 and 3
    *("0.5433", "0.5800", "0.6236", "0.5801", "0.5787", "0.6082", "0.6308", "0.6200"),
    *("0.5950", "0.6345", "0.5204", "0.2509"),
}
BACKBONE = "test_efficientnet"  # of the test environment
QUIET = {"tracking": {"enabled": False}}


@pytest.fixture(scope="module")
def trained_on():
    """By variant, the images that its training read, and the rows of each part."""
    return {}


@pytest.fixture(scope="module")
def challenged(run_pipeline, tmp_path_factory, trained_on):
    """The outputs of all variants on the demo."""
    from wbc_pipeline.pipelines.experiment.trainings import ClassifierTraining

    build_task = ClassifierTraining.task

    def watch(training, network):
        task = build_task(training, network)
        images = task.arrays["image"].numpy().copy()
        trained_on[training.identity["variant"]] = images, training.run.rows
        return task

    data = tmp_path_factory.mktemp("challenged")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClassifierTraining, "task", watch)
        run_pipeline("challenge", data, **QUIET)
    return data


@pytest.fixture(scope="module")
def report(challenged):
    reports = challenged / "08_reporting/demo/challenge"
    return lambda name: pd.read_csv(reports / f"{name}.csv")


@pytest.fixture(scope="module")
def predictions(challenged):
    return pd.read_parquet(challenged / "07_model_output/demo/challenge/predictions.parquet")


@pytest.fixture(scope="module")
def load():
    """Read the checked parameters of an environment."""
    from kedro.framework.project import pipelines, settings
    from kedro.framework.startup import bootstrap_project

    from wbc_pipeline.parameters.schema import check_parameters

    bootstrap_project(PROJECT)

    def read(env, **runtime):
        pipelines.set_requested(["challenge"])
        try:
            loader = settings.CONFIG_LOADER_CLASS(
                str(PROJECT / "conf"),
                env=env,
                runtime_params=runtime,
                **settings.CONFIG_LOADER_ARGS,
            )
            return check_parameters(loader["parameters"])
        finally:
            pipelines.set_requested(None)

    return read


def answers_of(predictions):
    columns = [name for name in predictions if name.startswith("p_")]
    names = np.array([name.removeprefix("p_") for name in columns], object)
    return names[predictions[columns].to_numpy().argmax(axis=1)]


def test_every_variant_leaves_its_files(challenged, report):
    reports = challenged / "08_reporting/demo/challenge"
    for name in (*(f"{table}.csv" for table in TABLES), "report.html"):
        assert (reports / name).is_file(), name
    for name in FIGURES:
        assert (reports / f"{name}.png").stat().st_size > 5_000, name
    assert set(report("metrics")["variant"]) >= {*variants_of("challenge")}


def test_every_row_of_the_paper_stands_beside_ours(report):
    table = report("experiments").set_index("variant")
    rows = table[table["experiment"] != "ours"]
    assert {f"{value:.4f}" for value in rows["printed"]} == PRINTED
    assert rows["source"].notna().all()
    assert table.loc["class_weights", "printed_change"] == pytest.approx(0.5801 - 0.6236)
    assert np.isnan(table.loc["baseline", "source_change"])
    assert table.loc["ordinal", ["experiment", "backbone"]].tolist() == ["ours", BACKBONE]
    assert table.loc["soft_voting", "backbone"] == "ensemble"


def test_claims_are_judged_by_intervals(report):
    table = report("claims")
    assert {"class_weights_hurt", "focal_loss_hurts", "gradual_unfreezing_helps"} <= set(
        table["hypothesis"]
    )
    assert set(table["verdict"]) <= {"supported", "refuted", "undecided"}
    lifted = table[table["hypothesis"] == "ordinal_lifts_precursors"]
    assert "mean recall" in lifted["finding"].iloc[1]


def test_a_class_of_the_chain_that_nobody_knows_is_warned_of(predictions, caplog):
    chain = ["PMY", "LYM", "lymphocyte", "seg_neutrophil"]
    options = MaturationOptions(chain=chain, precursors=["lymphocyte"], shown=["baseline"])
    score = ScoreOptions(bins=15, resamples=20, level=0.95)
    with caplog.at_level(logging.WARNING, "wbc_pipeline"):
        table = follow_maturation(predictions, options, score, "demo")["chain_errors"]
    assert caplog.text.count("is left out") == 1  # PMY is a code, which the demo lacks
    assert "challenge.maturation.chain: LYM is neither a class" in caplog.text
    assert len(table)


def test_recalls_of_the_demo_s_classes_stand_beside_the_printed_ones(report):
    table = report("class_recalls").set_index(["variant", "code"])
    assert table.loc[("baseline", "LY"), "printed"] == 0.9567
    assert table.loc[("baseline", "SNE"), "label"] == "seg_neutrophil"
    assert table.loc[("baseline", "PC"), "printed"] == 0.5
    assert np.isnan(table.loc[("baseline", "PC"), "source"])
    assert (table["source_support"].dropna() > 0).all()


def test_what_every_network_misses_is_wrong_in_each_of_their_predictions(report, predictions):
    ensembles = {name for name, own in variants_of("challenge").items() if "network" not in own}
    networks = set(predictions["variant"]) - ensembles
    test = predictions[(predictions["part"] == "test") & predictions["variant"].isin(networks)]
    right = (answers_of(test) == test["label"]).groupby(test["image_id"]).any()
    missed = report("missed_by_all")
    assert (missed["networks"] == len(networks)).all()
    cells = test.drop_duplicates("image_id").set_index("image_id")["source_id"]
    recognised_views = right.groupby(cells).all()
    assert not recognised_views.reindex(missed["cell"]).any()


def test_prior_correction_divides_the_same_network_s_probabilities(challenged, predictions):
    columns = [name for name in predictions if name.startswith("p_")]
    test = predictions[predictions["part"] == "test"].set_index("image_id")
    plain, corrected = (
        test.loc[test["variant"] == name, columns] for name in ("baseline", "prior_correction")
    )
    splits = pd.read_parquet(challenged / "05_model_input/demo/splits.parquet")
    manifest = pd.read_parquet(challenged / "02_intermediate/demo/manifest.parquet")
    train = splits.query("part == 'train' and protocol == 'source'").merge(
        manifest[["image_id", "label"]], on="image_id"
    )
    shares = train["label"].value_counts(normalize=True)
    expected = plain / shares[[name.removeprefix("p_") for name in columns]].to_numpy()
    expected = expected.div(expected.sum(axis=1), axis=0)
    np.testing.assert_allclose(corrected.loc[expected.index], expected, atol=1e-5)


def read(challenged, variant, name):
    return result_of(challenged / "06_models/demo/challenge", f"{variant}/source-0") / name


def test_variants_that_differ_in_their_answers_share_the_baseline_s_training(challenged):
    plain = read(challenged, "baseline", "weights.safetensors").read_bytes()
    for name in ("turns", "prior_correction"):
        assert read(challenged, name, "weights.safetensors").read_bytes() == plain
        summary = json.loads(read(challenged, name, "summary.json").read_text())
        assert summary["shared_stages"] == "head of baseline, all of baseline"
    assert not [*(challenged / "06_models").rglob(".stages-*")]


def test_what_begins_with_shared_stages_ends_as_if_it_had_trained_them(
    run_pipeline, challenged, tmp_path
):
    summary = json.loads(read(challenged, "decoupled", "summary.json").read_text())
    assert summary["shared_stages"] == "head of baseline, all of baseline"
    alone = shutil.copytree(challenged, tmp_path / "alone")
    shutil.rmtree(alone / "06_models/demo/challenge/decoupled")
    run_pipeline("challenge", alone, variants="decoupled", how={"tags": ["training"]}, **QUIET)
    assert not json.loads(read(alone, "decoupled", "summary.json").read_text())["shared_stages"]
    files = (read(data, "decoupled", "weights.safetensors") for data in (challenged, alone))
    assert len({file.read_bytes() for file in files}) == 1
    columns = ["stage", "epoch", "train_loss", "val_macro_f1"]
    histories = (read(data, "decoupled", "history.parquet") for data in (challenged, alone))
    first, second = (pd.read_parquet(file)[columns] for file in histories)
    pd.testing.assert_frame_equal(first, second)


def test_training_validation_and_test_see_images_of_their_own_degradation(challenged):
    views = challenged / "04_feature/demo/challenge"
    plain = np.load(result_of(views, "image") / "images.npy").astype(int)
    changes = {
        part: np.abs(np.load(result_of(views, f"image@{part}") / "images.npy") - plain).mean()
        for part in ("train", "validation", "test")
    }
    assert 0 < changes["train"] < changes["test"]


def test_the_training_reads_each_image_under_the_shift_of_its_part(challenged, trained_on):
    views = challenged / "04_feature/demo/challenge"
    images, rows = trained_on["baseline"]
    assert {*rows} == {"train", "validation", "test"}
    shifted = {part: np.load(result_of(views, f"image@{part}") / "images.npy") for part in rows}
    for part, own in rows.items():
        assert np.array_equal(images[own], shifted[part][own])
    assert not np.array_equal(images[rows["train"]], shifted["test"][rows["train"]])
    assert not np.array_equal(images[rows["test"]], shifted["train"][rows["test"]])


def test_the_miss_rate_of_crops_is_that_of_the_images_that_play_the_part(challenged, report):
    table = report("crop_misses").query("label == 'all'").set_index("view")
    assert set(table.index) == {f"crop@{part}" for part in ("train", "validation", "test")}
    splits = pd.read_parquet(challenged / "05_model_input/demo/splits.parquet")
    for view, row in table.iterrows():
        plays = splits["part"] == view.partition("@")[2]
        images = set(splits.loc[plays, "image_id"])
        regions = pd.read_parquet(
            result_of(challenged / "04_feature/demo/challenge", view) / "regions.parquet"
        )
        found = regions.loc[regions["image_id"].isin(images), "found"]
        assert (row["images"], row["missed"]) == (len(images), (~found).sum())
    page = (challenged / "08_reporting/demo/challenge/report.html").read_text()
    assert "Where no cell was found" in page


class Regions:
    """A view of which a table says where something was found."""

    def __init__(self, folder, found):
        folder.mkdir()
        table = pd.DataFrame({"image_id": [*"abcd"], "found": found})
        table.to_parquet(folder / "regions.parquet")
        self.result = Result(folder)


@pytest.mark.parametrize(
    ("shifted", "expected"),
    [
        ((), {"crop": (4, 4)}),
        (("test",), {"crop": (3, 3), "crop@test": (2, 1)}),
        (("train", "validation", "test"), {"crop@train": (2, 1), "crop@validation": (1, 0)}),
    ],
)
def test_misses_are_counted_over_the_rows_of_a_part(shifted, expected, tmp_path):
    views = {"crop": Regions(tmp_path / "plain", [False] * 4)}
    for part in shifted:
        views[f"crop@{part}"] = Regions(tmp_path / part, [False, True, True, True])
    seed_0 = {"a": "train", "b": "train", "c": "validation", "d": "test"}
    seed_1 = {"a": "test", "b": "train", "c": "validation"}
    played = [*seed_0.items(), *seed_1.items()]
    splits = pd.DataFrame(played, columns=["image_id", "part"])
    manifest = pd.DataFrame({"image_id": [*"abcd"], "dataset": "made", "status": "ok"})
    manifest = manifest.assign(label="LY", source_group=[*"abcd"])
    table = report_crops(manifest, splits, views)["crop_misses"].query("label == 'all'")
    counted = dict(
        zip(table["view"], zip(table["images"], table["missed"], strict=True), strict=True)
    )
    assert counted == expected | ({"crop@test": (2, 1)} if "test" in shifted else {})


def test_printed_gaps_stand_beside_the_cells_at_hand(report):
    table = report("class_gaps").set_index("class")
    assert table["printed_images"].to_dict() == {
        "neutrophil": 15048,
        "blast": 2271,
        "plasma cell": 58,
        "prolymphocyte": 13,
    }
    assert table.loc["neutrophil", "cells"] == 4  # the demo's
    assert table.loc["prolymphocyte", "cells"] == 0


def test_the_paper_environment_has_the_published_backbone_sizes_and_rates(load):
    checked = load("paper")
    own = checked.challenge
    assert (checked.dataset, checked.seeds) == ("wbcbench", 5)
    assert (own.train.patience, own.train.monitor) == (5, "val_macro_f1")
    baseline = own.variants.root["baseline"]
    assert (baseline.arguments["backbone"], baseline.weights) == ("efficientnetv2_b0", "imagenet")
    assert baseline.stages["head"]["learning_rate"] == 1e-4
    assert baseline.stages["head"]["freeze"] == ["backbone"]
    gradual = own.variants.root["gradual"].stages
    assert [*gradual] == ["head", "top", "all"]
    assert gradual["top"]["learning_rate"] == 1e-5
    assert gradual["all"]["learning_rate"] < gradual["top"]["learning_rate"]
    assert own.views.root["image"] == [
        {"full_resolution": {}},
        {"pad_square": {}},
        {"resize": {"size": 224}},
    ]
    epochs = {name: stage["epochs"] for name, stage in gradual.items()}
    (whole,) = own.variants.root["fine_tuned"].stages.values()
    assert "freeze" not in whole
    assert whole["epochs"] == epochs["top"] + epochs["all"]
    assert whole["learning_rate"] == gradual["top"]["learning_rate"]
    on_the_same = {
        name
        for name, variant in own.variants.networks.items()
        if variant.arguments.get("backbone") == "efficientnetv2_b0"
    }
    assert {"class_weights", "focal_loss", "gradual", "detector_crops", "combined"} <= on_the_same


def test_more_epochs_by_command_are_as_many_for_gradual_as_for_what_it_is_held_against(load):
    own = load(None, challenge={"train": {"epochs": 10}}).challenge
    (whole,) = own.variants.root["fine_tuned"].stages.values()
    assert whole["epochs"] == 10 + 10


@pytest.mark.parametrize("env", [None, "test", "paper"])
def test_the_curriculum_learns_for_as_many_epochs_as_what_it_is_held_against(load, env):
    own = load(env).challenge
    epochs = [
        [stage.epochs for stage in merge_stages(own.train, own.variants.root[name].stages).values()]
        for name in ("curriculum", "hard_augmentation")
    ]
    assert epochs[0] == epochs[1]


@pytest.mark.parametrize("env", [None, "test", "paper"])
def test_all_views_begin_alike_so_that_they_show_an_image_under_one_degradation(load, env):
    views = load(env).challenge.views.root
    assert len({"full_resolution" in steps[0] for steps in views.values()}) == 1


@pytest.mark.parametrize("env", [None, "paper", "test"])
def test_ensembles_choose_from_all_networks_with_weights_of_their_own(load, env):
    variants = load(env).challenge.variants
    same = {name for name, own in variants.networks.items() if own.turns or own.prior_correction}
    ensembles = variants.combinations()
    backbones, _, best = ensembles.pop("best_backbone")
    assert ("baseline" in backbones, best) == (True, 1)
    for members, _, _ in ensembles.values():
        assert {*variants.networks} - {*members} == same - {"combined"}


def test_a_trained_detector_takes_the_place_of_what_stands_out(load, tmp_path):
    own = load(None).challenge
    assert own.views.root["crop"][0] == {"stain_region": {}}
    assert own.experiments.rows["detector_crops"] == "detector crops (cropped by stain)"
    from wbc_pipeline.config import cell_finder, cropped_by

    assert cropped_by("a/folder") == "a trained detector"
    assert cell_finder("a/folder") == {"detector_region": {"model": "a/folder"}}
    with pytest.raises(Exception, match="there is no trained detector in"):
        load(None, challenge={"detector": str(tmp_path)})
