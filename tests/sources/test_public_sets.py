from pathlib import Path

import pytest

from wbc_pipeline.sources import blood_cells, leukemia5
from wbc_pipeline.sources.listing import MissingDataError


def test_leukemia5_lists_five_thousand_cells_of_two_laboratories(real_data):
    listing = leukemia5.list_images(real_data)
    assert listing["label"].value_counts().to_dict() == dict.fromkeys(leukemia5.CLASSES, 1000)
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
    assert listing["published_part"].value_counts().to_dict() == {"train": 9957, "test": 2487}
    assert set(listing["label"]) == {"eosinophil", "lymphocyte", "monocyte", "neutrophil"}
    assert listing["source_id"].isna().all()
    assert not listing["image_id"].str.contains("TEST_SIMPLE").any()


@pytest.mark.parametrize("source", [leukemia5, blood_cells])
def test_an_image_id_is_the_path_relative_to_the_folder(source, real_data):
    first = source.list_images(real_data).iloc[0]
    assert Path(first["path"]) == real_data / source.FOLDER / first["image_id"]
    assert Path(first["path"]).is_file()


def test_an_incomplete_download_names_the_missing_class(tmp_path):
    for label in leukemia5.CLASSES[:-1]:
        (tmp_path / leukemia5.FOLDER / label).mkdir(parents=True)
    with pytest.raises(MissingDataError, match="seg_neutrophil"):
        leukemia5.list_images(tmp_path)
