"""Leaderboards of what papers have left, and other people's predictions on them."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
from figure_texts import check
from kept_results import write_times
from mlflow.utils.file_utils import local_file_uri_to_path

from wbc_pipeline.errors import UserError
from wbc_pipeline.pipelines.compare.options import CompareOptions
from wbc_pipeline.pipelines.compare.pages import compare_datasets
from wbc_pipeline.pipelines.papers import PAPERS
from wbc_pipeline.pipelines.reporting.options import ScoreOptions
from wbc_pipeline.tracking.saved_model import SavedModelDataset

VARIANTS = {"normal", "blend", "learnable_canny", "soft_mask", "adaptive_blend"}


@pytest.fixture(scope="module")
def compared(run_pipeline, blended, tmp_path_factory):
    """A data folder in which ``blend`` alone was run, and compared."""
    data = shutil.copytree(blended, tmp_path_factory.mktemp("compared") / "data")
    run_pipeline("compare", data)
    return data


@pytest.fixture(scope="module")
def dealt(run_pipeline, tmp_path_factory):
    """A data folder with images and splits, and nothing trained."""
    data = tmp_path_factory.mktemp("dealt")
    run_pipeline("splitting", data, protocols="source")
    return data


def reports_of(data):
    return data / "08_reporting/demo/compare"


def answer(data, file, **columns):
    """Somebody's answers to the test part of ``source``, all of them right."""
    splits = pd.read_parquet(data / "05_model_input/demo/splits.parquet")
    manifest = pd.read_parquet(data / "02_intermediate/demo/manifest.parquet")
    tested = splits[(splits["protocol"] == "source") & (splits["part"] == "test")]
    answers = tested[["image_id"]].merge(manifest[["image_id", "label"]], on="image_id")
    answers.assign(**columns).to_csv(file, index=False)
    return str(file)


def test_every_variant_of_a_paper_has_a_line_for_each_protocol(compared):
    board = pd.read_csv(reports_of(compared) / "leaderboard.csv")
    assert set(board["variant"]) == VARIANTS and len(board) == 2 * len(VARIANTS)
    marks = board.groupby("protocol")["leak"].unique().map(list).to_dict()
    assert marks == {"source": ["leak-free"], "random": ["LEAKS"]}
    metrics = pd.read_csv(compared / "08_reporting/demo/blend/metrics.csv")
    both = board.merge(metrics, on=["variant", "protocol"], suffixes=("", "_of_paper"))
    for column, metric in (
        ("accuracy", "accuracy_of_paper"),
        ("balanced_accuracy", "macro_recall"),
    ):
        pd.testing.assert_series_equal(both[column], both[metric], check_names=False)
    costs = ["parameters", "flops", "training_seconds", "inference_ms", "noise_area"]
    assert board[costs].notna().all(axis=None)


def test_the_page_names_papers_that_were_not_run_and_the_command_for_each(compared):
    lacking = pd.read_csv(reports_of(compared) / "not_run.csv").set_index("paper")["command"]
    assert set(lacking.index) == {paper.name for paper in PAPERS} - {"blend"}
    page = (reports_of(compared) / "report.html").read_text()
    assert "DEMO DATA" in page
    for paper, command in lacking.items():
        assert command.startswith(f"kedro run --pipeline={paper} --params=")
        assert "dataset=demo" in command and command in page


def test_the_page_leads_to_the_card_of_the_champion(compared):
    page = (reports_of(compared) / "report.html").read_text()
    (address,) = re.findall(r'<a href="(champion/[^"]+)">model card of blend/', page)
    assert (reports_of(compared) / address).is_file()


def test_verdicts_on_demo_data_claim_nothing_of_a_paper(compared):
    verdicts = pd.read_csv(reports_of(compared) / "verdicts.csv")
    assert verdicts["verdict"].tolist() == ["other images"]
    assert "images of demo neither confirm nor refute it" in verdicts["finding"].item()


def test_the_index_leads_to_the_leaderboard_and_keeps_demo_data_apart(compared):
    index = (compared / "08_reporting/index.html").read_text()
    assert '<a href="demo/compare/report.html">demo</a>' in index
    assert "DEMO DATA" in index and 'id="table-leaderboards"' not in index


def test_models_are_ranked_over_real_data_sets_that_share_them(compared):
    tables = {
        name: pd.read_csv(reports_of(compared) / f"{name}.csv")
        for name in ("leaderboard", "verdicts")
    }
    tables["leaderboard"]["macro_f1"] = 0.9 - tables["leaderboard"].index / 20  # no ties
    score = ScoreOptions(bins=15, resamples=100, level=0.95)
    how = {"options": CompareOptions(score=score, leading=5, shown=5), "dataset": "demo"}
    shared = compare_datasets(dict.fromkeys(["lisc", "pbc", "all_idb2"], tables), **tables, **how)
    assert list(shared) == ["leaderboards", "verdicts", "ranks", "critical_differences", "demo"]
    check(shared["critical_differences"], "protocol: source", "3 data sets, Friedman p = ")
    shared = compare_datasets(dict.fromkeys(["lisc", "pbc"], tables), **tables, **how)
    assert list(shared) == ["leaderboards", "verdicts", "demo"]


def test_the_best_leak_free_network_is_the_champion_of_the_registry(compared, monkeypatch):
    import mlflow

    uri = f"sqlite:///{compared}/mlflow.db"
    card = reports_of(compared) / "champion"
    champion = json.loads((card / "champion.json").read_text())
    board = pd.read_csv(reports_of(compared) / "leaderboard.csv")
    best = board[board["protocol"] == "source"]["macro_f1"].max()
    assert (champion["protocol"], champion["macro_f1"]) == ("source", pytest.approx(best))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client = mlflow.MlflowClient(uri)
    version = client.get_model_version_by_alias("wbc_demo", "champion")
    run = client.get_run(version.run_id)
    assert (run.data.tags["key"], run.data.tags["protocol"]) == (champion["key"], "source")
    asked = SavedModelDataset(filepath="models:/wbc_demo@champion", home=".", uri=uri).load()
    assert asked.training["variant"] == champion["variant"]
    model = mlflow.MlflowClient(uri).get_logged_model(version.source.removeprefix("models:/"))
    logged = Path(local_file_uri_to_path(model.artifact_location))
    assert (logged / "README.md").read_text() == (card / "README.md").read_text()
    assert (compared / champion["folder"] / "weights.safetensors").is_file()


def test_the_card_says_what_the_champion_is_worth_and_where_it_fails(compared):
    card = reports_of(compared) / "champion"
    text = (card / "README.md").read_text()
    assert "kedro run --pipeline=predict" in text and f"data={compared}" in text
    assert "images=~/slides,model=models:/wbc_demo@champion" in text
    assert "dataset=" not in text.partition("## Use")[2].partition("## Model")[0]
    assert "DEMO DATA" in text and "Not for clinical use" in text and "Licence" in text
    by_class = pd.read_csv(card / "class_scores.csv")
    for row in by_class.to_dict("records"):
        assert f"| {row['label']} | {row['images']} |" in text
        assert row["f1_low"] <= row["f1"] <= row["f1_high"]
    assert "- `demo`, demo smears, rendered by this project: MIT" in text
    assert "![" in text and (card / "failures.png").stat().st_size > 10_000


def test_a_submission_stands_beside_ours_and_stays(run_pipeline, compared, tmp_path):
    data = shutil.copytree(compared, tmp_path / "data")
    theirs = answer(data, tmp_path / "theirs.csv")
    told = {"submission_name": "their_net", "submission_training": "ImageNet"}
    run_pipeline("compare", data, submission=theirs, **told)
    board = pd.read_csv(reports_of(data) / "leaderboard.csv")
    row = board[board["paper"] == "submission"].iloc[0]
    assert (row["variant"], row["protocol"], row["place"]) == ("their_net", "source", 1)
    assert (row["accuracy"], row["training_data"]) == (1, "ImageNet")
    tests = pd.read_csv(reports_of(data) / "leaders.csv")
    of_source = tests[tests["protocol"] == "source"]
    assert set(of_source["reference"]) == {"submission/their_net"}
    assert (of_source["gain"] > 0).all() and of_source["p_sources"].notna().all()
    kept = "07_model_output/demo/compare/operations/*/*/*"
    before = write_times(data, kept)
    run_pipeline("compare", data)
    assert before and write_times(data, kept) == before  # each network is counted once
    again = pd.read_csv(reports_of(data) / "leaderboard.csv")
    pd.testing.assert_frame_equal(again, board)


def test_a_submission_needs_splits_and_no_training(run_pipeline, dealt, tmp_path):
    run_pipeline("compare", dealt, submission=answer(dealt, tmp_path / "theirs.csv"))
    assert not (reports_of(dealt) / "champion").exists()  # others' answers are no model
    board = pd.read_csv(reports_of(dealt) / "leaderboard.csv")
    assert board[["variant", "training_data"]].to_numpy().tolist() == [["theirs", "unstated"]]
    assert len(pd.read_csv(reports_of(dealt) / "not_run.csv")) == len(PAPERS)


def test_a_refused_submission_leaves_nothing(run_pipeline, dealt, tmp_path):
    file = tmp_path / "wrong.csv"
    answer(dealt, file)
    table = pd.read_csv(file)
    table.iloc[1:].to_csv(file, index=False)
    with pytest.raises(UserError, match=f"missing in the submission.*{table['image_id'][0]}"):
        run_pipeline("compare", dealt, submission=str(file))
    assert not (dealt / "07_model_output/demo/compare/submissions/wrong.parquet").exists()


def test_without_images_or_papers_the_command_that_comes_first_is_named(run_pipeline, tmp_path):
    file = tmp_path / "theirs.csv"
    file.write_text("image_id,label\n1.png,basophil\n")
    with pytest.raises(UserError, match=r"`kedro run --pipeline=splitting --params=data="):
        run_pipeline("compare", tmp_path / "data", submission=str(file))
    with pytest.raises(UserError, match=r"No paper has been run on demo yet.*--pipeline=blend"):
        run_pipeline("compare", tmp_path / "data")
