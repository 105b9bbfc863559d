import pandas as pd
from figure_texts import check
from matplotlib.colors import to_hex
from paper_tables import VARIANTS

from wbc_pipeline.evaluation.figures import training as figures
from wbc_pipeline.evaluation.figures.style import PALETTE


def test_every_figure_names_its_data_set_and_units(history, paths):
    check(figures.training_curves(history, dataset="demo"), "· demo", "epoch", "loss (nats)")
    check(figures.parameter_paths(paths, dataset="demo"), "· demo", "alpha", "optimiser step")
    check(figures.canny_instability(paths, dataset="demo"), "· demo", "pixels", "changes sign")


def test_a_single_epoch_is_drawn(history):
    first = history.query("variant == 'blend' and protocol == 'source' and epoch == 0")
    markers = [line.get_marker() for line in figures.training_curves(first).axes[0].lines]
    assert "o" in markers


def test_of_many_variants_the_best_by_validation_are_drawn(history):
    one = history.query("variant == 'blend' and protocol == 'source' and seed == 0")
    many = pd.concat(
        one.assign(variant=f"v{number}", val_accuracy=one["val_accuracy"] - number / 100)
        for number in reversed(range(figures.MOST_VARIANTS + 1))
    )
    figure = figures.training_curves(many)
    check(figure, "8 best by validation of 13 variants", "v0", "v7")
    assert "v8" not in {text.get_text() for text in figure.legends[0].get_texts()}
    colours = {line.get_color() for line in figure.axes[0].lines}
    assert len(colours) == len(PALETTE)
    fewer = many[many["variant"] != "v0"]
    assert len({*fewer["variant"]}) == figures.MOST_VARIANTS
    assert len(figures.training_curves(fewer).axes[0].lines) == 2 * figures.MOST_VARIANTS


def test_each_fold_is_a_line_of_its_own(history):
    one = history.query("variant == 'blend' and protocol == 'source' and seed == 0")
    folds = one.assign(fold=1, val_loss=one["val_loss"] + 1)
    single = figures.training_curves(one).axes[1].lines
    both = figures.training_curves(pd.concat([one, folds])).axes[1].lines
    assert (len(single), len(both)) == (2, 6)  # means of training and validation, and two runs each


def test_what_was_not_tracked_is_said_in_the_figures_place(paths, history):
    check(figures.parameter_paths(paths.head(0)), "no parameters tracked")
    check(figures.parameter_paths(paths, ["beta"]), "no parameters tracked")
    check(figures.canny_instability(paths.query("name == 'alpha'")), "no Canny parameters tracked")
    check(figures.training_curves(history.head(0)), "no epochs tracked")


def test_a_variant_keeps_its_colour_whatever_else_is_drawn(paths):
    figure = figures.parameter_paths(paths, ["alpha"], variants=VARIANTS)
    assert to_hex(figure.axes[0].lines[0].get_color()).upper() == PALETTE[1]
