"""`predict` on real photographs, odd files and hostile ones, with one small trained model."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import click
import cv2
import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
import yaml
from kept_results import result_of
from PIL import Image

from wbc_pipeline.datasets.image_files import ImageFiles
from wbc_pipeline.datasets.results import Result
from wbc_pipeline.errors import explain
from wbc_pipeline.models import build_network, save_network
from wbc_pipeline.pipelines.predict import predicting
from wbc_pipeline.pipelines.predict.nodes import write_page
from wbc_pipeline.pipelines.predict.options import PredictOptions
from wbc_pipeline.pipelines.predict.predicting import Asking
from wbc_pipeline.tracking.saved_model import SavedModel

PARAMETERS = Path(__file__).parents[2] / "conf/base/parameters_predict.yml"
CLASSES = ["basophil", "lymphocyte", "seg_neutrophil"]
TWO_CELLS = "BloodImage_00043"
UNREADABLE = {
    "broken.png": "not an image",
    "cut.jpg": "incomplete file",
    "empty.bmp": "empty file",
    "pages.tif": "more than one picture in the file",
}
QUICK = {"tracking": {"enabled": False}}


@pytest.fixture(scope="module")
def trained(run_pipeline, tmp_path_factory):
    """The outputs of a short run of ``separable``, and the folder of its one training."""
    data = tmp_path_factory.mktemp("trained")
    few = {"robustness": {"images": 2}, "score": {"resamples": 10}}
    run_pipeline("separable", data, variants="mixed", protocols="source", separable=few)
    folder = result_of(data / "06_models/demo/separable", "mixed/source-0")
    return SimpleNamespace(data=data, folder=folder)


@pytest.fixture(scope="module")
def folder(real_data, tmp_path_factory):
    """Photographs of three laboratories among odd and hostile files."""
    place = tmp_path_factory.mktemp("slides")
    photographs = real_data / "blood-cells/dataset-master/dataset-master/JPEGImages"
    shutil.copy(photographs / f"{TWO_CELLS}.jpg", place)
    lisc = sorted((real_data / "LISC/Main Dataset").rglob("*.jpg"))
    for file in lisc[::60]:
        target = place / "lisc" / file.parent.name / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(file)
    shutil.copy(next((real_data / "ALL_IDB2/img").glob("*.tif")), place / "idb2.tif")
    cell = np.array(Image.open(place / "idb2.tif").convert("RGB"))
    tifffile.imwrite(place / "deep.tif", cell.astype(np.uint16) * 257, photometric="rgb")
    alpha = np.dstack([cell, np.full(cell.shape[:2], 255, np.uint8)])
    Image.fromarray(alpha, "RGBA").save(place / "alpha.tiff")
    tifffile.imwrite(place / "pages.tif", np.stack([cell, cell]), photometric="rgb")
    (place / "broken.png").write_text("no image")
    (place / "empty.bmp").touch()
    whole = (place / f"{TWO_CELLS}.jpg").read_bytes()
    (place / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    cv2.imwrite(str(place / "blank.png"), np.full((60, 80, 3), 235, np.uint8))
    (place / "notes.txt").write_text("to whom it may concern")
    return place


@pytest.fixture(scope="module")
def predicted(run_pipeline, trained, folder):
    """What predicting that folder leaves behind, and what the command says at its end."""
    with pytest.raises(click.ClickException) as caught:
        run_pipeline(
            "predict", trained.data, images=str(folder), model=str(trained.folder), **QUICK
        )
    return report_of(trained.data, folder.name, str(caught.value))


def report_of(data, stem, said=""):
    (reports,) = (data / "08_reporting/predict").glob(f"{stem}-*")
    cells = pd.read_csv(reports / "cells.csv", keep_default_na=False)
    return SimpleNamespace(folder=reports, cells=cells, said=said)


def test_every_readable_file_is_predicted_and_the_others_are_listed_with_the_reason(
    predicted, folder
):
    unreadable = pd.read_csv(predicted.folder / "unreadable.csv").set_index("image_id")["reason"]
    assert unreadable.to_dict() == UNREADABLE
    files = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert set(predicted.cells["image_id"]) == files - {*UNREADABLE, "notes.txt"}
    probabilities = predicted.cells[[f"p_{name}" for name in CLASSES]].astype(float)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (predicted.cells["class"] == probabilities.idxmax(axis=1).str[2:]).all()
    assert predicted.cells["confidence"].astype(float).between(1 / len(CLASSES), 1).all()


def test_the_command_ends_with_an_error_after_everything_is_written(predicted):
    assert predicted.said.startswith(f"{len(UNREADABLE)} files could not be read")
    assert str(predicted.folder / "unreadable.csv") in predicted.said
    page = (predicted.folder / "report.html").read_text()
    assert "more than one picture in the file" in page and "notes.txt" in page
    assert "below a confidence of" in page
    assert (predicted.folder / "contact_sheet.png").is_file()


def test_every_white_cell_of_a_photograph_is_a_row(predicted, real_data):
    annotated = real_data / f"blood-cells/dataset-master/dataset-master/Annotations/{TWO_CELLS}.xml"
    boxes = [
        [int(each.findtext(f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax")]
        for each in ElementTree.parse(annotated).getroot().iter("object")
        if each.findtext("name") == "WBC"
    ]
    rows = predicted.cells[predicted.cells["image_id"] == f"{TWO_CELLS}.jpg"]
    found = rows[["xmin", "ymin", "xmax", "ymax"]].astype(int).to_numpy()
    assert len(boxes) == len(found) == 2 and rows["cell"].tolist() == [1, 2]
    for left, top, right, bottom in boxes:
        middle = [(left + right) / 2, (top + bottom) / 2]
        assert ((found[:, :2] < middle) & (middle < found[:, 2:])).all(axis=1).sum() == 1


def test_the_page_counts_found_cells_by_class(predicted):
    counted = pd.read_csv(predicted.folder / "differential.csv").set_index("class")["cells"]
    flags = predicted.cells["flags"]
    assert flags[predicted.cells["image_id"] == "blank.png"].item().startswith("no cell found")
    assert counted.index.tolist() == CLASSES
    assert counted.sum() == (~flags.str.contains("no cell found")).sum()


def test_every_predicted_file_has_an_overlay_with_map_beside_it(predicted):
    overlays = predicted.cells.set_index("image_id")["overlay"]
    assert {path.name for path in (predicted.folder / "overlays").iterdir()} == set(overlays)
    picture = cv2.imread(str(predicted.folder / "overlays" / overlays["idb2.tif"]))
    height, width = picture.shape[:2]
    assert width == 2 * height  # a square image, twice


def test_sixteen_bits_and_opaque_alpha_change_no_answer(predicted):
    rows = predicted.cells.set_index("image_id").loc[["idb2.tif", "deep.tif", "alpha.tiff"]]
    answers = rows[[f"p_{name}" for name in CLASSES]].astype(float).to_numpy()
    np.testing.assert_allclose(answers, answers[[0, 0, 0]], atol=1e-5)


def test_a_model_of_mlflow_is_carried_to_another_folder_and_answers_as_the_training(
    run_pipeline, trained, predicted, folder, tmp_path
):
    import mlflow

    uri = f"sqlite:///{trained.data}/mlflow.db"
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("separable").experiment_id
    run = next(
        run
        for run in client.search_runs([experiment])
        if run.data.tags["variant"] == "mixed" and run.outputs.model_outputs
    )
    portable = tmp_path / "carried"
    few = {"tracking": {"enabled": False, "uri": uri}}
    image = str(folder / "idb2.tif")
    logged = f"runs:/{run.info.run_id}/model"
    how = {"predict": {"portable": str(portable)}}
    run_pipeline("predict", tmp_path / "a", images=image, model=logged, **few, **how)
    run_pipeline("predict", tmp_path / "b", images=image, model=str(portable), **QUICK)
    expected = predicted.cells[predicted.cells["image_id"] == "idb2.tif"]
    for data in (tmp_path / "a", tmp_path / "b"):
        cells = report_of(data, "idb2").cells
        pd.testing.assert_frame_equal(
            cells.drop(columns="overlay"),
            expected.reset_index(drop=True).drop(columns="overlay"),
            rtol=1e-3,  # as alone in its batch
        )
        assert "DEMO DATA" in next(data.rglob("report.html")).read_text()


def test_predicting_again_makes_nothing_and_a_table_of_paths_is_as_good_as_a_folder(
    run_pipeline, trained, folder, tmp_path
):
    table = tmp_path / "paths.csv"
    table.write_text(f"path\n{folder / 'idb2.tif'}\n{folder / 'alpha.tiff'}\n")
    how = {"images": str(table), "model": str(trained.folder), **QUICK}
    run_pipeline("predict", tmp_path, **how)
    answers = tmp_path / "07_model_output/predict"
    before = {path: path.stat().st_mtime_ns for path in answers.rglob("*.parquet")}
    run_pipeline("predict", tmp_path, **how)
    assert {path: path.stat().st_mtime_ns for path in answers.rglob("*.parquet")} == before
    assert len(report_of(tmp_path, "paths").cells) == 2


def test_limits_are_fitted_beside_the_training_and_reported(trained):
    beside = result_of(trained.data / "06_models/demo/separable/confidence", "mixed/source-0")
    assert {"confidence.json", "likeness.safetensors"} <= {path.name for path in beside.iterdir()}
    reports = trained.data / "08_reporting/demo/separable"
    scores = pd.read_csv(reports / "abstention.csv")
    assert scores["variant"].tolist() == ["mixed"]
    assert (reports / "coverage_risk.png").is_file()
    assert pd.read_csv(reports / "confidences.csv")["temperature"].gt(0).all()


def test_a_file_on_which_the_model_s_steps_fail_is_listed_with_the_others(tmp_path, monkeypatch):
    file = tmp_path / "dots.png"
    cv2.imwrite(str(file), np.zeros((3, 3, 3), np.uint8))
    asking = Asking.__new__(Asking)
    asking._max_pixels = 100
    monkeypatch.setattr(Asking, "show", lambda _, image: cv2.resize(image, (0, 0)))
    done = asking.ask([(0, "dots.png", str(file))])
    assert not done.rows and not done.tiles
    assert done.unreadable[0]["image_id"] == "dots.png"
    assert done.unreadable[0]["reason"].startswith("the model's steps fail on it: ")


def test_the_page_says_that_a_network_has_no_map_for_grad_cam(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise ValueError("the last map is not on the way to the class")

    arguments = {"classes": 2, "image_size": 16, "filters": [4, 4], "dense": 8}
    known = {"views": {"image": [{"resize": {"size": 16}}]}, "packed_size": 20}
    known |= {"name": "normal_cnn", "arguments": arguments, "classes": ["a", "b"]}
    save_network(tmp_path, build_network("normal_cnn", arguments, seed=0), known)
    cv2.imwrite(str(tmp_path / "cell.png"), np.full((20, 20, 3), 200, np.uint8))
    table = pd.DataFrame({"image_id": ["cell.png"], "path": [str(tmp_path / "cell.png")]})
    options = PredictOptions(**yaml.safe_load(PARAMETERS.read_text())["predict"])
    model = SavedModel("here", tmp_path, None)
    told = {}
    for name in ("map", "none"):
        if name == "none":
            monkeypatch.setattr(predicting, "grad_cam", fail)
        folder = tmp_path / name
        folder.mkdir()
        predicting.predict_files(
            folder,
            files=table,
            model=tmp_path,
            confidence=None,
            options=options,
            max_pixels=1000,
            device=torch.device("cpu"),
        )
        told[name] = write_page(
            answers={"": Result(folder)},
            files=ImageFiles("cell.png", "cell", table, []),
            model=model,
            command="kedro run",
            cells=pd.read_parquet(folder / "cells.parquet"),
            unreadable=pd.read_parquet(folder / "unreadable.parquet"),
            options=options,
            items={"differential": pd.DataFrame({"class": ["a", "b"], "cells": [1, 0]})},
        )
        assert "not for clinical use</b>1 cell in 1 file: 1 a." in told[name]
    assert "Overlays show no Grad-CAM: normal_cnn has no map" in told["none"]
    assert "show no Grad-CAM" not in told["map"]


def test_a_command_without_images_says_what_to_write(run_pipeline, tmp_path):
    with pytest.raises(Exception, match="Nothing says which images") as caught:
        run_pipeline("predict", tmp_path, model="anything", **QUICK)
    assert "a folder, a glob, one file or a CSV" in explain(caught.value)


def test_a_model_is_exported_where_the_command_says(run_pipeline, trained, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = tmp_path / "new" / "model.onnx"
    run_pipeline("export", trained.data, model=str(trained.folder), onnx=str(file), **QUICK)
    assert f"Model: {file}" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(file)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == CLASSES
    assert json.loads(facts["trained_as"])["variant"] == "mixed"
