import numpy as np
import pandas as pd
from audit_tables import make_codes, make_copies, make_metrics, make_splits
from figure_texts import check, rows_of, texts_of

from wbc_pipeline.evaluation.audit.leaks import measure_leaks
from wbc_pipeline.evaluation.figures import leaks as figures


def test_an_unknown_leak_is_not_drawn_as_none():
    copies = make_copies()
    splits = make_splits(copies, random="image_id", source="source_id")
    leaks = measure_leaks(splits, copies)
    check(figures.leak_shares(leaks, dataset="demo"), "· demo", "100%", "0%")
    unknown = copies.assign(source_id=None, source_group=None)
    check(figures.leak_shares(measure_leaks(splits, unknown)), "not known")


def test_the_price_is_drawn_with_its_seeds_and_test_sources():
    metrics = make_metrics(random=0.97, source=0.8)
    figure = figures.leak_price(metrics, dataset="demo")
    check(figure, "· demo", "0.970, 10 sources", "accuracy on test images")
    two = pd.concat([metrics, metrics.assign(variant="other", accuracy_low=np.nan)])
    check(figures.leak_price(two), "other · random")


def test_a_guess_that_was_not_possible_is_not_drawn():
    guess = {"target": "label", "features": "border", "balanced_accuracy": 0.5, "chance": 0.25}
    guess |= {"balanced_accuracy_low": 0.4, "balanced_accuracy_high": 0.6, "reason": None}
    failed = dict.fromkeys(guess, np.nan) | {"target": "domain", "features": "background"}
    failed |= {"reason": "a guess needs two classes."}
    figure = figures.guesses(pd.DataFrame([failed, guess]))
    assert rows_of(figure) == ["class from the border"]
    assert not any("nan" in text for text in texts_of(figure))
    check(figures.guesses(pd.DataFrame([failed])), "nothing guessed")


def test_protocols_name_the_rows():
    codes = make_codes()
    leaks = measure_leaks(make_splits(codes, random="image_id"), codes)
    assert rows_of(figures.leak_shares(leaks)) == ["random"]


def test_a_guess_without_interval_is_drawn():
    guess = {"target": "label", "features": "border", "balanced_accuracy": 0.5, "chance": 0.25}
    guess |= {"balanced_accuracy_low": np.nan, "balanced_accuracy_high": np.nan}
    check(figures.guesses(pd.DataFrame([guess])), "class from the border", "0.50", "chance")


def test_what_was_not_found_is_said_in_the_figures_place():
    check(figures.leak_shares(pd.DataFrame()), "no splits")
    check(figures.guesses(pd.DataFrame(columns=["balanced_accuracy"])), "nothing guessed")
    check(figures.leak_price(pd.DataFrame()), "no experiment was run")
