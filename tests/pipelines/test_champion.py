"""A champion answers as it was scored."""

import json

import pandas as pd
import pytest

from wbc_pipeline.datasets.comparison import OutputsDataset
from wbc_pipeline.keys import digest
from wbc_pipeline.pipelines.compare.champion import choose_champion

RUN = {"protocol": "source", "seed": 0, "fold": 0}


def leave(data, variant, *, network=None, scored=None, training=None, is_earlier=False):
    """What a training of a variant and its predictions leave."""
    key = {"params": {"variant": variant, **RUN}, "data": {}, "code": {}}
    described = {"name": "normal_cnn", "classes": ["a"], "trained_as": {}} | (network or {})
    if is_earlier:
        del described["trained_as"]
    params = {"variant": variant, **RUN} | (scored or {})
    predicted = {"params": params, "data": {"training": training or digest(key)}, "code": {}}
    models, runs = data / "06_models/demo/blend", data / "07_model_output/demo/blend/runs"
    for home, own, more in ((models, key, described), (runs, predicted, None)):
        folder = home / f"{variant}/source-0-abc"
        folder.mkdir(parents=True)
        (folder / "key.json").write_text(json.dumps(own))
        if more:
            (folder / "network.json").write_text(json.dumps(more))
        latest = home / "latest.json"
        known = json.loads(latest.read_text()) if latest.is_file() else {}
        known[f"{variant}/source-0"] = f"{variant}/source-0-abc"
        latest.write_text(json.dumps(known))


@pytest.fixture
def choose(tmp_path):
    """Choose among ``second`` and a better variant, of which the log may say something."""
    reports = tmp_path / "08_reporting/demo/blend"
    reports.mkdir(parents=True)
    for name in ("published", "runs"):
        (reports / f"{name}.csv").touch()
    leave(tmp_path, "second")
    (tmp_path / "07_model_output/demo/blend/predictions.parquet").touch()

    def choose(**left):
        leave(tmp_path, "best", **left)
        rows = [("blend", "best", 0.9), ("blend", "second", 0.8), ("blend", "ensemble", 0.95)]
        board = pd.DataFrame(rows, columns=["paper", "variant", "macro_f1"])
        board = board.assign(protocol="source", classes=1, macro_f1_low=0.7, macro_f1_high=1.0)
        outputs = OutputsDataset(filepath=str(tmp_path), name="demo").load()
        return choose_champion(outputs, board, {"blend": {}}, "demo")["variant"]

    return choose


@pytest.mark.parametrize(
    "left",
    [
        {},
        {"network": {"turns": True}, "scored": {"turns": True}},
        {"network": {"turns": True}, "scored": {"refine": {"turns": True, "fill": False}}},
        {"scored": {"refine": {"turns": False}}},
        {"is_earlier": True},
    ],
)
def test_the_best_network_that_answers_as_it_was_scored_is_chosen(choose, left):
    assert choose(**left) == "best"


@pytest.mark.parametrize(
    ("left", "said"),
    [
        ({"scored": {"turns": True}}, "turns is True in its scores and False in its network"),
        ({"network": {"prior_correction": 0.5}}, "prior_correction is 0 in its scores and 0.5"),
        ({"training": "another"}, "its scores are not of its last training"),
        ({"network": {"restorer": "unet"}}, "the restorer unet stands before it"),
    ],
)
def test_a_network_that_answers_otherwise_is_not_crowned_and_the_log_says_why(
    choose, caplog, left, said
):
    assert choose(**left) == "second"
    assert f"blend/best under source cannot be the champion: {said}" in caplog.text


def test_a_network_of_which_nobody_knows_whether_a_restorer_stands_before_it_is_not_crowned(
    choose, caplog, tmp_path
):
    restorer = tmp_path / "06_models/demo/blend/restorers/unet/source-0-abc"
    restorer.mkdir(parents=True)
    (restorer / "key.json").touch()
    assert choose(is_earlier=True) == "second"
    assert "nothing there says whether it looks at images as they come" in caplog.text
