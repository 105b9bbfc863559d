import pandas as pd
import pytest
from figure_texts import check, rows_of
from paper_tables import make_predictions

from wbc_pipeline.evaluation.figures import scores as figures
from wbc_pipeline.evaluation.scores.metrics import score_predictions


@pytest.fixture(scope="module")
def metrics(predictions):
    return score_predictions(predictions, resamples=50)


@pytest.fixture(scope="module")
def one_run():
    """Predictions of one variant, protocol and seed, with a class that no test image has."""
    run = make_predictions(sources=20, variants=["blend"], protocols=["source"], seeds=[0])
    return run.query("label != 'monocyte'")


def test_every_figure_names_its_data_set_and_units(*, predictions, metrics, published, runs):
    check(figures.confusion_matrices(predictions, dataset="demo"), "· demo", "predicted")
    check(figures.reliability_diagram(predictions, dataset="demo"), "· demo", "ECE 0.")
    check(figures.loss_by_outcome(predictions, dataset="demo"), "· demo", "nats per image")
    check(figures.score_intervals(metrics, published, dataset="demo"), "· demo", "published")
    check(figures.inference_time(metrics, runs, dataset="demo"), "· demo", "ms per image")


def test_one_run_with_a_missing_class_is_drawn(one_run, runs):
    metrics = score_predictions(one_run, resamples=10)
    check(figures.confusion_matrices(one_run), "monocyte")
    check(figures.reliability_diagram(one_run), "source: ECE")
    check(figures.loss_by_outcome(one_run))
    check(figures.score_intervals(metrics, {"normal": {"accuracy": 0.9}}))
    check(figures.inference_time(metrics.drop(columns="inference_ms"), runs.head(1)), "seconds")


def test_the_protocols_of_other_laboratories_and_data_sets_are_told_apart():
    protocols = ["random", "published", "source", "domain", "dataset", "filename"]
    tests = make_predictions(sources=10, views=1, variants=["blend"], protocols=protocols)
    figure = figures.score_intervals(score_predictions(tests, resamples=10))
    markers = [line.get_marker() for line in figure.legends[0].get_lines()]
    assert len(set(markers)) == len(protocols)
    assert rows_of(figure) == [f"blend · {protocol}" for protocol in protocols]


def test_without_times_a_figure_says_so(metrics):
    check(figures.inference_time(metrics.drop(columns="inference_ms")), "no times tracked")


def test_figures_ignore_degraded_conditions(predictions):
    noisy = predictions.assign(condition="noise-3", variant="noisy")
    labels = rows_of(figures.loss_by_outcome(pd.concat([predictions, noisy])))
    assert labels
    assert not any("noisy" in label for label in labels)


def test_of_many_variants_the_first_are_drawn_and_the_title_says_so(one_run):
    names = [f"v{number}" for number in range(figures.MOST_PANELS + 2)]
    many = pd.concat([one_run.assign(variant=name) for name in names])
    for draw in (figures.confusion_matrices, figures.reliability_diagram):
        figure = draw(many)
        check(figure, "(20 of 22 variants)")
        titles = {axes.get_title(loc="left").split(" ")[0] for axes in figure.axes} - {""}
        assert titles == {*names[:20]}
