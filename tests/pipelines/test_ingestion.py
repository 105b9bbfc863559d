import functools
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from kept_results import result_of

from wbc_pipeline.imaging import recovery
from wbc_pipeline.pipelines.ingestion import nodes
from wbc_pipeline.sources import blood_cells

CLASSES = ("basophil", "erythroblast", "monocyte", "myeloblast", "seg_neutrophil")


RECOVERED = {"ingestion": {"recover": True}}  # though the files are the published ones


def outputs(data, dataset):
    manifest = pd.read_parquet(data / f"02_intermediate/{dataset}/manifest.parquet")
    packed = result_of(data / f"03_primary/{dataset}/images")
    return manifest, np.load(packed / "images.npy", mmap_mode="r")


def test_demo_images_have_masks_and_known_cells(run_pipeline, tmp_path):
    run_pipeline("ingestion", tmp_path)
    manifest, images = outputs(tmp_path, "demo")
    masks = np.load(result_of(tmp_path / "03_primary/demo/images") / "masks.npy")
    assert len(manifest) == len(images) == len(masks)
    assert set(np.unique(masks)) == {0, 1, 2}
    assert (manifest["dataset"] == "demo").all()
    assert manifest["source_id"].notna().all()


@pytest.mark.slow
def test_all_of_leukemia5_is_read(run_pipeline, real_data, tmp_path):
    shipped = {"image_size": 128}  # as in base, where its duplicates were looked at
    run_pipeline("ingestion", tmp_path, dataset="leukemia5", raw=str(real_data), ingestion=shipped)
    manifest, images = outputs(tmp_path, "leukemia5")
    assert manifest["label"].value_counts().to_dict() == dict.fromkeys(CLASSES, 1000)
    assert images.shape == (5000, 128, 128, 3)
    assert images.std(axis=(1, 2, 3)).min() > 1  # none is black
    sources = manifest.set_index("image_id")["source_id"]
    assert sources.nunique() < 4970  # seven images are there twice, and neighbours overlap
    assert sources["monocyte/MO_231316.jpg"] == sources["monocyte/MO_415531.jpg"]


def test_the_photograph_behind_each_copy_is_known(run_pipeline, few_copies, tmp_path):
    run_pipeline("ingestion", tmp_path, dataset="blood_cells", raw=str(few_copies))
    manifest, _ = outputs(tmp_path, "blood_cells")
    photographs = blood_cells.list_originals(few_copies).set_index("source_id")["label"]
    assert manifest["source_id"].isin(photographs.index).all()
    manifest["of_photograph"] = manifest["source_id"].map(photographs)
    assert all(row.label in row.of_photograph.split(", ") for row in manifest.itertuples())
    sides = manifest.groupby("source_id")["published_part"].nunique()
    assert (sides == 1).all()  # TRAIN and TEST share no photograph ...
    groups = manifest.groupby("source_group")["published_part"].nunique()
    assert (groups > 1).any()  # ... but cells that were photographed twice


def assert_pinned_and_recovered_agree(run_pipeline, raw, folder, **ingestion):
    tables = {}
    for recover in (True, False):
        data = folder / str(recover)
        run_pipeline(
            "audit",
            data,
            dataset="blood_cells",
            raw=str(raw),
            ingestion={"recover": recover, **ingestion},
            how={"to_nodes": ["audit.report.trace_sources", "audit.inspection.pin_sources"]},
        )
        manifest = (data / "02_intermediate/blood_cells/manifest.parquet").read_bytes()
        reports = data / "08_reporting/blood_cells/audit"
        names = ("originals.csv", "copies.csv", "overlaps.csv", "pinned_sources.csv.gz")
        tables[recover] = manifest, *(pd.read_csv(reports / name) for name in names)
    assert tables[False][0] == tables[True][0]  # byte by byte
    for pinned, recovered in zip(tables[False][1:], tables[True][1:], strict=True):
        unlisted = pinned.columns.drop("transform", errors="ignore")  # a list: compared below
        assert list(pinned.columns) == list(recovered.columns)
        pd.testing.assert_frame_equal(pinned[unlisted], recovered[unlisted], rtol=0, atol=1e-3)
    maps = [np.stack(table[2]["transform"].map(numbers)) for table in tables.values()]
    np.testing.assert_allclose(*maps, rtol=0, atol=0.1)


def numbers(text):
    return np.array(text.strip("[]").replace(",", " ").split(), float)


def test_pinned_and_recovered_sources_agree(run_pipeline, few_copies, tmp_path):
    assert_pinned_and_recovered_agree(run_pipeline, few_copies, tmp_path)


@pytest.mark.slow
def test_pinned_and_recovered_sources_of_all_copies_agree(run_pipeline, real_data, tmp_path):
    assert_pinned_and_recovered_agree(run_pipeline, real_data, tmp_path, image_size=128)


def test_copies_that_differ_from_the_published_ones_are_recovered(
    run_pipeline, few_photographs, tmp_path, caplog
):
    parameters = {"dataset": "blood_cells", "raw": str(few_photographs)}
    run_pipeline("ingestion", tmp_path / "data", **parameters)
    before, _ = outputs(tmp_path / "data", "blood_cells")
    assert "pinned" not in caplog.text
    file = Path(before["path"].iloc[0])
    changed = file.read_bytes() + b"\n"  # after the end of the picture
    file.unlink()  # a link to the real one
    file.write_bytes(changed)
    run_pipeline("ingestion", tmp_path / "data", **parameters)
    manifest, _ = outputs(tmp_path / "data", "blood_cells")
    assert (
        f"1 of {len(manifest)} copies, such as {file}, are not the published files" in caplog.text
    )
    assert manifest["source_id"].isna().any()  # of most, no photograph is there
    assert before["source_id"].notna().all()


def test_an_interrupted_recovery_goes_on_where_it_was(
    run_pipeline, few_photographs, tmp_path, monkeypatch
):
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    parameters = {"dataset": "blood_cells", "raw": str(few_photographs), **RECOVERED}
    monkeypatch.setattr(nodes, "_COPIES_AT_A_TIME", 40)
    run_pipeline("ingestion", whole, **parameters)

    recover, asked = recovery.recover_sources, []

    @functools.wraps(recover)  # else it counted as other code
    def interrupted(paths, index, **options):
        asked.append(len(paths))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return recover(paths, index, **options)

    monkeypatch.setattr(recovery, "recover_sources", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_pipeline("ingestion", halves, **parameters)
    asked.append(0)
    run_pipeline("ingestion", halves, **parameters)
    copies = len(outputs(whole, "blood_cells")[1])
    assert sum(asked) - 40 == copies  # only the interrupted forty were asked for twice
    pd.testing.assert_frame_equal(*(outputs(data, "blood_cells")[0] for data in (whole, halves)))


def test_copies_without_their_photographs_have_a_source_only_where_it_is_pinned(
    run_pipeline, few_photographs, tmp_path, caplog
):
    shutil.rmtree(few_photographs / "blood-cells/dataset-master")
    parameters = {"dataset": "blood_cells", "raw": str(few_photographs)}
    run_pipeline("ingestion", tmp_path / "data", **parameters, **RECOVERED)
    manifest, _ = outputs(tmp_path / "data", "blood_cells")
    assert manifest["source_id"].isna().all()
    assert "sources of the copies stay unknown" in caplog.text
    run_pipeline("ingestion", tmp_path / "data", **parameters)
    manifest, _ = outputs(tmp_path / "data", "blood_cells")
    assert manifest["source_group"].notna().all()  # they are pinned


def test_copies_that_are_no_longer_there_are_no_longer_read(
    run_pipeline, few_photographs, tmp_path, monkeypatch
):
    monkeypatch.setattr(nodes, "_COPIES_AT_A_TIME", 40)
    parameters = {"dataset": "blood_cells", "raw": str(few_photographs), **RECOVERED}
    run_pipeline("ingestion", tmp_path / "data", **parameters)
    recovery = tmp_path / "data/02_intermediate/blood_cells/recovery"
    before = {path: path.stat().st_mtime_ns for path in recovery.glob("*/*.parquet")}
    folder = few_photographs / "blood-cells/dataset2-master/dataset2-master/images/TRAIN"
    for file in (*(folder / "EOSINOPHIL").iterdir(), *(folder / "MONOCYTE").iterdir()):
        if file.name != sorted(path.name for path in file.parent.iterdir())[0]:
            file.unlink()
    run_pipeline("ingestion", tmp_path / "data", **parameters)
    manifest, _ = outputs(tmp_path / "data", "blood_cells")
    asked = json.loads((recovery / "latest.json").read_text())
    matches = [
        pd.read_parquet(recovery / place / "matches.parquet")
        for name, place in asked.items()
        if name != "originals"
    ]
    assert set(pd.concat(matches)["image_id"]) == set(manifest["image_id"])
    assert {path: path.stat().st_mtime_ns for path in before} == before  # kept, as it was


def test_a_box_outside_its_photograph_is_rejected_and_the_others_stay(
    run_pipeline, few_photographs, tmp_path
):
    home = few_photographs / "blood-cells/dataset-master/dataset-master"
    annotations = home / "Annotations"
    real = annotations.resolve()
    annotations.unlink()
    shutil.copytree(real, annotations)
    file = annotations / "BloodImage_00000.xml"
    first_right_side = re.search(r"<xmax>(\d+)</xmax>", file.read_text())[0]
    file.write_text(file.read_text().replace(first_right_side, "<xmax>9999</xmax>", 1))
    parameters = {"dataset": "blood_cells_originals", "raw": str(few_photographs)}
    run_pipeline("ingestion", tmp_path / "data", **parameters, ingestion={"max_rejected": 0.5})
    rejects = pd.read_csv(tmp_path / "data/02_intermediate/blood_cells_originals/rejects.csv")
    assert rejects["image_id"].tolist() == ["JPEGImages/BloodImage_00000.jpg"]
    assert rejects["status"].str.startswith("box outside the image").all()


def test_every_box_of_a_photograph_is_listed(run_pipeline, real_data, tmp_path):
    run_pipeline("ingestion", tmp_path, dataset="blood_cells_originals", raw=str(real_data))
    boxes = pd.read_parquet(tmp_path / "02_intermediate/blood_cells_originals/boxes.parquet")
    assert boxes["name"].value_counts().to_dict() == {"rbc": 4153, "wbc": 372, "platelets": 361}


@pytest.fixture
def few_cells(real_data, tmp_path):
    """Twenty real images of each class, in class folders."""
    folder = tmp_path / "few_cells"
    for label in CLASSES:
        files = sorted((real_data / "blood-cell-images-for-cancer-detection" / label).iterdir())
        (folder / label).mkdir(parents=True)
        for file in files[::50]:
            shutil.copy(file, folder / label)
    return folder


def run_on(run_pipeline, folder, data, pipeline="ingestion"):
    run_pipeline(
        pipeline, data, dataset="image_folder", sources={"image_folder": {"folder": str(folder)}}
    )


def test_blend_runs_on_a_folder_of_real_images(run_pipeline, few_cells, tmp_path):
    run_on(run_pipeline, few_cells, tmp_path / "data", "blend")
    reports = tmp_path / "data/08_reporting/image_folder/blend"
    assert set(pd.read_csv(reports / "per_class.csv")["label"]) == set(CLASSES)
    assert "DEMO DATA" not in (reports / "report.html").read_text()


def test_broken_files_are_named_with_their_reason(run_pipeline, few_cells, tmp_path):
    (few_cells / "basophil" / "empty.jpg").write_bytes(b"")
    (few_cells / "basophil" / "notes.png").write_text("not an image")
    run_on(run_pipeline, few_cells, tmp_path / "data")
    rejects = pd.read_csv(tmp_path / "data/02_intermediate/image_folder/rejects.csv")
    manifest, images = outputs(tmp_path / "data", "image_folder")
    assert set(rejects["image_id"]) == {"basophil/empty.jpg", "basophil/notes.png"}
    assert rejects["status"].notna().all()
    assert len(images) == (manifest["status"] == "ok").sum() == len(manifest) - 2


def test_too_many_broken_files_stop_the_run(run_pipeline, few_cells, tmp_path):
    for number in range(20):
        (few_cells / "basophil" / f"broken_{number}.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match="max_rejected"):
        run_on(run_pipeline, few_cells, tmp_path / "data")


def test_a_changed_file_is_read_again(run_pipeline, few_cells, tmp_path):
    run_on(run_pipeline, few_cells, tmp_path / "data")
    manifest, images = outputs(tmp_path / "data", "image_folder")
    before = np.array(images[0])
    shutil.copy(manifest["path"].iloc[-1], manifest["path"].iloc[0])
    run_on(run_pipeline, few_cells, tmp_path / "data")
    _, images = outputs(tmp_path / "data", "image_folder")
    assert not np.array_equal(images[0], before)
