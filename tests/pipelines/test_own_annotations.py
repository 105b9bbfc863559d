"""Masks and boxes that users bring, from their files to what papers are run on."""

import csv
import json

import cv2
import numpy as np
import pandas as pd
import pytest
from annotation_files import write_coco, write_yolo
from kept_results import result_of
from PIL import Image

from wbc_pipeline.sources.blood_cells_originals import FOLDER
from wbc_pipeline.sources.listing import list_source

LEVELS = np.uint8([0, 128, 255])


@pytest.fixture
def cells(tmp_path):
    """Twenty drawn cells of two classes with masks coded 0, 1 and 2, and a table of them."""
    options = {"cells_per_class": 10, "views_per_cell": 1, "image_size": 64, "seed": 3}
    options["classes"] = ["basophil", "lymphocyte"]
    demo = list_source("demo", tmp_path, data=tmp_path / "demo", options=options)
    home = tmp_path / "cells"
    (home / "masks").mkdir(parents=True)
    rows = [("path", "label", "mask", "cell")]
    for number, row in enumerate(demo.itertuples()):
        name = f"{number:02}.png"
        Image.open(row.path).save(home / name)
        grey = np.array(Image.open(row.mask_path))
        Image.fromarray(np.searchsorted(LEVELS, grey).astype(np.uint8)).save(home / "masks" / name)
        rows.append((name, row.label, f"masks/{name}", row.source_id))
    with open(home / "images.csv", "w", newline="") as file:
        csv.writer(file).writerows(rows)
    return home


def own(home, **options):
    table = {"file": str(home / "images.csv"), **options}
    return {"dataset": "table", "sources": {"table": table}}


@pytest.mark.slow
def test_papers_run_on_images_and_masks_of_ones_own(run_pipeline, cells, tmp_path, untouched):
    untouched(cells)
    data = tmp_path / "data"
    options = own(cells, mask_column="mask", source_column="cell")
    for name in ("ingestion", "quality", "blend"):
        run_pipeline(name, data, **options)
    masks = np.load(result_of(data / "03_primary/table/images") / "masks.npy")
    assert masks.shape[0] == 20
    assert [np.unique(mask).tolist() for mask in masks] == [[0, 1, 2]] * 20
    assert (data / "08_reporting/table/blend/report.html").is_file()
    assert (data / "08_reporting/table/quality/report.html").is_file()


def test_yolo_and_coco_twins_give_the_same_boxes(run_pipeline, cells, tmp_path, untouched):
    rng = np.random.default_rng(0)
    objects = {}
    for number in range(20):
        left, top = rng.integers(0, 30, 2).tolist()
        side = rng.integers(8, 30, 3).tolist()
        objects[f"{number:02}.png"] = [
            ("WBC", [left, top, side[0], side[1]]),
            ("RBC", [left, 64 - side[2], side[2] + 0.25, side[2]]),
            ("WBC", [left, top + 1, side[0], side[1]]),
        ]
    labels = tmp_path / "labels"
    labels.mkdir()
    write_yolo(labels, objects, size=(64, 64))
    write_coco(tmp_path / "coco.json", objects, size=(64, 64))
    untouched(cells)
    tables = []
    for name, place in (("yolo", labels), ("coco", tmp_path / "coco.json")):
        levels = {} if name == "yolo" else {"mask_levels": {"cell": "wbc"}}
        data = tmp_path / name
        run_pipeline("ingestion", data, **own(cells, boxes=str(place), **levels))
        tables.append(data / "02_intermediate/table/boxes.parquet")
    assert tables[0].read_bytes() == tables[1].read_bytes()
    boxes = pd.read_parquet(tables[0])
    assert boxes["name"].value_counts().to_dict() == {"wbc": 40, "rbc": 20}
    first = sorted([name.lower(), x, y, x + w, y + h] for name, (x, y, w, h) in objects["00.png"])
    assert boxes[boxes["image_id"] == "00.png"].to_numpy().tolist() == [
        ["00.png", *box] for box in first
    ]
    masks = np.load(result_of(tmp_path / "coco/03_primary/table/images") / "masks.npy")
    assert set(np.unique(masks)) == {0, 3}


def test_what_is_wrong_with_masks_and_boxes_is_said(
    run_pipeline, cells, tmp_path, caplog, untouched
):
    Image.fromarray(np.zeros((64, 64), np.uint8)).save(cells / "masks/00.png")
    Image.fromarray(np.full((64, 64), 9, np.uint8)).save(cells / "masks/01.png")
    deep = np.full((64, 64), 4095, np.uint16)
    deep[8:20] = 1000
    cv2.imwrite(str(cells / "02.png"), deep)
    boxes = [("03.png", "wbc", 0.1, 0.2, 0.5, 0.6), ("04.png", "wbc", 1, 2, 3, 4)]
    with open(cells / "boxes.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image_id", "name", "xmin", "ymin", "xmax", "ymax"), *boxes])
    options = own(cells, mask_column="mask", boxes=str(cells / "boxes.csv"))
    untouched(cells)
    data = tmp_path / "data"
    run_pipeline("ingestion", data, **options, ingestion={"max_rejected": 0.1})
    manifest = pd.read_parquet(data / "02_intermediate/table/manifest.parquet").set_index(
        "image_id"
    )
    assert manifest["warning"].dropna().to_dict() == {
        "00.png": "mask empty: no pixel of a cell",
        "02.png": "fewer than 16 bits used: 12, scaled by these",
    }
    assert "1 x mask empty, see the column `warning`" in caplog.text
    rejects = pd.read_csv(data / "02_intermediate/table/rejects.csv").set_index("image_id")
    assert rejects["status"]["01.png"].startswith(
        "mask unreadable: values of the mask not recognised: 9; say with `mask_levels`"
    )
    assert rejects["status"]["03.png"] == (
        "box between 0 and 1, where pixels are expected: [0.1, 0.2, 0.5, 0.6]; it is around wbc"
    )
    listed = pd.read_parquet(data / "02_intermediate/table/boxes.parquet")
    assert listed["image_id"].tolist() == ["04.png"]


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_an_image_that_exif_turns_has_its_boxes_turned_or_rejected(
    orientation, run_pipeline, cells, tmp_path, untouched
):
    pixels = np.array(Image.open(cells / "00.png").resize((64, 48)))
    exif = Image.Exif()
    exif[0x112] = orientation
    Image.fromarray(pixels).save(cells / "00.png", exif=exif)
    untouched(cells)
    objects = {"00.png": [("wbc", [4, 6, 10, 20])]}
    write_coco(tmp_path / "coco.json", objects, size=(64, 48))
    options = {"boxes": str(tmp_path / "coco.json"), "mask_levels": {"cell": "wbc"}}
    said = {"annotations": "file"} if orientation == 3 else {}
    run_pipeline("ingestion", tmp_path / "data", **own(cells, **options, **said))
    boxes = pd.read_parquet(tmp_path / "data/02_intermediate/table/boxes.parquet")
    upright = {3: [50, 22, 60, 42], 6: [22, 4, 42, 14], 8: [6, 50, 26, 60]}
    assert boxes.iloc[0, 2:].tolist() == upright[orientation]
    manifest = pd.read_parquet(tmp_path / "data/02_intermediate/table/manifest.parquet")
    turned = f"mask turned with its image: EXIF orientation {orientation}"
    assert manifest["warning"].dropna().tolist() == [turned]
    write_yolo(tmp_path, objects, size=(64, 48))  # shares tell no size
    (tmp_path / "labels").mkdir()
    for name in ("classes.txt", "00.txt"):
        (tmp_path / name).rename(tmp_path / "labels" / name)
    run_pipeline("ingestion", tmp_path / "other", **own(cells, boxes=str(tmp_path / "labels")))
    rejects = pd.read_csv(tmp_path / "other/02_intermediate/table/rejects.csv")
    assert rejects["status"][0].startswith("box of an image that its EXIF tag turns: orientation")


def test_masks_beside_a_folder_of_classes_are_read_by_their_names(
    run_pipeline, cells, tmp_path, untouched
):
    rows = pd.read_csv(cells / "images.csv").to_dict("records")
    home = tmp_path / "folder"
    for row in rows:
        for kind, file in (("images", row["path"]), ("masks", row["mask"])):
            (home / kind / row["label"]).mkdir(parents=True, exist_ok=True)
            (cells / file).rename(home / kind / row["label"] / row["path"])
    untouched(home)
    folder = {"folder": str(home / "images"), "masks": str(home / "masks")}
    levels = {"background": 0, "cytoplasm": 1, "nucleus": 2}
    parameters = {"dataset": "image_folder"}
    for name, more in (("told", {"mask_levels": levels}), ("recognised", {})):
        sources = {"image_folder": folder | more}
        run_pipeline("ingestion", tmp_path / name, **parameters, sources=sources)
    told, recognised = (
        pd.read_parquet(tmp_path / name / "02_intermediate/image_folder/manifest.parquet")
        for name in ("told", "recognised")
    )
    assert [json.loads(text) for text in told["mask_levels"]] == [levels] * 20
    assert recognised["mask_levels"].tolist() == told["mask_levels"].tolist()


def annotate(home, number, size, *objects):
    boxes = "".join(
        f"<object><name>WBC</name><bndbox><xmin>{xmin}</xmin><ymin>{ymin}</ymin>"
        f"<xmax>{xmax}</xmax><ymax>{ymax}</ymax></bndbox></object>"
        for xmin, ymin, xmax, ymax in objects
    )
    size = f"<size><width>{size[0]}</width><height>{size[1]}</height></size>"
    file = home / "Annotations" / f"BloodImage_{number:05}.xml"
    file.write_text(f"<annotation>{size}{boxes}</annotation>")


def test_voc_boxes_of_turned_photographs_are_turned_or_refused(run_pipeline, tmp_path, untouched):
    home = tmp_path / "raw" / FOLDER
    (home / "JPEGImages").mkdir(parents=True)
    (home / "Annotations").mkdir()
    rng, lines = np.random.default_rng(0), [",Image,Category"]
    for number in range(8):
        exif = Image.Exif()
        exif[0x112] = {1: 6, 2: 3}.get(number, 1)
        pixels = rng.integers(0, 255, (48, 64, 3), np.uint8)
        name = f"BloodImage_{number:05}.{'JPG' if number == 3 else 'jpeg'}"
        Image.fromarray(pixels).save(home / "JPEGImages" / name, "JPEG", exif=exif)
        lines.append(f",{number},{('EOSINOPHIL', 'MONOCYTE')[number // 4]}")
        annotate(home, number, (64, 48), (4, 6, 14, 26))
    annotate(home, 4, (64, 48), (0.1, 0.2, 0.5, 0.6))
    (home / "labels.csv").write_text("\n".join(lines))
    untouched(tmp_path / "raw")
    data = tmp_path / "data"
    options = {"dataset": "blood_cells_originals", "raw": str(tmp_path / "raw")}
    run_pipeline("ingestion", data, **options, ingestion={"max_rejected": 0.5})
    place = data / "02_intermediate/blood_cells_originals"
    manifest = pd.read_parquet(place / "manifest.parquet").set_index("image_id")
    assert manifest.loc["JPEGImages/BloodImage_00001.jpeg", "box"].tolist() == [22, 4, 42, 14]
    refused = manifest.loc[manifest["status"] != "ok", "status"].to_dict()
    assert list(refused) == [f"JPEGImages/BloodImage_0000{number}.jpeg" for number in (2, 4)]
    assert refused["JPEGImages/BloodImage_00002.jpeg"].startswith("box of an image that its EXIF")
    assert refused["JPEGImages/BloodImage_00004.jpeg"].startswith("box between 0 and 1, where")
    boxes = pd.read_parquet(place / "boxes.parquet").set_index("image_id")
    assert boxes.loc["JPEGImages/BloodImage_00001.jpeg", "xmin":].tolist() == [22, 4, 42, 14]
    assert boxes.loc["JPEGImages/BloodImage_00003.JPG", "xmin":].tolist() == [4, 6, 14, 26]
