"""Folders and tables as users bring them, from raw files to manifest, rejects and log."""

import csv
import subprocess
import sys
from pathlib import Path

import click
import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.imaging.packing import RejectedImagesError

PROJECT = Path(__file__).parents[2]


def draw(folder, *names):
    """Write images that all differ; an empty file where a name ends in ``!``."""
    random = np.random.default_rng(0)
    for name in names:
        path = folder / name.removesuffix("!")
        path.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("!"):
            path.touch()
        else:
            pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
            path.write_bytes(cv2.imencode(".png", pixels)[1])
    return folder


def table(folder, *rows, header=("path", "label"), name="cells.csv"):
    draw(folder, *(path for path, *_ in rows))
    rows = [[path.removesuffix("!"), *rest] for path, *rest in rows]
    with open(folder / name, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return folder


@pytest.fixture
def ingest(run_pipeline, tmp_path, untouched):
    """Ingest a folder of raw data and give its manifest and rejects; the folder stays as it was."""

    def run(raw, dataset="image_folder", ingestion=None, **options):
        untouched(raw)
        default = {"image_folder": {"folder": "."}, "table": {"file": "cells.csv"}}[dataset]
        sources = {dataset: default | options}
        parameters = {"dataset": dataset, "raw": str(raw), "sources": sources}
        run_pipeline("ingestion", tmp_path / "data", ingestion=ingestion or {}, **parameters)
        found = tmp_path / "data/02_intermediate" / dataset
        manifest = pd.read_parquet(found / "manifest.parquet")
        return manifest.set_index("image_id"), pd.read_csv(found / "rejects.csv")

    return run


def test_refused_images_are_counted_in_the_log_with_where_they_are_listed(ingest, tmp_path, caplog):
    raw = draw(tmp_path / "raw", *(f"{label}/{n}" for label in "ab" for n in range(6)), "a/bad!")
    _, rejects = ingest(raw, ingestion={"max_rejected": 0.1})
    assert rejects[["image_id", "status"]].to_numpy().tolist() == [["a/bad", "empty file"]]
    file = tmp_path / "data/02_intermediate/image_folder/rejects.csv"
    assert f"1 refused: 1 x empty file. {file} lists them." in caplog.messages


def test_too_many_refused_images_are_listed_before_they_stop_the_run(ingest, tmp_path, caplog):
    raw = draw(tmp_path / "raw", "a/1", "b/1", "a/2!", "b/2!")
    with pytest.raises(RejectedImagesError) as error:
        ingest(raw)
    assert str(error.value) == (
        "2 of 4 image files were refused, 50.00% where `ingestion.max_rejected` allows 5.00%: "
        f"2 x empty file. First files: {raw}/a/2 (empty file); {raw}/b/2 (empty file). The table "
        "of rejects lists them all. Mend or remove these files, or raise `ingestion.max_rejected`."
    )
    file = tmp_path / "data/02_intermediate/image_folder/rejects.csv"
    assert pd.read_csv(file)["image_id"].tolist() == ["a/2", "b/2"]
    assert f"2 refused: 2 x empty file. {file} lists them." in caplog.messages


def test_a_class_whose_only_image_was_refused_may_be_left_out(ingest, tmp_path, caplog):
    raw = draw(tmp_path / "raw", *(f"{label}/{n}" for label in "ab" for n in range(10)), "c/1!")
    with pytest.raises(RejectedImagesError, match=r"class c were .*lost_classes=warn`\.$"):
        ingest(raw)
    manifest, rejects = ingest(raw, ingestion={"lost_classes": "warn"})
    assert set(manifest.loc[manifest["status"] == "ok", "label"]) == {"a", "b"}
    assert rejects["image_id"].tolist() == ["c/1"]
    assert "Goes on without class 'c': all of its images were refused." in caplog.messages


def test_names_that_are_numbers_work(ingest, tmp_path):
    draw(tmp_path / "raw/2024", "a/1", "b/1")
    assert len(ingest(tmp_path / "raw", folder=2024)[0]) == 2
    table(tmp_path / "t", ("1.5", "x"), ("2.5", "y"), header=(1, 7), name="2024")
    names = {"file": 2024, "path_column": 1, "label_column": 7}
    assert ingest(tmp_path / "t", "table", **names)[0]["label"].tolist() == ["x", "y"]


def test_the_folders_training_and_testing_are_parts_and_never_classes(ingest, tmp_path):
    names = [f"{part}/{label}/1" for part in ("training", "testing") for label in "ab"]
    manifest, _ = ingest(draw(tmp_path / "raw", *names))
    assert set(manifest["label"]) == {"a", "b"}
    assert set(manifest["published_part"]) == {"train", "test"}


def test_a_patient_in_two_spellings_is_one_whom_no_split_parts(ingest, tmp_path, caplog):
    patients = ["P1", "P1 ", "p_1", "P2", "NaN", ""]
    rows = [(f"{n}", "xy"[n % 2], patient) for n, patient in enumerate(patients)]
    raw = table(tmp_path / "raw", *rows, header=("path", "label", "patient"))
    manifest, _ = ingest(raw, "table", patient_column="patient")
    groups = manifest["source_group"]
    assert groups["0"] == groups["1"] == groups["2"]
    assert groups.nunique() == 4
    assert manifest["patient"].fillna("").tolist() == ["P1", "P1", "P1", "P2", "", ""]
    assert manifest["warning"].dropna().to_dict() == {
        "2": "patient taken for one spelled alike: 'p_1' for 'P1'",
        "4": "patient missing: 'NaN' reads as no value",
    }
    said = [message for message in caplog.messages if "2 of 6 rows" in message]
    assert len(said) == 1
    for warning in ("patient taken for one spelled alike", "patient missing"):
        assert f"1 x {warning}, see the column `warning` of the manifest" in caplog.messages


def test_the_manifest_says_which_file_was_found_under_another_name(ingest, tmp_path):
    raw = table(tmp_path / "raw", ("Cell_1.png", "x"), ("c2.png", "y"))
    (raw / "cells.csv").write_text("path;label\r\ncell-1;x\r\nc2.png;y\r\n")
    manifest, rejects = ingest(raw, "table")
    assert rejects.empty
    assert manifest["warning"].dropna().to_dict() == {
        "Cell_1.png": "found under another name: 'cell-1' is 'Cell_1.png'"
    }


def test_an_empty_class_folder_is_warned_of_once_in_a_command(ingest, tmp_path, caplog):
    raw = draw(tmp_path / "raw", "a/1", "b/1")
    (raw / "c").mkdir()
    assert len(ingest(raw)[0]) == 2
    assert caplog.messages.count(f"Class folders without any file: {raw}/c.") == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "No class folders in"),
        (["a/1"], "Only one class, 'a'"),
        (["wrap/a/1", "wrap/b/1"], "set `sources.image_folder.folder` to .*/raw/wrap;"),
        (["train/a/1", "a/1"], "mixes the parts train with other folders: a"),
    ],
)
def test_a_wrong_layout_is_one_error_before_any_node(ingest, tmp_path, names, message):
    (tmp_path / "raw").mkdir()
    with pytest.raises(click.ClickException, match=message):
        ingest(draw(tmp_path / "raw", *names))
    assert not (tmp_path / "data").exists()


def test_the_command_line_says_a_wrong_layout_in_one_error(tmp_path, untouched):
    raw = untouched(draw(tmp_path / "raw", "wrap/a/1", "wrap/b/1"))
    parameters = f"dataset=image_folder,sources.image_folder.folder={raw},data={tmp_path}/data"
    run = subprocess.run(
        [sys.executable, "-m", "kedro", "run", "--env=test", f"--params={parameters}"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    said = run.stdout + run.stderr
    assert "Traceback" not in said
    assert said.count("Error: ") == 1
    assert said.rstrip().endswith(
        f"Error: Only one class, 'wrap', in {raw}; there must be two or more to tell apart. If the "
        f"folders in it (a, b) are the classes or parts, set `sources.image_folder.folder` to "
        f"{raw}/wrap; else add a sub-folder per class."
    )


def test_the_report_says_which_class_was_never_trained(run_pipeline, tmp_path):
    names = [
        f"{part}/{label}/{n}" for part in ("train", "val", "test") for label in "ab" for n in "12"
    ]
    raw = draw(tmp_path / "raw", *names, "test/c/1", "test/c/2")
    run_pipeline(
        "blend",
        tmp_path / "data",
        dataset="image_folder",
        raw=str(raw),
        sources={"image_folder": {"folder": "."}},
        protocols="published",
        variants="normal",
    )
    report = (tmp_path / "data/08_reporting/image_folder/blend/report.html").read_text()
    assert "class &#39;c&#39; (2 images of 2 sources) has no training image" in report
