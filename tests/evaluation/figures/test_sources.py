import io

import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of, texts_of
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from paper_tables import CLASSES, VARIANTS, make_predictions
from sklearn.metrics import roc_auc_score

from wbc_pipeline.evaluation.figures import sources as figures
from wbc_pipeline.evaluation.scores.by_source import accuracy_by_source


def bars_of(figure: Figure) -> list[tuple[float, bool]]:
    """Length of each bar, and whether it is hatched."""
    (bars,) = figure.axes[0].containers
    return [(bar.get_width(), bool(bar.get_hatch())) for bar in bars]


def panels_of(figure: Figure) -> list[str]:
    """Titles of the panels, drawn."""
    figure.savefig(io.BytesIO(), dpi=40)
    return [axes.get_title(loc="left") for axes in figure.axes if axes.axison]


def summarise(**protocols: dict) -> pd.DataFrame:
    """Make a row per protocol of one variant, from accuracy, test_sources and images_leaked."""
    rows = [{"variant": "cnn", "protocol": name} | row for name, row in protocols.items()]
    table = pd.DataFrame(rows)
    ends = {"accuracy_low": table["accuracy"] - 0.02, "accuracy_high": table["accuracy"] + 0.01}
    return table.assign(**ends)


RANDOM = {"accuracy": 0.97, "test_sources": 306.0, "images_leaked": 0.98}
SOURCE = {"accuracy": 0.8, "test_sources": 35.4, "images_leaked": 0.0}


@pytest.fixture
def summary() -> pd.DataFrame:
    return summarise(random=RANDOM, source=SOURCE)


@pytest.fixture(scope="module")
def worst(predictions) -> pd.DataFrame:
    table = accuracy_by_source(predictions)
    return table[(table["variant"] == "normal") & (table["protocol"] == "source")]


def images(count: int) -> list[np.ndarray]:
    return [np.full((8, 8, 3), 20 * i, np.uint8) for i in range(count)]


def test_every_bar_says_how_many_cells_are_behind_it(summary):
    figure = figures.accuracy_by_protocol(summary, dataset="demo")
    check(figure, "· demo", "306 cells", "35 cells", "0.970", "0.800", "accuracy on test images")
    assert "printed in the paper" not in texts_of(figure)
    unknown = summary.assign(test_sources=np.nan)
    check(figures.accuracy_by_protocol(unknown), "cells not known")


def test_protocols_that_leak_are_hatched_and_named(summary):
    figure = figures.accuracy_by_protocol(summary)
    assert rows_of(figure) == ["random (leaks)", "source"]
    assert bars_of(figure) == [(0.97, True), (0.8, False)]
    published = summarise(random=RANDOM | {"images_leaked": 0.0}, published=RANDOM)
    assert rows_of(figures.accuracy_by_protocol(published)) == ["random", "published (leaks)"]


def test_a_protocol_is_known_to_leak_by_name_where_cells_are_not_known(summary):
    unknown = pd.concat([summary, summary.head(1).assign(protocol="filename")])
    figure = figures.accuracy_by_protocol(unknown.assign(images_leaked=np.nan))
    assert rows_of(figure) == ["random (leaks)", "source", "filename (leaks)"]


def test_a_single_protocol_is_named_once(summary):
    one = summary.head(1)
    figure = figures.accuracy_by_protocol(pd.concat([one, one.assign(variant="other")]))
    assert rows_of(figure) == ["cnn", "other"]
    check(figure, "protocol: random (leaks)")


def test_bars_are_grouped_by_variant_in_whatever_order_they_come(summary):
    other = summary.assign(variant="other", accuracy=[0.5, 0.4])
    figure = figures.accuracy_by_protocol(pd.concat([summary, other]).sort_values("protocol"))
    assert [width for width, _ in bars_of(figure)] == [0.97, 0.8, 0.5, 0.4]


def test_each_printed_accuracy_has_its_star(summary):
    published = {"cnn": {"accuracy": ["0.9544", 0.9621]}, "other": {"accuracy": 0.5}}
    figure = figures.accuracy_by_protocol(summary, published)
    check(figure, "printed in the paper")
    points = [found for found in figure.axes[0].collections if isinstance(found, PathCollection)]
    stars = [found.get_offsets()[0, 0] for found in points]
    assert stars == [0.9544, 0.9621]


def test_bars_without_an_interval_are_drawn(summary):
    bare = summary.assign(accuracy_low=np.nan, accuracy_high=np.nan)
    check(figures.accuracy_by_protocol(bare), "0.970")


def test_a_panel_of_curves_names_each_class_with_its_mean_area():
    run = make_predictions(variants=["blend"], protocols=["source"])
    figure = figures.roc_curves(run, dataset="demo")
    areas = [
        roc_auc_score(seed["label"] == "monocyte", seed["p_monocyte"])
        for _, seed in run.groupby("seed")
    ]
    check(figure, "· demo", "blend · source", "AUC", f"monocyte {np.mean(areas):.3f}")


def test_a_curve_is_the_mean_of_its_seeds_and_lies_in_their_band():
    run = make_predictions(variants=["blend"], protocols=["source"])
    both, *alone = (figures.roc_curves(frame).axes[0] for frame in (run, *split_seeds(run)))
    name = both.lines[1].get_label().split()[0]
    curves = [axes.lines[1].get_ydata() for axes in alone]
    assert name == CLASSES[0]
    np.testing.assert_allclose(both.lines[1].get_ydata(), np.mean(curves, axis=0))
    band = both.collections[0].get_datalim(both.transData).extents
    assert band[3] == max(curve.max() for curve in curves)
    assert not alone[0].collections  # one seed has no band


def split_seeds(run: pd.DataFrame) -> list[pd.DataFrame]:
    return [seed for _, seed in run.groupby("seed")]


def test_no_more_than_a_dozen_panels_show_the_best_variants(predictions):
    assert len(panels_of(figures.roc_curves(predictions))) == 10
    many = [predictions.assign(variant=predictions["variant"] + f" {i}") for i in range(2)]
    figure = figures.roc_curves(pd.concat(many))
    assert len(panels_of(figure)) == 12
    assert panels_of(figure)[0].startswith("blend")
    check(figure, "6 best of 10 variants")


def test_one_protocol_wraps_its_variants(predictions):
    figure = figures.roc_curves(predictions[predictions["protocol"] == "source"])
    assert len(panels_of(figure)) == len(VARIANTS)


def test_what_was_not_run_or_tested_leaves_no_curve(predictions):
    run = predictions["variant"].isin(["normal", "blend"])
    run &= (predictions["variant"] == "normal") | (predictions["protocol"] == "source")
    figure = figures.roc_curves(predictions[run & (predictions["label"] != "monocyte")])
    check(figure, "not run")
    assert not any(text.startswith("monocyte") for text in texts_of(figure))


@pytest.mark.filterwarnings("error")
def test_a_test_part_of_one_class_leaves_a_panel_without_curves():
    run = make_predictions(variants=["blend"], protocols=["source"])
    check(figures.roc_curves(run[run["label"] == "monocyte"]), "blend · source", "no curve")


def test_thirteen_classes_have_curves_that_differ():
    classes = [f"a class of cells {i}" for i in range(13)]
    run = make_predictions(variants=["blend"], protocols=["source"], classes=classes, sources=200)
    axes = figures.roc_curves(run).axes[0]
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines[1:]}
    assert len(axes.lines) == 14
    assert len(looks) == 13


def test_the_hardest_cells_say_what_they_were_taken_for(worst):
    row = worst.iloc[0]
    figure = figures.hardest_sources(worst, {row["source_id"]: images(9)}, dataset="demo")
    check(figure, "· demo", "normal · source", row["label"], f"taken for {row['taken_for']}")
    check(figure, f"of {row['images']} answers right", row["source_id"])
    assert sum(bool(axes.images) for axes in figure.axes) == 7
    assert sum(text.startswith("taken for") for text in texts_of(figure)) == 12


def test_cells_come_worst_first_and_without_those_that_never_fail(worst):
    few = pd.concat([worst.tail(1).assign(accuracy=1.0), worst.iloc[[5, 0]]])
    tiles = {name: images(i + 1) for i, name in enumerate(few["source_id"])}
    figure = figures.hardest_sources(few, tiles, columns=2)
    shown = [text for text in texts_of(figure) if text.startswith("cell-")]
    assert shown == [worst.iloc[0]["source_id"], worst.iloc[5]["source_id"]]
    assert sum(bool(axes.images) for axes in figure.axes) == 4


def test_cells_of_several_runs_are_refused(predictions):
    with pytest.raises(ValueError, match="10 pairs of variant and protocol, such as normal"):
        figures.hardest_sources(accuracy_by_source(predictions), {})


def test_what_was_not_found_is_said_in_the_figures_place(predictions, worst):
    check(figures.accuracy_by_protocol(pd.DataFrame()), "no experiment was run")
    check(figures.roc_curves(predictions.head(0)), "no predictions")
    check(figures.hardest_sources(worst.head(0), {}), "cells are not known")
    check(figures.hardest_sources(worst.assign(accuracy=1.0), {}), "every answer is right")
