import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from wbc_pipeline.datasets.source import Source
from wbc_pipeline.imaging.duplicates import group_duplicates, group_sources, join_groups
from wbc_pipeline.imaging.overlaps import find_overlaps
from wbc_pipeline.imaging.packing import build_manifest, pack_images
from wbc_pipeline.sources import blood_cells, blood_cells_originals, combined, demo, lisc
from wbc_pipeline.sources.combined import (
    caveats,
    join_sets,
    licences,
    list_boxes,
    list_sets,
    set_names,
)
from wbc_pipeline.sources.listing import SOURCES, LayoutError, as_listing, load_source
from wbc_pipeline.sources.smears import render_cell

OPTIONS = {
    "demo": {
        "cells_per_class": 2,
        "views_per_cell": 1,
        "image_size": 64,
        "classes": ["basophil", "monocyte", "myeloblast"],
    }
}


@pytest.fixture
def raw(tmp_path):
    """LISC with the demo's cells as its images: files copied, recompressed, and its own."""
    rendered = list_sets("demo", tmp_path, data=tmp_path, options=OPTIONS)["demo"]
    home = tmp_path / lisc.FOLDER
    for short, label in lisc.CLASSES.items():
        (home / short).mkdir(parents=True)
        paths = rendered.loc[rendered["label"] == label, "path"].tolist()
        for path in paths[:1]:
            shutil.copy(path, home / short / "copied.png")
        for path in paths[1:]:
            pixels = cv2.imread(path)[:, ::-1]
            cv2.imwrite(str(home / short / "recompressed.jpg"), pixels)
    (home / "mono" / "own.png").touch()
    own = render_cell("monocyte", seed=99, image_size=64, domain="giemsa/laboratory_a")
    cv2.imwrite(str(home / "mono" / "own.png"), own.image)
    return tmp_path


def list_both(raw, *, options=OPTIONS, **how):
    return join_sets(list_sets("demo+lisc", raw, data=raw, options=options), **how)


def test_two_sets_are_one_with_ids_that_tell_them_apart(raw):
    listing = list_both(raw)
    assert listing["image_id"].is_unique and listing["image_id"].is_monotonic_increasing
    assert (listing["image_id"].str.partition("/")[0] == listing["dataset"]).all()
    assert listing["dataset"].value_counts().to_dict() == {"demo": 4, "lisc": 5}
    assert set(listing["source_id"].dropna()) == {
        f"demo/{label}_{index:04d}" for label in ("basophil", "monocyte") for index in (0, 1)
    }
    assert set(listing.loc[listing["dataset"] == "lisc", "domain"]) == {"lisc"}


def test_one_set_keeps_its_ids_and_names_itself(raw):
    listing = join_sets(list_sets("lisc", raw, data=raw, options={}))
    assert set(listing["dataset"]) == {"lisc"}
    assert listing["image_id"][0] == "baso/copied.png"
    assert listing["domain"].isna().all()


def test_classes_are_those_that_all_sets_share_or_all(raw):
    assert set(list_both(raw)["label"]) == {"basophil", "monocyte"}
    assert set(list_both(raw, classes="all")["label"]) == {"basophil", "monocyte", "myeloblast"}


def test_sets_that_share_no_classes_are_refused_with_the_classes_of_each(raw):
    options = {"demo": OPTIONS["demo"] | {"classes": ["myeloblast", "erythroblast"]}}
    with pytest.raises(LayoutError, match=r"share no classes.*demo: erythroblast, .*lisc: baso"):
        list_both(raw, options=options)


def test_left_to_itself_it_keeps_all_classes_where_too_few_are_shared_and_says_so(raw, caplog):
    assert set(list_both(raw, classes="auto")["label"]) == {"basophil", "monocyte"}
    assert not caplog.messages
    options = {"demo": OPTIONS["demo"] | {"classes": ["myeloblast", "erythroblast"]}}
    kept = list_both(raw, classes="auto", options=options)
    assert set(kept["label"]) == {"basophil", "monocyte", "myeloblast", "erythroblast"}
    assert "share no classes, so all of them are kept (demo: erythroblast" in caplog.text


def test_a_source_that_stands_in_two_sets_is_one_source(raw):
    listing = list_both(raw)
    outcome = pack_images(listing, raw / "images.npy", image_size=64)
    manifest = build_manifest(listing, outcome)
    images = np.load(raw / "images.npy")
    alike = join_groups(
        group_duplicates(images), find_overlaps(images)[["first", "second"]].to_numpy()
    )
    sources = group_sources(manifest, alike, one_image_per_cell=True)
    groups = pd.Series(sources["source_group"].to_numpy(), manifest["image_id"])
    for short, label in (("baso", "basophil"), ("mono", "monocyte")):
        assert groups[f"lisc/{short}/copied.png"] == f"demo/{label}_0000"
        assert groups[f"lisc/{short}/recompressed.jpg"] == f"demo/{label}_0001"
    assert groups["lisc/mono/own.png"] == "lisc/mono/own.png"


def test_copies_and_their_originals_name_a_photograph_by_one_id(tmp_path, monkeypatch):
    photographs = as_listing(
        {"image_id": f"{i}.jpg", "path": f"/{i}.jpg", "label": "xy"[i], "source_id": f"Image_{i}"}
        for i in range(2)
    )
    copies = as_listing(
        {"image_id": f"{i}.jpg", "path": f"/{i}.jpg", "label": "xy"[i]} for i in range(2)
    )
    boxes = pd.DataFrame([("0.jpg", "wbc", 0, 0, 5, 5)], columns=["image_id", "name", *demo.BOX])
    monkeypatch.setattr(blood_cells_originals, "list_images", lambda raw: photographs)
    monkeypatch.setattr(blood_cells_originals, "list_boxes", lambda raw: boxes)
    monkeypatch.setattr(blood_cells, "list_images", lambda raw: copies)
    source = Source("blood_cells+blood_cells_originals", tmp_path, tmp_path)
    listed = source.list_images({})
    known = listed["source_id"].dropna().tolist()
    assert (
        known
        == source.list_originals()["source_id"].tolist()
        == [
            "blood-cells/Image_0",
            "blood-cells/Image_1",
        ]
    )
    assert source.copied_sets == ["blood_cells"]
    assert source.sets_of_one_image_per_cell == ["blood_cells_originals"]
    assert source.list_boxes({})["image_id"].isin(listed["image_id"]).all()
    assert Source("blood_cells", tmp_path, tmp_path).list_originals()["source_id"][0] == "Image_0"


def test_sets_without_boxes_have_no_rows_of_boxes(tmp_path):
    listed = dict.fromkeys(["lisc", "demo"])
    assert list(list_boxes(listed, tmp_path, options={}).columns) == [
        "image_id",
        "name",
        *demo.BOX,
    ]
    assert len(list_boxes({"lisc": None}, tmp_path, options={})) == 0


def test_caveats_of_several_sets_name_the_set():
    assert caveats("lisc") == list(lisc.CAVEATS)
    assert [text.partition(":")[0] for text in caveats("demo+lisc")] == ["demo", "lisc"]


@pytest.mark.parametrize("name", SOURCES)
def test_every_set_has_a_licence_or_says_that_it_is_not_stated(name):
    download = f"{load_source(name).PUBLIC_NAME}: "
    (said,) = licences(name).values()
    assert said.startswith(download)
    licence = said.removeprefix(download)
    assert any(word in licence for word in ("MIT", "CC BY", "GPL", "not stated"))


def test_licences_of_several_sets_are_told_apart():
    assert list(licences("blood_cells+lisc")) == ["blood_cells", "lisc"]
    assert licences("blood_cells+lisc")["lisc"].endswith(": not stated")


def test_a_set_that_is_unknown_or_named_twice_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'lisc'"):
        set_names("demo+lsic")
    with pytest.raises(ValueError, match="twice"):
        set_names("lisc+demo+lisc")


def test_a_data_set_that_a_command_asks_for_twice_is_listed_once(tmp_path, monkeypatch):
    passes = []
    listed = combined.list_source
    monkeypatch.setattr(
        combined, "list_source", lambda *args, **how: passes.append(args) or listed(*args, **how)
    )
    shown, boxed = (Source("demo", tmp_path, tmp_path) for _ in range(2))
    small = {"demo": {"cells_per_class": 1, "views_per_cell": 1, "image_size": 32}}
    first = shown.list_images(small)
    boxed.take_over(shown)
    assert boxed.list_images(small).equals(first)
    assert len(passes) == 1
