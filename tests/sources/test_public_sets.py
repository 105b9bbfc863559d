from pathlib import Path

import pandas as pd
import pytest

from wbc_pipeline.imaging.packing import build_manifest, check_rejected_share, pack_images
from wbc_pipeline.sources import (
    all_idb2,
    blood_cells,
    blood_cells_originals,
    leukemia5,
    lisc,
    pbc,
    segmentation_wbc,
)
from wbc_pipeline.sources.listing import MissingDataError

SETS = [
    (leukemia5, {}),
    (blood_cells, {}),
    (blood_cells_originals, {}),
    (pbc, {"labels": "coarse"}),
    (pbc, {"labels": "fine"}),
    (segmentation_wbc, {}),
    (lisc, {}),
    (all_idb2, {}),
]


def counts(values):
    return values.value_counts().to_dict()


def test_leukemia5_lists_five_thousand_cells_of_two_laboratories(real_data):
    listing = leukemia5.list_images(real_data)
    assert counts(listing["label"]) == dict.fromkeys(leukemia5.CLASSES, 1000)
    laboratories = listing.groupby("label")["domain"].unique().str.join(",").to_dict()
    assert laboratories == {
        "basophil": "PBC",
        "erythroblast": "PBC",
        "monocyte": "PBC",
        "myeloblast": "AML-LMU",
        "seg_neutrophil": "AML-LMU",
    }


def test_blood_cells_lists_the_published_parts_and_knows_no_source(real_data):
    listing = blood_cells.list_images(real_data)
    assert counts(listing["published_part"]) == {"train": 9957, "test": 2487}
    assert set(listing["label"]) == {"eosinophil", "lymphocyte", "monocyte", "neutrophil"}
    assert listing["source_id"].isna().all()
    assert not listing["image_id"].str.contains("TEST_SIMPLE").any()


def test_the_numbers_in_the_names_of_blood_cells_tempt_to_be_taken_for_sources(real_data):
    listing = blood_cells.list_images(real_data).set_index("image_id")
    group = listing["filename_group"]["TRAIN/EOSINOPHIL/_17_1387.jpeg"]
    assert group == "TRAIN/EOSINOPHIL/17"
    assert listing["filename_group"].nunique() == 348  # as many as photographs: a trap


def test_the_originals_are_367_photographs_with_labels_as_published(real_data):
    listing = blood_cells_originals.list_images(real_data)
    assert counts(listing["label"]) == {
        "neutrophil": 207,
        "eosinophil": 88,
        "lymphocyte": 33,
        "monocyte": 20,
        "neutrophil, neutrophil": 4,
        "basophil": 3,
        "neutrophil, eosinophil": 3,
        "eosinophil, eosinophil": 2,
        "eosinophil, lymphocyte": 1,
        "lymphocyte, lymphocyte": 1,
        "monocyte, lymphocyte": 1,
        "neutrophil, basophil": 1,
        "neutrophil, lymphocyte": 1,
        "neutrophil, monocyte": 1,
    }
    assert len(listing) == 367 and listing["label"].isna().sum() == 1
    assert listing["source_id"].is_unique
    tenth = listing.set_index("source_id").loc["BloodImage_00010"]
    assert tenth["label"] == "neutrophil, eosinophil"
    assert tenth["box"] is None  # two white cells


def test_the_originals_have_every_box_of_364_annotation_files(real_data):
    boxes = blood_cells_originals.list_boxes(real_data)
    listing = blood_cells_originals.list_images(real_data)
    assert counts(boxes["name"]) == {"rbc": 4153, "wbc": 372, "platelets": 361}
    assert boxes["image_id"].nunique() == 364
    assert set(boxes["image_id"]) < set(listing["image_id"])
    white = boxes[boxes["name"] == "wbc"].drop_duplicates("image_id", keep=False)
    sides = white.set_index("image_id")[["xmin", "ymin", "xmax", "ymax"]]
    assert listing.set_index("image_id")["box"].dropna().to_dict() == {
        image_id: list(box) for image_id, *box in sides.itertuples(name=None)
    }
    assert len(white) == 344


def test_pbc_has_eight_folders_of_which_three_hold_finer_classes(real_data):
    coarse, fine = (pbc.list_images(real_data, labels=name) for name in ("coarse", "fine"))
    table = pd.crosstab(coarse["label"], fine["label"])
    found = table.apply(lambda row: row[row > 0].to_dict(), axis=1).to_dict()
    assert found == {
        "basophil": {"BA": 130},
        "eosinophil": {"EO": 500},
        "erythroblast": {"ERB": 160},
        "ig": {"MMY": 250, "MY": 220, "PMY": 100},
        "lymphocyte": {"LY": 700},
        "monocyte": {"MO": 400},
        "neutrophil": {"BNE": 330, "SNE": 1200},
        "platelet": {"PLATELET": 70},
    }
    assert len(coarse) == len(fine) == 4060


def test_segmentation_wbc_has_two_stains_with_masks(real_data):
    listing = segmentation_wbc.list_images(real_data)
    labels = listing.groupby("domain")["label"].apply(counts).unstack(0).astype(int).to_dict()
    assert labels == {
        "rapid_stain": {
            "neutrophil": 176,
            "lymphocyte": 53,
            "monocyte": 48,
            "eosinophil": 22,
            "basophil": 1,
        },
        "cellavision": {
            "neutrophil": 33,
            "lymphocyte": 37,
            "monocyte": 15,
            "eosinophil": 12,
            "basophil": 3,
        },
    }
    assert listing["mask_path"].map(lambda path: Path(path).is_file()).all()


def test_lisc_has_five_classes_under_their_full_names(real_data):
    assert counts(lisc.list_images(real_data)["label"]) == {
        "basophil": 53,
        "lymphocyte": 52,
        "neutrophil": 50,
        "monocyte": 48,
        "eosinophil": 39,
    }


def test_all_idb2_has_as_many_blasts_as_healthy_cells(real_data):
    listing = all_idb2.list_images(real_data)
    assert counts(listing["label"]) == {"blast": 130, "healthy": 130}
    assert listing["mask_path"].map(lambda path: Path(path).is_file()).all()


@pytest.mark.parametrize(("source", "options"), SETS)
def test_an_image_id_is_the_path_relative_to_the_folder(source, options, real_data):
    first = source.list_images(real_data, **options).iloc[0]
    assert Path(first["path"]) == real_data / source.FOLDER / first["image_id"]
    assert Path(first["path"]).is_file()


@pytest.mark.parametrize(("source", "options"), SETS)
def test_nothing_is_held_against_the_public_files(source, options, real_data, tmp_path):
    listing = source.list_images(real_data, **options)
    assert listing["problem"].isna().all()
    every = listing.iloc[:: max(1, len(listing) // 100)].reset_index(drop=True)
    outcome = pack_images(every, tmp_path / "images.npy", image_size=16)
    check_rejected_share(build_manifest(every, outcome), 0)


def test_an_incomplete_download_names_the_missing_class(tmp_path):
    for label in leukemia5.CLASSES[:-1]:
        (tmp_path / leukemia5.FOLDER / label).mkdir(parents=True)
    with pytest.raises(MissingDataError, match="seg_neutrophil"):
        leukemia5.list_images(tmp_path)
