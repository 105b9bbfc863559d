import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.imaging.packing import pack_images
from wbc_pipeline.sources.all_idb2 import FOLDER, list_images


@pytest.fixture
def home(tmp_path):
    for folder in ("img", "masks"):
        (tmp_path / FOLDER / folder).mkdir(parents=True)
        for name in ("Im001_1.tif", "Im200_0.tif"):
            (tmp_path / FOLDER / folder / name).touch()
    return tmp_path / FOLDER


def test_the_end_of_the_name_tells_the_label(home):
    listing = list_images(home.parent)
    assert listing["label"].tolist() == ["blast", "healthy"]
    assert listing["problem"].isna().all()


@pytest.mark.parametrize("name", ["Im001.tif", "Im001_2.tif", "Im_1.tif", "copy of Im001_1.tif"])
def test_a_name_that_tells_no_label_is_a_problem(home, name):
    (home / "img" / name).touch()
    row = list_images(home.parent).set_index("image_id").loc[f"img/{name}"]
    assert row["problem"].startswith("file name tells no label: ")
    assert pd.isna(row["label"])


def test_an_image_without_mask_has_a_problem(home):
    (home / "masks" / "Im200_0.tif").unlink()
    listing = list_images(home.parent)
    assert listing["problem"].tolist()[1] == "mask is missing: masks/Im200_0.tif"


def test_packed_masks_are_those_of_every_set(real_data, tmp_path):
    listing = list_images(real_data).iloc[[0, 139]].reset_index(drop=True)
    pack_images(listing, tmp_path / "images.npy", image_size=144)
    images, masks = np.load(tmp_path / "images.npy"), np.load(tmp_path / "masks.npy")
    for image, mask in zip(images, masks, strict=True):
        assert set(np.unique(mask)) == {0, 1, 2}
        nucleus, cytoplasm, field = (image[mask == level, 1].mean() for level in (2, 1, 0))
        assert nucleus < cytoplasm < field
        assert mask[[0, -1]].max() == 0
