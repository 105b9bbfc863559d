import gzip
import re
from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from wbc_pipeline.sources import pinned
from wbc_pipeline.sources.combined import list_originals, pinned_copies
from wbc_pipeline.sources.listing import SOURCES

PROJECT = Path(__file__).parents[2]
BY_CHECKSUM = ["blood_cells", "blood_cells_originals", "segmentation_wbc"]
BY_NAME = ["all_idb2", "leukemia5", "lisc", "pbc"]
PARTS = {"train", "validation", "test"}


def read(name):
    return pd.read_csv(resources.files("wbc_pipeline.sources.pinned") / f"{name}.csv.gz")


def test_every_public_set_is_pinned_in_less_than_two_megabytes():
    not_at_hand = {"raabin", "krd_wbc", "wbcbench"}
    public = SOURCES.keys() - {"demo", "image_folder", "table"} - not_at_hand
    assert {*BY_CHECKSUM, *BY_NAME} == public
    files = list(Path(pinned.__file__).parent.glob("*.csv.gz"))
    assert {file.name.partition(".")[0] for file in files} == {
        *BY_CHECKSUM,
        *BY_NAME,
        "blood_cells_overlaps",
    }
    assert sum(file.stat().st_size for file in files) < 2e6


@pytest.mark.parametrize("name", [*BY_CHECKSUM, *BY_NAME])
def test_no_group_stands_in_two_parts_or_folds(name):
    table = read(name)
    assert table["image_id"].is_unique
    assert table[["source", "source_group"]].notna().all(axis=None)
    split = table.dropna(subset="part")
    assert set(split["part"]) == PARTS
    assert set(split["fold"]) == {0, 1, 2, 3, 4}
    assert split.groupby("source_group")[["part", "fold"]].nunique().eq(1).all(axis=None)
    assert table.groupby("source")["source_group"].nunique().eq(1).all()


@pytest.mark.parametrize("name", [*BY_CHECKSUM, *BY_NAME])
def test_only_published_files_are_known_by_their_checksum(name):
    table = read(name)
    assert ("sha256" in table) == (name in BY_CHECKSUM)
    what = pinned.CHECKSUMMED if name in BY_CHECKSUM else pinned.RESCALED_COPIES
    assert (table["found_on"] == what).all()


def test_pinned_files_have_no_time_and_no_name():
    for file in Path(pinned.__file__).parent.glob("*.csv.gz"):
        content = file.read_bytes()
        assert content[4:8] == bytes(4), file
        assert content[3] == 0, file  # no flags, hence no name
        assert gzip.decompress(content).startswith((b"sha256,", b"image_id,", b"first,second,"))


def test_the_page_says_what_the_tables_hold():
    page = (PROJECT / "docs/reference/pinned-sources.md").read_text()
    told = {
        row[0]: [int(number.replace(",", "")) for number in row[1:]]
        for row in re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d,]+) \| ([\d,]+) \|", page, re.M)
    }
    assert told == {
        name: [len(table := read(name)), *table[["source", "source_group"]].nunique()]
        for name in [*BY_CHECKSUM, *BY_NAME]
    }


@pytest.fixture
def images():
    return pd.DataFrame(
        {
            "image_id": ["a.png", "b.png", "c.png"],
            "sha256": ["1" * 64, "2" * 64, "3" * 64],
            "source_id": ["x", None, "y"],
            "source_group": ["x", None, "x"],
        }
    )


@pytest.fixture
def recovered():
    return pd.DataFrame(
        {
            "image_id": ["a.png", "b.png", "c.png"],
            "source_id": ["x", "x", "y"],
            "original_label": ["monocyte", None, "monocyte, basophil"],
            "mirrored": [True, False, False],
            "score": [0.912345, 0.3, 0.99],
            "margin": [0.7, 0.1, 0.8],
            "transform": [[-1.0, 0, 319.004, 0, 1.0000001, 0]] * 3,
            "certain": [True, False, True],
        }
    )


FOLD = pd.Series([3, 0], ["a.png", "c.png"])
PART = pd.Series(["train", "test"], ["a.png", "c.png"])


def test_a_table_has_a_row_per_image(images):
    table = pinned.tabulate_sources(images, pd.DataFrame(), fold=FOLD, part=PART)
    assert table.astype(object).where(table.notna(), None).to_numpy().tolist() == [
        ["1" * 64, "a.png", "x", "x", 3, "train", pinned.CHECKSUMMED],
        ["2" * 64, "b.png", None, None, None, None, pinned.CHECKSUMMED],
        ["3" * 64, "c.png", "y", "x", 0, "test", pinned.CHECKSUMMED],
    ]


def test_rescaled_files_are_known_by_their_name_alone(images):
    table = pinned.tabulate_sources(images, pd.DataFrame(), fold=FOLD, part=PART, rescaled=True)
    assert "sha256" not in table
    assert (table["found_on"] == "rescaled copies").all()


def test_what_is_certain_of_copies_is_read_as_it_was_written(
    images, recovered, tmp_path, monkeypatch
):
    monkeypatch.setattr(pinned, "_HOME", tmp_path)
    assert pinned.read_copies("copies") is None
    overlaps = pd.DataFrame(
        {"first": ["x"], "second": ["y"], "correlation": [0.951234], "share": [0.5]}
    ).assign(transform=[[1.0, 0, 4.25, 0, 1, 0]], first_box=[[1, 2, 3, 4]], second_box=None)
    table = pinned.tabulate_sources(images, recovered, fold=FOLD, part=PART)
    table.to_csv(tmp_path / "copies.csv.gz", index=False)
    pinned.tabulate_overlaps(overlaps).to_csv(tmp_path / "copies_overlaps.csv.gz", index=False)
    found = pinned.read_copies("copies")
    assert found.matches.to_numpy().tolist() == [
        ["1" * 64, "x", "monocyte", True, 0.9123, 0.7, [-1, 0, 319, 0, 1, 0], True],
        ["3" * 64, "y", "monocyte, basophil", False, 0.99, 0.8, [-1, 0, 319, 0, 1, 0], True],
    ]
    expected = overlaps.assign(correlation=0.9512, second_box=pd.Series([None], dtype=object))
    pd.testing.assert_frame_equal(found.overlaps, expected, check_dtype=False)


@pytest.mark.parametrize("sets", ["blood_cells", "blood_cells+lisc"])
def test_pinned_sources_have_the_ids_of_the_photographs(real_data, sets):
    names = set(list_originals(sets, real_data)["source_id"])
    found = pinned_copies(sets)
    assert set(found.matches["source_id"]) <= names
    assert {*found.overlaps["first"], *found.overlaps["second"]} <= names


def test_sets_without_copies_have_no_pinned_ones():
    assert pinned_copies("lisc") is None
