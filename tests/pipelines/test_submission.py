"""A challenge's data from folder to submission, and why there is none."""

import numpy as np
import pandas as pd
import pytest
import torch
from challenge_files import PREFIXES, make_challenge
from kept_results import result_of

from wbc_pipeline.datasets.images import open_images
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.datasets.source import Source
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.splitting.absent_classes import describe_left_out
from wbc_pipeline.pipelines.submission.nodes import predict_unlabelled, write_submissions
from wbc_pipeline.training.predict import predict_probabilities
from wbc_pipeline.training.tasks.restoration import restore

VARIANTS = {
    "both": {"ensemble": ["normal", "adaptive_blend"], "combine": "weighted"},
    "restored": {"network": "normal_cnn", "restorer": "small"},
}
BLEND = {
    "variants": VARIANTS,
    "shift": {"train": [{"random_degradation": {"severities": [0, 0, 0, 1, 1, 1]}}]},
    "restorers": {
        "small": {
            "arguments": {"filters": [4, 8]},
            "train": {"epochs": 1, "batch_size": 8, "learning_rate": 0.02},
        }
    },
}
QUIET = {"tracking": {"enabled": False}}


@pytest.fixture(scope="module")
def challenge(real_data, tmp_path_factory):
    """The folder of a challenge."""
    raw = tmp_path_factory.mktemp("raw")
    make_challenge(raw, real_data / "PBC_dataset_normal_DIB")
    return raw


@pytest.fixture(scope="module")
def submitted(run_pipeline, challenge, tmp_path_factory):
    """The outputs of one run on that folder."""
    data = tmp_path_factory.mktemp("submitted")
    run_pipeline(
        "blend",
        data,
        dataset="wbcbench",
        raw=str(challenge),
        protocols="published+source",
        variants="both+restored",
        blend=BLEND,
        **QUIET,
    )
    return data


def read(data, place):
    folder, _, file = place.partition("/")
    return pd.read_parquet(data / folder / "wbcbench" / file)


def test_twins_and_patients_never_part_under_the_leak_free_protocol(submitted):
    manifest = read(submitted, "02_intermediate/manifest.parquet")
    splits = read(submitted, "05_model_input/splits.parquet").query("protocol == 'source'")
    rows = splits.merge(manifest, on="image_id")
    for column in ("source_id", "patient"):
        assert rows.groupby(column)["part"].nunique().max() == 1
        assert rows[column].duplicated().any()


def test_under_published_the_evaluated_part_is_tested_as_the_test_part_has_no_labels(submitted):
    splits = read(submitted, "05_model_input/splits.parquet").query("protocol == 'published'")
    folder = splits["image_id"].str.rpartition("/")[0]
    assert set(folder[splits["part"] == "test"]) == {"phase2/eval"}
    assert set(folder[splits["part"] != "test"]) == {"phase1", "phase2/train"}
    page = (submitted / "08_reporting/wbcbench/blend/report.html").read_text()
    assert "published validation part (10 images) is tested" in page


def test_under_published_no_network_learns_from_twins_of_what_is_tested(
    run_pipeline, real_data, tmp_path, caplog
):
    raw = tmp_path / "raw"
    make_challenge(raw, real_data / "PBC_dataset_normal_DIB", parted=1)
    data = tmp_path / "data"
    how = {"to_nodes": ["splitting.collect_splits"]}
    run_pipeline(
        "blend", data, how=how, dataset="wbcbench", raw=str(raw), protocols="published", **QUIET
    )
    manifest = read(data, "02_intermediate/manifest.parquet")
    splits = read(data, "05_model_input/splits.parquet")
    rows = splits.merge(manifest[["image_id", "source_group", "published_part"]], on="image_id")
    assert rows.groupby("source_group")["part"].nunique().max() == 1
    tested = rows[rows["part"] == "test"]
    assert len(tested) == 3 * len(PREFIXES)
    left_out = manifest[manifest["label"].notna() & ~manifest["image_id"].isin(rows["image_id"])]
    assert set(left_out["published_part"]) == {"train"}
    assert set(left_out["source_group"]) <= set(tested["source_group"])
    [said] = describe_left_out(splits, manifest)
    assert f"{len(left_out)} images of the training part" in said and said in caplog.text


@pytest.mark.parametrize("variant", ["normal", "adaptive_blend", "both", "restored"])
def test_a_submission_answers_each_test_image_once(variant, submitted, challenge):
    reports = submitted / "08_reporting/wbcbench/blend"
    submission = pd.read_csv(reports / f"submission_{variant}.csv")
    asked = pd.read_csv(challenge / "wbc-bench-2026/phase2_test.csv")
    assert list(submission) == ["ID", "labels"]
    assert submission["ID"].tolist() == asked["ID"].tolist()
    assert set(submission["labels"]) <= set(PREFIXES)
    predictions = read(submitted, "07_model_output/blend/submission_predictions.parquet")
    run = predictions.query("variant == @variant").set_index("image_id").filter(regex="^p_")
    answer = run.loc["phase2/test/" + asked["ID"]].idxmax(axis=1).str.removeprefix("p_")
    assert submission["labels"].tolist() == answer.tolist()
    listed = pd.read_csv(reports / "submissions.csv").set_index("variant")
    assert listed.loc[variant, "images"] == len(asked)


def test_a_variant_behind_a_restorer_answers_images_that_it_has_restored(submitted):
    models = submitted / "06_models/wbcbench/blend"
    network, description = load_network(result_of(models, "restored/published-0"))
    restorer, _ = load_network(result_of(models / "restorers", "small/published-0"))
    image = open_images(Result(result_of(submitted / "04_feature/wbcbench/blend", "image"))).pixels
    manifest = read(submitted, "02_intermediate/manifest.parquet").query("status == 'ok'")
    rows = np.flatnonzero(manifest["published_part"] == "test")
    cpu = torch.device("cpu")
    restored = restore(restorer, image, rows, device=cpu)
    expected, _ = predict_probabilities(network, [restored], np.arange(len(rows)), device=cpu)
    predictions = read(submitted, "07_model_output/blend/submission_predictions.parquet")
    found = predictions.query("variant == 'restored'").set_index("image_id")
    found = found.loc[manifest["image_id"].iloc[rows], [f"p_{c}" for c in description["classes"]]]
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=1e-3)


def test_images_without_labels_are_scored_nowhere(submitted):
    predictions = read(submitted, "07_model_output/blend/predictions.parquet")
    assert predictions["label"].notna().all()
    assert not predictions["image_id"].str.startswith("phase2/test").any()


def images(**columns):
    """A table of images of a challenge as ingestion leaves it."""
    ids = ["phase1/1.jpg", "phase2/test/7.jpg", "phase2/test/8.jpg"]
    table = pd.DataFrame({"image_id": ids, "dataset": "wbcbench", "status": "ok"})
    parts, labels = ["train", "test", "test"], ["LY", None, None]
    return table.assign(published_part=parts, label=labels, **columns)


class Asking(Source):
    """A source that asks for two images."""

    def list_submission(self):
        return pd.DataFrame({"image_id": ["phase2/test/8.jpg", "phase2/test/7.jpg"], "ID": [8, 7]})


ASKING = Asking(name="wbcbench", raw=None, data=None)
PUBLISHED = pd.DataFrame({"image_id": ["phase1/1.jpg"], "protocol": ["published"], "seed": [0]})
PREDICTED = pd.DataFrame(
    {"image_id": ["phase2/test/7.jpg", "phase2/test/8.jpg"], "variant": "normal", "seed": 0}
    | {"p_LY": [0.9, 0.2], "p_MO": [0.1, 0.8]}
)


def test_the_order_is_that_of_the_challenge():
    files, _ = write_submissions(ASKING, images(), PUBLISHED, PREDICTED)
    assert files["submission_normal"].to_numpy().tolist() == [[8, "MO"], [7, "LY"]]


@pytest.mark.parametrize(
    ("manifest", "splits", "predicted", "why"),
    [
        (
            images(),
            PUBLISHED.assign(protocol="source"),
            PREDICTED[:0],
            "params=protocols=published",
        ),
        (
            images(),
            PUBLISHED,
            PREDICTED[:1],
            "1 of 2 test images were refused, such as 'phase2/tes",
        ),
        (
            images().assign(label="LY"),
            PUBLISHED,
            PREDICTED[:0],
            "has a label, so that it is scored",
        ),
    ],
)
def test_without_a_whole_submission_the_reason_is_said(manifest, splits, predicted, why, caplog):
    files, items = write_submissions(ASKING, manifest, splits, predicted)
    assert files == {}
    assert why in items["submissions"]["finding"].item()
    assert why in caplog.text


def test_a_data_set_of_no_challenge_has_nothing_to_submit():
    source = Source(name="pbc", raw=None, data=None)
    assert write_submissions(source, images(), PUBLISHED, PREDICTED[:0]) == ({}, {})


def test_nothing_is_predicted_anew_where_every_test_image_has_a_label():
    done = predict_unlabelled(
        manifest=images().assign(label="LY"),
        splits=PUBLISHED,
        **dict.fromkeys(("views", "trainings", "variants", "device", "chosen")),
        **dict.fromkeys(("restorers", "trained_restorers")),
    )
    assert done == {}
