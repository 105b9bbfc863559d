"""A pretrained network whose backbone stays fixed: a linear probe, and nearest neighbours."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from wbc_pipeline.errors import UserError
from wbc_pipeline.keys import code_digest
from wbc_pipeline.models import load_network
from wbc_pipeline.pipelines.experiment.options import Variant
from wbc_pipeline.pipelines.experiment.trainings import training_of
from wbc_pipeline.training.fit import Fit, fit

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def fixed(run_pipeline, tmp_path_factory):
    """The outputs of a run of ``blend`` whose variants are the two."""
    folder = tmp_path_factory.mktemp("fixed")
    conf = shutil.copytree(PROJECT / "conf", folder / "conf")
    shutil.rmtree(conf / "local")
    shutil.copytree(conf / "test", conf / "local")
    local = conf / "local/parameters_blend.yml"
    parameters = yaml.safe_load(local.read_text())
    parameters["blend"]["variants"] = {
        "probe": {
            "network": "pretrained_cnn",
            "arguments": {"mode": "linear"},
            "stages": {"head": {"cached_features": True, "augmentation": None}},
        },
        "neighbours": {
            "network": "pretrained_cnn",
            "arguments": {"mode": "knn", "neighbours": 5},
        },
    }
    local.write_text(yaml.safe_dump(parameters))
    chosen = {"variants": "probe+neighbours", "protocols": "source", "seeds": 1}
    run_pipeline("blend", folder / "data", env=None, conf=conf, **chosen)
    return folder / "data"


def result_of(data, variant):
    (file,) = data.glob(f"06_models/*/blend/{variant}/*/network.json")
    return file.parent


def test_neighbours_predict_every_image_that_the_probe_predicts(fixed):
    (file,) = fixed.glob("07_model_output/*/blend/predictions.parquet")
    predictions = pd.read_parquet(file)
    clean = predictions[predictions["condition"] == "clean"]
    seen = [set(part["image_id"]) for _, part in clean.groupby("variant")]
    assert len(seen) == 2
    assert seen[0] == seen[1]
    columns = [name for name in predictions if name.startswith("p_")]
    np.testing.assert_allclose(predictions[columns].sum(axis=1), 1)


def test_neighbours_remember_the_training_part_alone(fixed):
    folder = result_of(fixed, "neighbours")
    network, description = load_network(folder)
    (file,) = fixed.glob("05_model_input/*/splits*.parquet")
    splits = pd.read_parquet(file)
    run = splits[(splits["protocol"] == "source") & (splits["seed"] == 0)]
    assert description["arguments"]["memory"] == (run["part"] == "train").sum()
    assert len(network.head.known) == description["arguments"]["memory"]
    assert network.head.labels.max() == len(description["classes"]) - 1


def test_neighbours_settle_no_precision_for_other_variants(fixed):
    summary = json.loads((result_of(fixed, "neighbours") / "summary.json").read_text())
    assert summary["asked"] is None
    assert summary["epochs"] == 1


def test_no_schedule_is_in_the_key_of_neighbours(fixed):
    key = json.loads((result_of(fixed, "neighbours") / "key.json").read_text())
    assert key["params"]["stages"] == {}
    assert key["code"]["training/fit.py"] == code_digest(Fit)["training/fit.py"]  # no fitting
    assert "training/remember.py" in key["code"]
    probe = json.loads((result_of(fixed, "probe") / "key.json").read_text())
    assert probe["code"]["training/fit.py"] == code_digest(fit)["training/fit.py"]
    assert probe["params"]["stages"]


def test_stages_of_neighbours_are_refused():
    variant = Variant.model_validate(
        {"network": "pretrained_cnn", "arguments": {"mode": "knn"}, "stages": {"head": {}}}
    )
    with pytest.raises(UserError, match="sharp trains nothing, as its mode is knn"):
        training_of(variant, identity={"variant": "sharp"})
