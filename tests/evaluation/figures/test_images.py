import numpy as np
import pandas as pd
import pytest
from audit_tables import make_codes, make_copies, make_laboratories, make_manifest
from figure_texts import check, rows_of, tiles_of
from paper_tables import CLASSES

from wbc_pipeline.evaluation.audit import tables as audit
from wbc_pipeline.evaluation.audit.gaps import analyse_gaps
from wbc_pipeline.evaluation.figures import images as figures

CODES = ["0", "1", "NA"]


def small_images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


def measured(images: int) -> pd.DataFrame:
    table = pd.DataFrame({"brightness": np.arange(float(images)), "sharpness": np.nan})
    return table.assign(eosin=1.0)


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
    return small_images(120)


def test_images_are_counted_by_class_and_domain_and_refused_ones_are_not(manifest):
    figure = figures.samples_per_class(manifest, dataset="demo")
    check(figure, "· demo", "images", "not recorded", "giemsa")
    accepted = manifest[manifest["status"] == "ok"]["label"].value_counts()
    check(figure, str(accepted["basophil"]))


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


def test_codes_of_classes_name_the_rows(codes):
    assert rows_of(figures.counts_by_class(audit.count_images(codes))) == CODES
    assert rows_of(figures.measurement_distributions(measured(64), codes)) == CODES


def test_cells_and_gaps_of_every_set_are_written(laboratories):
    counts, _, _ = analyse_gaps({"one": laboratories, "another": laboratories.head(1)})
    check(figures.gap_heatmap(counts), "one", "another", "total", "plasma cell (PC)", "–")


def test_codes_of_classes_stand_above_their_mean_images(codes, pixels):
    means = ["0\nBarcelona, 40", "1\nBarcelona, 20", "NA\nMunich, 4"]
    assert tiles_of(figures.mean_images(pixels, codes)) == means


def test_a_label_of_several_codes_has_its_row(codes):
    check(figures.gap_heatmap(analyse_gaps({"codes": codes})[0]), "label not recognised (UNKNOWN)")


def test_a_gallery_has_a_row_of_images_for_each_view_under_one_row_of_titles():
    figure = figures.gallery({"original": small_images(5), "blend": small_images(5)}, CLASSES)
    check(figure, "original", "blend", "What the network sees")
    assert [title for title in tiles_of(figure) if title] == CLASSES
    check(figures.gallery({"original": small_images(1)}))


def test_what_was_not_found_is_said_in_the_figures_place(copies, pixels, manifest):
    nothing, none = pd.DataFrame(), copies.head(0)
    check(figures.samples_per_class(manifest.head(0)), "no images accepted")
    check(figures.counts_by_class(audit.count_images(none)), "no images accepted")
    check(figures.measurement_distributions(nothing, none), "nothing measured")
    check(figures.mean_images(pixels, none), "no images accepted")
    check(figures.gap_heatmap(analyse_gaps({})[0]), "no data sets")
    check(figures.gallery({}), "no images chosen")
