import json

import cv2
import numpy as np
import pandas as pd
import pytest
from kept_results import result_of, shipped, variants_of
from sklearn.metrics import accuracy_score

from wbc_pipeline.imaging.chain import build_chain
from wbc_pipeline.models import load_network

TRAIN_IMAGES = 5
TABLES = (
    *("metrics", "metrics_by_fold", "published"),
    *("protocols", "recalls", "other_methods", "layers", "by_source"),
)
FIGURES = (
    "accuracy_by_protocol",
    "roc_curves",
    "hardest_sources",
    "preprocessing_stages",
    "confusion_matrices",
    "training_curves",
)


@pytest.fixture(scope="module")
def separated(run_pipeline, tmp_path_factory):
    """The outputs of one whole run, the leak-free protocol cross-validated."""
    data = tmp_path_factory.mktemp("separated")
    run_pipeline(
        "separable",
        data,
        variants="mixed+mixed_masked+mixed_unpadded+equal_16+compact",
        splitting={"folds": 2, "train_images": TRAIN_IMAGES},
        tracking={"enabled": False},
    )
    return data


@pytest.fixture
def report(separated):
    reports = separated / "08_reporting/demo/separable"
    return lambda name: pd.read_csv(reports / f"{name}.csv")


def test_all_outputs_stand_where_the_design_says(separated):
    reports = separated / "08_reporting/demo/separable"
    for name in (*(f"{table}.csv" for table in TABLES), "report.html"):
        assert (reports / name).is_file(), name
    for name in FIGURES:
        assert (reports / f"{name}.png").stat().st_size > 10_000, name


def test_the_report_names_what_the_accuracy_rests_on(separated):
    page = (separated / "08_reporting/demo/separable/report.html").read_text()
    for words in ("What the accuracy rests on", "Cells that fail", "Receiver operating", "DAFFNet"):
        assert words in page


def test_f1_of_every_row_of_table_2_stands_beside_ours_as_its_accuracy_does(report):
    table = report("published").set_index(["metric", "variant"])
    for metric, printed in {
        "accuracy": {"mixed": "0.9906", "equal_16": "0.9014", "leaky_relu": "0.9544 / 0.9621"},
        "macro_f1": {"mixed": "0.9905", "equal_16": "0.9019", "leaky_relu": "0.9551 / 0.9631"},
    }.items():
        rows = table.loc[metric]
        assert rows["published"].notna().sum() == 9
        assert rows["published"].loc[[*printed]].astype(str).to_dict() == printed
        assert rows.loc[["mixed", "equal_16"], ["reproduced", "leak_free"]].notna().all(axis=None)


def test_table_3_stands_above_ours_with_who_cuts_the_cell_out(report, separated):
    table = report("other_methods").set_index("method")
    printed = table[table["published"].notna()]
    assert len(printed) == 11 and [*table.index[:11]] == [*printed.index]
    assert printed.index[printed["segmentation"].astype(str) == "True"].tolist() == [
        *("MobileNet [20]", "Op-YOLOv8 [23]", "DAFFNet [24]", "Mix CNN")
    ]
    assert printed.loc["AlexNet, GoogLeNet, ResNet-50 [1]", "published"] == 0.9795
    assert printed.loc["CNN and RNN [22]", "published"] == 0.9589
    ours = table.loc[["ours, mixed"]]
    assert set(ours["split"]) == {"random", "source"} and ours["accuracy"].notna().all()
    page = (separated / "08_reporting/demo/separable/report.html").read_text()
    assert "DAFFNet of Table 3 was measured on six data sets" in page


def test_the_report_says_that_the_random_split_is_an_inference_and_what_supports_it(separated):
    page = (separated / "08_reporting/demo/separable/report.html").read_text()
    for words in ("The paper states no split", "nearest 99.04, 99.36 and 97.74"):
        assert words in page


def test_every_cell_is_tested_once_by_a_network_that_has_not_seen_it(separated):
    data = separated / "05_model_input/demo/splits.parquet"
    splits = pd.read_parquet(data).merge(
        pd.read_parquet(separated / "02_intermediate/demo/manifest.parquet"), on="image_id"
    )
    by_source = splits.query("protocol == 'source' and part != 'unused'")
    assert (by_source.groupby(["fold", "source_group"])["part"].nunique() == 1).all()
    predictions = pd.read_parquet(separated / "07_model_output/demo/separable/predictions.parquet")
    tested = predictions.query("protocol == 'source' and part == 'test'")
    assert (tested.groupby("variant")["image_id"].nunique() == splits["image_id"].nunique()).all()
    assert not tested.duplicated(["variant", "image_id"]).any()


def test_every_protocol_and_fold_learns_from_equally_many_images_and_the_report_says_so(separated):
    models = separated / "06_models/demo/separable"
    for run in ("random-0", "source-0", "source-0-fold1"):
        _, description = load_network(result_of(models, f"mixed/{run}"))
        assert sum(description["class_counts"]) == TRAIN_IMAGES
    page = (separated / "08_reporting/demo/separable/report.html").read_text()
    for protocol in ("random", "source"):
        assert f"Under the {protocol} protocol {TRAIN_IMAGES} images train in every split" in page


def test_a_cross_validated_score_is_that_of_all_folds_together(separated, report):
    predictions = pd.read_parquet(separated / "07_model_output/demo/separable/predictions.parquet")
    predictions = predictions[predictions["part"] == "test"].copy()
    columns = [name for name in predictions if name.startswith("p_")]
    guessed = np.array(columns)[predictions[columns].to_numpy().argmax(axis=1)]
    predictions["guessed"] = [name.removeprefix("p_") for name in guessed]
    protocols = report("protocols").set_index(["variant", "protocol"])
    for run, rows in predictions.groupby(["variant", "protocol"]):
        expected = accuracy_score(rows["label"], rows["guessed"])
        assert protocols.loc[run, "accuracy"] == pytest.approx(expected, abs=1e-6)


def test_the_layers_are_those_of_the_paper_but_for_its_misprint(report):
    layers = report("layers").dropna(subset="published").set_index("layer")
    differing = layers.index[layers["published"] != layers["ours"]]
    assert differing.tolist() == ["convolution_1"]
    assert len(layers) == 10


def test_a_variant_may_see_a_view_of_its_own_under_a_schedule_of_its_own(separated):
    models = separated / "06_models/demo/separable"
    for variant, finder in (("mixed", "clahe"), ("compact", "colour_region")):
        _, description = load_network(result_of(models, f"{variant}/source-0"))
        assert finder in description["views"]["image"][1]
    stages = {
        variant: json.loads((result_of(models, f"{variant}/source-0") / "key.json").read_text())[
            "params"
        ]["stages"]
        for variant in ("mixed", "compact")
    }
    assert stages["mixed"]["main"]["schedule"] == "constant"
    assert stages["compact"]["main"]["schedule"] == "one_cycle"


def test_only_chosen_variants_are_trained(separated):
    trained = {
        path.parent.parent.name for path in separated.glob("06_models/demo/separable/*/*/key.json")
    }
    chosen = {"mixed", "mixed_masked", "mixed_unpadded", "equal_16", "compact"}
    assert trained == chosen
    assert set(variants_of("separable")) - chosen


@pytest.fixture
def seen():
    """What the paper's views are of a violet cell on bright ground, at the file's own size."""
    photograph = cv2.circle(np.full((120, 160, 3), 225, np.uint8), (70, 60), 20, (110, 80, 190), -1)
    views = shipped("separable")["views"]
    return {name: build_chain(views[name][:-1]).run(photograph) for name in views}


def test_the_isolated_cell_is_the_crop_of_the_paper_without_its_background(seen):
    photograph, isolated = (seen[name] for name in ("image", "masked"))
    assert np.abs(np.subtract(photograph.region, isolated.region)).max() <= 1
    (left, top, right, bottom, _), pixels = isolated.region, isolated.image
    ground = pixels[top:bottom, left:right].max(axis=2) == 0
    assert ground[[0, 0, -1, -1], [0, -1, 0, -1]].all()
    assert 1 - ground.mean() == pytest.approx(np.pi / 4 / 1.2**2, abs=0.08)  # a disc, padded
    centre = (60, 70)
    assert (pixels[centre] == photograph.image[centre]).all()


def test_the_crop_without_padding_ends_where_the_violet_ends(seen):
    left, top, right, bottom, found = seen["unpadded"].region
    assert found and np.allclose([left, top, right, bottom], [50, 40, 91, 81], atol=1)
    padded = seen["image"].region
    assert np.allclose([left - padded.xmin, padded.ymax - bottom], 0.1 * 41, atol=1)
