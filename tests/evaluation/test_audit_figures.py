import io

import numpy as np
import pandas as pd
import pytest
from audit_tables import (
    make_codes,
    make_copies,
    make_groups,
    make_laboratories,
    make_manifest,
    make_metrics,
    make_splits,
)
from figure_texts import check, rows_of, texts_of
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from wbc_pipeline.evaluation import audit
from wbc_pipeline.evaluation import audit_figures as figures
from wbc_pipeline.evaluation.gaps import analyse_gaps
from wbc_pipeline.evaluation.tracing import describe_overlaps

CODES = ["0", "1", "NA"]


def tiles_of(figure: Figure) -> list[str]:
    """What stands above the images of the figure, drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [axes.get_title(loc="center") for axes in figure.axes if axes.images]


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


def measured(images: int) -> pd.DataFrame:
    table = pd.DataFrame({"brightness": np.arange(float(images)), "sharpness": np.nan})
    return table.assign(eosin=1.0)


def test_images_stand_beside_the_sources_that_they_show(copies, laboratories):
    check(figures.counts_by_class(audit.count_images(copies), dataset="demo"), "· demo", "train")
    check(figures.counts_by_class(audit.count_images(laboratories)), "Munich", "sources")
    unknown = copies.assign(source_id=None, source_group=None, published_part=None, label=None)
    check(figures.counts_by_class(audit.count_images(unknown)), "sources not known", "no label")


def test_every_measurement_has_its_panel_and_unit(laboratories):
    figure = figures.measurement_distributions(measured(80), laboratories, dataset="demo")
    check(figure, "· demo", "Brightness", "mean L*", "Sharpness", "Munich")


def test_thirteen_classes_of_nine_domains_are_drawn(pixels):
    rows = pd.DataFrame({"label": [f"a class of cells {i % 13}" for i in range(39)]})
    manifest = make_manifest(rows.assign(domain=[f"laboratory {i % 9}" for i in range(39)]))
    check(figures.measurement_distributions(measured(39)[["eosin"]], manifest), "laboratory 8")
    check(figures.mean_images(pixels, manifest), "a class of cells 12")
    check(figures.counts_by_class(audit.count_images(manifest)), "a class of cells 12")


def test_a_mean_image_is_the_mean_of_its_class(laboratories, pixels):
    figure = figures.mean_images(pixels, laboratories, dataset="demo")
    check(figure, "· demo", "basophil\nBarcelona, 20")
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_array_equal(shown, pixels[:20].mean(axis=0).round())


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


def test_an_unknown_leak_is_not_drawn_as_none(copies):
    splits = make_splits(copies, random="image_id", source="source_id")
    leaks = audit.measure_leaks(splits, copies)
    check(figures.leak_shares(leaks, dataset="demo"), "· demo", "100%", "0%")
    unknown = copies.assign(source_id=None, source_group=None)
    check(figures.leak_shares(audit.measure_leaks(splits, unknown)), "not known")


def test_the_price_is_drawn_with_its_seeds_and_test_sources():
    metrics = make_metrics(random=0.97, source=0.8)
    figure = figures.leak_price(metrics, dataset="demo")
    check(figure, "· demo", "0.970, 10 sources", "accuracy on test images")
    two = pd.concat([metrics, metrics.assign(variant="other", accuracy_low=np.nan)])
    check(figures.leak_price(two), "other · random")


def test_groups_of_names_and_guesses_are_drawn(copies):
    check(figures.filename_sources(copies, dataset="demo"), "· demo", "if names told the source")
    guess = {"target": "label", "features": "border", "balanced_accuracy": 0.5, "chance": 0.25}
    guess |= {"balanced_accuracy_low": np.nan, "balanced_accuracy_high": np.nan}
    check(figures.guesses(pd.DataFrame([guess])), "class from the border", "0.50", "chance")


def test_a_guess_that_was_not_possible_is_not_drawn():
    guess = {"target": "label", "features": "border", "balanced_accuracy": 0.5, "chance": 0.25}
    guess |= {"balanced_accuracy_low": 0.4, "balanced_accuracy_high": 0.6, "reason": None}
    failed = dict.fromkeys(guess, np.nan) | {"target": "domain", "features": "background"}
    failed |= {"reason": "a guess needs two classes."}
    figure = figures.guesses(pd.DataFrame([failed, guess]))
    assert rows_of(figure) == ["class from the border"]
    assert not any("nan" in text for text in texts_of(figure))
    check(figures.guesses(pd.DataFrame([failed])), "nothing guessed")


def test_codes_of_classes_name_the_rows(codes):
    assert rows_of(figures.counts_by_class(audit.count_images(codes))) == CODES
    assert rows_of(figures.measurement_distributions(measured(64), codes)) == CODES


def test_codes_of_classes_stand_above_their_images(codes, pixels):
    means = ["0\nBarcelona, 40", "1\nBarcelona, 20", "NA\nMunich, 4"]
    assert tiles_of(figures.mean_images(pixels, codes)) == means
    duplicates = audit.list_duplicates(codes, make_groups(codes))
    assert tiles_of(figures.duplicate_sheet(duplicates, pixels, codes)) == ["0", "NA"]
    conflicts = audit.list_conflicts(codes)
    assert tiles_of(figures.conflict_sheet(conflicts, pixels, codes)) == ["0", "NA"]


def test_codes_of_classes_stand_above_a_pair_of_photographs(codes, pixels):
    pair = {"first": "cell-1", "second": "cell-60", "correlation": 0.9, "share": 0.5}
    pair |= {"transform": [1, 0, 0, 0, 1, 0], "first_box": None, "second_box": None}
    overlaps = describe_overlaps(codes, pd.DataFrame([pair]))
    assert "0 / NA" in texts_of(figures.overlap_sheet(overlaps, lambda name: pixels[0]))


def test_figures_without_classes_count_those_of_codes_too(codes):
    leaks = audit.measure_leaks(make_splits(codes, random="image_id"), codes)
    assert rows_of(figures.leak_shares(leaks)) == ["random"]
    groups = figures.filename_sources(codes).axes[0].patches
    assert sum(bar.get_height() for bar in groups) == 5
    check(figures.gap_heatmap(analyse_gaps({"codes": codes})[0]), "label not recognised (UNKNOWN)")


def test_cells_and_gaps_of_every_set_are_written(laboratories):
    counts, _, _ = analyse_gaps({"one": laboratories, "another": laboratories.head(1)})
    check(figures.gap_heatmap(counts), "one", "another", "total", "plasma cell (PC)", "–")


def test_what_was_not_found_is_said_in_the_figures_place(copies, pixels):
    nothing, none = pd.DataFrame(), copies.head(0)
    check(figures.counts_by_class(audit.count_images(none)), "no images accepted")
    check(figures.measurement_distributions(nothing, none), "nothing measured")
    check(figures.mean_images(pixels, none), "no images accepted")
    groups = make_groups(copies)
    check(
        figures.duplicate_sheet(audit.list_duplicates(copies, groups), pixels, copies), "none found"
    )
    check(figures.conflict_sheet(audit.list_conflicts(copies), pixels, copies), "none found")
    check(figures.overlap_sheet(nothing, lambda name: pixels[0]), "none found")
    check(figures.recovery_sheet([], [], [], []), "no sources recovered from pixels")
    check(figures.recovery_scores(nothing), "no sources recovered from pixels")
    check(figures.leak_shares(nothing), "no splits")
    check(figures.filename_sources(none), "names suggest no source")
    no_guesses = pd.DataFrame(columns=["balanced_accuracy"])
    check(figures.guesses(no_guesses), "nothing guessed")
    check(figures.leak_price(nothing), "no experiment was run")
    check(figures.gap_heatmap(analyse_gaps({})[0]), "no data sets")


def test_every_figure_has_a_caption():
    drawn = {
        name
        for name, function in vars(figures).items()
        if hasattr(function, "__wrapped__") and not name.startswith("_")
    }
    assert drawn == figures.CAPTIONS.keys()
