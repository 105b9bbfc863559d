import shutil

import numpy as np
import pandas as pd
import pytest

CLASSES = ("basophil", "erythroblast", "monocyte", "myeloblast", "seg_neutrophil")


def outputs(data, dataset):
    manifest = pd.read_parquet(data / f"02_intermediate/{dataset}/manifest.parquet")
    images = np.load(data / f"03_primary/{dataset}/images/images.npy", mmap_mode="r")
    return manifest, images


def test_demo_images_have_masks_and_known_cells(run_pipeline, tmp_path):
    run_pipeline("ingestion", tmp_path)
    manifest, images = outputs(tmp_path, "demo")
    masks = np.load(tmp_path / "03_primary/demo/images/masks.npy")
    assert len(manifest) == len(images) == len(masks)
    assert set(np.unique(masks)) == {0, 128, 255}
    assert manifest["source_id"].notna().all()


def test_all_of_leukemia5_is_read(run_pipeline, real_data, tmp_path):
    shipped = {"image_size": 128}  # as in base, where its duplicates were looked at
    run_pipeline("ingestion", tmp_path, dataset="leukemia5", raw=str(real_data), ingestion=shipped)
    manifest, images = outputs(tmp_path, "leukemia5")
    assert manifest["label"].value_counts().to_dict() == dict.fromkeys(CLASSES, 1000)
    assert images.shape == (5000, 128, 128, 3)
    assert images.std(axis=(1, 2, 3)).min() > 1  # none is black
    sources = manifest.set_index("image_id")["source_id"]
    assert sources.nunique() == 4993  # seven images are there twice, one of them recompressed
    assert sources["monocyte/MO_231316.jpg"] == sources["monocyte/MO_415531.jpg"]


def test_all_of_blood_cells_is_read_and_no_source_is_made_up(run_pipeline, real_data, tmp_path):
    run_pipeline("ingestion", tmp_path, dataset="blood_cells", raw=str(real_data))
    manifest, images = outputs(tmp_path, "blood_cells")
    assert manifest["published_part"].value_counts().to_dict() == {"train": 9957, "test": 2487}
    assert len(images) == 12444
    assert manifest["source_id"].isna().all()


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
