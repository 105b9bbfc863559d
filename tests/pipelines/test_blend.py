import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_results import result_of, variants_of, write_times
from sklearn.metrics import accuracy_score, f1_score, log_loss

from wbc_pipeline.models import load_network

PROJECT = Path(__file__).parents[2]
VARIANTS = variants_of("blend")
RUN_KEYS = ["variant", "protocol", "seed"]
WEIGHTS = "06_models/*/blend/*/[!.]*/weights.safetensors"


def left_over(data):
    """Hidden files of work that goes on, or was broken off; the lists of report items are none."""
    hidden = [path for path in data.rglob(".*") if "08_reporting" not in path.parts]
    return hidden + [path for path in data.rglob(".*") if path.suffix != ".json"]


def test_all_outputs_stand_where_the_design_says(blended):
    reports = blended / "08_reporting/demo/blend"
    for name in ("metrics.csv", "metrics_by_fold.csv", "published.csv", "report.html"):
        assert (reports / name).is_file()
    assert (blended / "07_model_output/demo/blend/predictions.parquet").is_file()
    assert not left_over(blended)


def test_whether_the_printed_numbers_can_be_right_stands_in_the_report(blended):
    page = (blended / "08_reporting/demo/blend/report.html").read_text()
    assert "98.80 % is 741 of 750; 99.07 % is 743 of 750." in page
    assert "5 classes bound the whole at 1.784" in page


def test_the_report_begins_with_the_verdict_its_picture_and_links(blended):
    reports = blended / "08_reporting/demo/blend"
    page = (reports / "report.html").read_text()
    (verdict,) = pd.read_csv(reports / "verdict.csv").to_dict("records")
    assert verdict["verdict"] == "other images"  # the demo is none of the paper's
    order = [verdict["finding"], 'id="figure-headline"', "What to look at next", "<h2>"]
    assert [page.index(text) for text in order] == sorted(page.index(text) for text in order)
    assert page.index('id="table-beside_published"') < page.index('id="chart-score_intervals"')


def test_people_explore_scores_curves_noise_and_confusion_offline(blended):
    page = (blended / "08_reporting/demo/blend/report.html").read_text()
    for name in ("score_intervals", "training_curves", "robustness_curves"):
        assert f'id="chart-{name}"' in page and f'id="figure-{name}"' not in page
    assert 'id="explorer-confusion"' in page and page.count("data:image/webp") >= 1
    assert len(page) < 10_000_000


def test_every_variant_protocol_and_seed_is_scored(blended):
    metrics = pd.read_csv(blended / "08_reporting/demo/blend/metrics.csv")
    assert len(metrics) == len(VARIANTS) * 2
    assert set(metrics["variant"]) == set(VARIANTS)
    assert set(metrics["protocol"]) == {"random", "source"}


def test_scores_can_be_recomputed_from_predictions(blended):
    predictions = pd.read_parquet(blended / "07_model_output/demo/blend/predictions.parquet")
    metrics = pd.read_csv(blended / "08_reporting/demo/blend/metrics.csv").set_index(RUN_KEYS)
    columns = [name for name in predictions if name.startswith("p_")]
    classes = [name.removeprefix("p_") for name in columns]
    for keys, run in predictions[predictions["part"] == "test"].groupby(RUN_KEYS):
        probabilities = run[columns].to_numpy()
        guessed = np.array(classes)[probabilities.argmax(axis=1)]
        row = metrics.loc[keys]
        assert row["accuracy"] == pytest.approx(accuracy_score(run["label"], guessed), abs=1e-6)
        assert row["macro_f1"] == pytest.approx(
            f1_score(run["label"], guessed, labels=classes, average="macro", zero_division=0),
            abs=1e-6,
        )
        assert row["log_loss"] == pytest.approx(
            log_loss(run["label"], probabilities, labels=classes), abs=1e-6
        )


def test_predictions_are_of_the_validation_and_test_parts_alone(blended):
    predictions = pd.read_parquet(blended / "07_model_output/demo/blend/predictions.parquet")
    splits = pd.read_parquet(blended / "05_model_input/demo/splits.parquet")
    predicted = splits[splits["part"] != "train"]
    assert set(predicted["part"]) == {"validation", "test"}
    for variant, run in predictions.groupby("variant"):
        merged = run.merge(predicted, on=list(splits))
        assert len(merged) == len(run) == len(predicted), variant


def test_chosen_variants_are_cross_validated_by_source(run_pipeline, tmp_path):
    run_pipeline(
        "blend",
        tmp_path,
        variants="normal+blend",
        protocols="source",
        splitting={"folds": 2},
        tracking={"enabled": False},
    )
    predictions = pd.read_parquet(tmp_path / "07_model_output/demo/blend/predictions.parquet")
    manifest = pd.read_parquet(tmp_path / "02_intermediate/demo/manifest.parquet")
    assert set(predictions["variant"]) == {"normal", "blend"}
    for _, run in predictions[predictions["part"] == "test"].groupby("variant"):
        assert sorted(run["image_id"]) == sorted(manifest["image_id"])
    runs = pd.read_csv(tmp_path / "08_reporting/demo/blend/runs.csv")
    assert runs["fold"].tolist() == [0, 1, 0, 1]


def test_a_variant_that_the_paper_has_not_is_an_error_that_names_those_it_has(
    run_pipeline, tmp_path
):
    with pytest.raises(
        ValueError, match="variants: blend has no variant 'nromal'; known are normal"
    ):
        run_pipeline("blend", tmp_path, variants="nromal")


def test_report_opens_offline_and_is_called_demo(blended):
    page = (blended / "08_reporting/demo/blend/report.html").read_text()
    assert "DEMO DATA" in page
    assert 'src="http' not in page
    assert page.count("<img") >= 10


def test_saved_networks_rebuild(blended):
    saved = list(blended.glob("06_models/demo/blend/*/*/network.json"))
    assert saved
    for file in saved:
        network, description = load_network(file.parent)
        assert description["classes"] == ["basophil", "lymphocyte", "seg_neutrophil"]
        assert not network.training


def test_a_second_run_trains_nothing(run_pipeline, blended):
    before = write_times(blended, WEIGHTS)
    run_pipeline("blend", blended)
    assert before and write_times(blended, WEIGHTS) == before


def test_changed_parameters_make_runs_again_and_only_those(run_pipeline, blended, tmp_path):
    data = shutil.copytree(blended, tmp_path / "data")
    before = write_times(data, WEIGHTS)
    variants = {"blend": {"arguments": {"alpha": 0.3}}}
    run_pipeline("blend", data, blend={"variants": variants})
    after = write_times(data, WEIGHTS)
    assert before.items() <= after.items()  # those of the old parameters stay
    made = [path.parent.parent.name for path in after.keys() - before.keys()]
    assert made == ["blend", "blend"]  # one under each protocol


def test_two_data_sets_do_not_overwrite_each_other(run_pipeline, tmp_path, blended):
    images = next(blended.glob("01_raw/demo/*/images"))
    run_pipeline(
        "blend",
        tmp_path,
        dataset="image_folder",
        sources={"image_folder": {"folder": str(images)}},
        protocols=["random"],
    )
    page = (tmp_path / "08_reporting/image_folder/blend/report.html").read_text()
    headings = re.findall("<h2>(.*)</h2>", page)  # on the user's images, the user's scores first
    assert headings[0] == "Published, reproduced, leak-free"
    assert not (tmp_path / "08_reporting/demo").exists()


def test_missing_data_set_says_where_it_looked_and_what_to_do(run_pipeline, tmp_path):
    with pytest.raises(Exception, match="dataset=demo") as caught:
        run_pipeline("blend", tmp_path, dataset="leukemia5", raw=str(tmp_path))
    assert str(tmp_path) in str(caught.value)


@pytest.mark.slow
def test_interrupted_command_goes_on_with_what_is_missing(tmp_path):
    command = [
        sys.executable,
        "-m",
        "kedro",
        "run",
        "--env=test",
        "--pipelines=blend",
        f"--params=data={tmp_path},seeds=2,blend.train.epochs=2,blend.train.patience=2",
    ]
    interrupted = subprocess.Popen(command, cwd=PROJECT, stderr=subprocess.DEVNULL)
    while len(write_times(tmp_path, WEIGHTS)) < 2:
        assert interrupted.poll() is None
        time.sleep(0.1)
    interrupted.send_signal(signal.SIGKILL)
    interrupted.wait()
    before = write_times(tmp_path, WEIGHTS)
    assert len(before) < len(VARIANTS) * 4
    subprocess.run(command, cwd=PROJECT, check=True, capture_output=True, env=os.environ)
    after = write_times(tmp_path, WEIGHTS)
    assert len(after) == len(VARIANTS) * 4
    assert before.items() <= after.items()
    assert not left_over(tmp_path)


def test_keys_name_what_a_run_depends_on(blended):
    training = result_of(blended / "06_models/demo/blend", "normal/random-0")
    key = json.loads((training / "key.json").read_text())
    assert {"variant", "protocol", "seed", "fold", "network", "arguments", "stages"} <= set(
        key["params"]
    )
    assert {"views", "rows", "labels"} <= set(key["data"])
    assert {"models/normal_cnn.py", "training/fit.py"} <= set(key["code"])
