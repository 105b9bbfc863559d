import os
import string

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wbc_pipeline.sources.listing import (
    LISTING_COLUMNS,
    SOURCES,
    LayoutError,
    MissingDataError,
    as_listing,
    list_source,
    listing_digest,
    load_source,
    relative_files,
)

NAMES = st.lists(st.text(string.ascii_letters + " é'_", min_size=1), unique=True, max_size=8)


@pytest.fixture
def two_files(tmp_path):
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(b"pixels")
    rows = [{"image_id": n, "path": str(tmp_path / n), "label": "x"} for n in ("a.png", "b.png")]
    return as_listing(rows)


@given(NAMES)
def test_a_listing_is_sorted_and_has_every_column(names):
    listing = as_listing([{"image_id": name, "path": f"/{name}"} for name in names])
    assert tuple(listing.columns) == LISTING_COLUMNS
    assert listing["image_id"].tolist() == sorted(names)
    assert listing.index.equals(pd.RangeIndex(len(names)))
    assert listing["source_id"].isna().all()


def test_a_listing_refuses_an_image_id_given_twice():
    with pytest.raises(LayoutError, match=r"occur twice.*'a'"):
        as_listing([{"image_id": "a", "path": "/a"}, {"image_id": "a", "path": "/b"}])


def test_a_file_name_that_is_not_utf8_is_named():
    with pytest.raises(LayoutError, match="not valid UTF-8"):
        as_listing([{"image_id": "bad\udcff.png", "path": "/bad\udcff.png"}])


def test_an_unknown_source_is_answered_with_the_closest_name(tmp_path):
    with pytest.raises(ValueError, match=r"Did you mean 'leukemia5'.*Known: demo"):
        list_source("leukaemia5", tmp_path, data=tmp_path)


def test_an_unknown_option_is_answered_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'foldr'.* options: folder, classes, masks"):
        list_source("image_folder", tmp_path, data=tmp_path, options={"folder": "", "foldr": ""})


@pytest.mark.parametrize("name", [name for name in SOURCES if name != "demo"])
def test_missing_data_says_where_what_and_the_alternative(name, tmp_path):
    options = {
        "image_folder": {"folder": "mine"},
        "pbc": {"labels": "fine"},
        "table": {"file": "mine.csv"},
    }
    with pytest.raises(MissingDataError) as error:
        list_source(name, tmp_path, data=tmp_path, options=options.get(name))
    for part in (str(tmp_path), load_source(name).PUBLIC_NAME, "WBC_DATA", "dataset=demo"):
        assert part in str(error.value)


def test_the_digest_is_the_same_for_unchanged_files(two_files):
    assert listing_digest(two_files) == listing_digest(two_files.copy())


@pytest.mark.parametrize("column", [c for c in LISTING_COLUMNS if not c.endswith("path")])
def test_the_digest_sees_every_column(two_files, column):
    changed = two_files.copy()
    changed.at[0, column] = [1, 2, 3] if column == "box" else "other"
    assert listing_digest(changed) != listing_digest(two_files)


def test_the_digest_does_not_look_at_files_with_a_problem(two_files):
    two_files["problem"] = "path leads out of the folder"
    before = listing_digest(two_files)
    os.remove(two_files["path"][0])
    assert listing_digest(two_files) == before


def test_the_digest_sees_a_changed_touched_or_missing_file(two_files):
    path = two_files["path"][0]
    digests = [listing_digest(two_files)]
    os.utime(path, ns=(1, 1))
    digests.append(listing_digest(two_files))
    with open(path, "ab") as file:
        file.write(b"more")
    os.utime(path, ns=(1, 1))
    digests.append(listing_digest(two_files))
    os.remove(path)
    digests.append(listing_digest(two_files))
    assert len(set(digests)) == 4


def test_the_digest_sees_a_changed_mask(two_files, tmp_path):
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"mask")
    two_files.loc[0, "mask_path"] = str(mask)
    before = listing_digest(two_files)
    mask.write_bytes(b"longer mask")
    assert listing_digest(two_files) != before


def test_files_are_found_at_any_depth_but_not_clutter(tmp_path):
    wanted = ["a.jpg", "deep/er/b.notes", "deep/naïve 'name'.png"]
    for name in [*wanted, ".hidden", "Thumbs.db", ".git/c.jpg", "__MACOSX/a.jpg", ".DS_Store"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert sorted(relative_files(tmp_path)) == wanted


def test_broken_links_and_links_to_folders_are_listed(tmp_path):
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert sorted(relative_files(tmp_path)) == ["broken.png", "loop"]
