import numpy as np
import pandas as pd
import pytest
from audit_tables import make_codes, make_copies, make_groups, make_laboratories
from figure_texts import check, texts_of, tiles_of
from matplotlib.image import AxesImage

from wbc_pipeline.evaluation.audit import tables as audit
from wbc_pipeline.evaluation.audit.tracing import describe_overlaps
from wbc_pipeline.evaluation.figures import copies as figures


@pytest.fixture(scope="module")
def copies() -> pd.DataFrame:
    return make_copies()


@pytest.fixture(scope="module")
def laboratories() -> pd.DataFrame:
    return make_laboratories()


@pytest.fixture(scope="module")
def codes() -> pd.DataFrame:
    return make_codes()


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (120, 16, 16, 3), dtype=np.uint8)


def test_images_are_found_in_the_array_past_refused_files(laboratories, pixels):
    refused = pd.concat([laboratories.head(1).assign(status="truncated"), laboratories])
    duplicates = audit.list_duplicates(laboratories, make_groups(laboratories))
    figure = figures.duplicate_sheet(duplicates, pixels, refused, dataset="demo")
    check(figure, "· demo", "identical file", "images/1.png")
    tiles = [image.get_array() for image in figure.findobj(AxesImage)]
    np.testing.assert_array_equal(tiles[1], pixels[1])


def test_a_sheet_says_how_much_it_does_not_show(laboratories, pixels):
    manifest = laboratories.assign(source_id=[f"cell-{i % 16}" for i in range(80)])
    figure = figures.conflict_sheet(audit.list_conflicts(manifest), pixels, manifest)
    check(figure, "12 of 16 groups", "cell-0 · 2 more")


def test_a_conflict_shows_each_label_first(laboratories, pixels):
    manifest = laboratories.assign(source_id="one cell")
    check(figures.conflict_sheet(audit.list_conflicts(manifest), pixels, manifest), "myeloblast")


def test_long_names_keep_their_ends(laboratories, pixels):
    long = "a/very/long/folder/" + laboratories["image_id"]
    manifest = laboratories.assign(image_id=long, label="a label of many many words and more")
    duplicates = audit.list_duplicates(manifest, make_groups(manifest))
    check(figures.duplicate_sheet(duplicates, pixels, manifest), "a/very/long…images/1.png")


def test_pairs_across_published_parts_come_first(pixels):
    overlaps = pd.DataFrame({"first": ["a", "c"], "second": ["b", "d"], "labels": "", "parts": ""})
    overlaps = overlaps.assign(across_parts=[False, True], labels_differ=False)
    loaded = []

    def load(name: str) -> np.ndarray:
        loaded.append(name)
        return pixels[0]

    check(figures.overlap_sheet(overlaps, load, dataset="demo"), "· demo")
    assert loaded == ["c", "d", "a", "b"]


def test_copies_stand_beside_their_original_with_their_scores(pixels):
    rows = [[pixels[0]], [pixels[1], pixels[2]]]
    sheet = figures.recovery_sheet(
        pixels[:2], rows, [[0.91], [0.92, 0.93]], ["one", "two"], dataset="demo"
    )
    check(sheet, "· demo", "one", "0.93")
    matched = pd.DataFrame({"score": [0.99, 0.4], "margin": [1, 0.01], "certain": [True, False]})
    check(figures.recovery_scores(matched, dataset="demo"), "certain (1)", "uncertain (1)")


def test_codes_of_classes_stand_above_a_pair_of_photographs(codes, pixels):
    pair = {"first": "cell-1", "second": "cell-60", "correlation": 0.9, "share": 0.5}
    pair |= {"transform": [1, 0, 0, 0, 1, 0], "first_box": None, "second_box": None}
    overlaps = describe_overlaps(codes, pd.DataFrame([pair]))
    assert "0 / NA" in texts_of(figures.overlap_sheet(overlaps, lambda name: pixels[0]))


def test_codes_of_classes_stand_above_their_images(codes, pixels):
    duplicates = audit.list_duplicates(codes, make_groups(codes))
    assert tiles_of(figures.duplicate_sheet(duplicates, pixels, codes)) == ["0", "NA"]
    conflicts = audit.list_conflicts(codes)
    assert tiles_of(figures.conflict_sheet(conflicts, pixels, codes)) == ["0", "NA"]


def test_every_group_of_names_is_counted(copies, codes):
    check(figures.filename_sources(copies, dataset="demo"), "· demo", "if names told the source")
    groups = figures.filename_sources(codes).axes[0].patches
    assert sum(bar.get_height() for bar in groups) == 5


def test_what_was_not_found_is_said_in_the_figures_place(copies, pixels):
    nothing, none = pd.DataFrame(), copies.head(0)
    groups = make_groups(copies)
    check(
        figures.duplicate_sheet(audit.list_duplicates(copies, groups), pixels, copies), "none found"
    )
    check(figures.conflict_sheet(audit.list_conflicts(copies), pixels, copies), "none found")
    check(figures.overlap_sheet(nothing, lambda name: pixels[0]), "none found")
    check(figures.recovery_sheet([], [], [], []), "no sources recovered from pixels")
    check(figures.recovery_scores(nothing), "no sources recovered from pixels")
    check(figures.filename_sources(none), "names suggest no source")
