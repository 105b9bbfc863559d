import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from paper_tables import CLASSES, VARIANTS, make_predictions

from wbc_pipeline.evaluation import figures
from wbc_pipeline.evaluation.scores import score_predictions


def _check(figure: Figure, *texts: str) -> None:
    """Draw the figure and find the texts in it."""
    figure.savefig(io.BytesIO(), dpi=40)
    found = " ".join(text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text")))
    for text in texts:
        assert text in found


def _images(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def metrics(predictions):
    return score_predictions(predictions, resamples=50)


@pytest.fixture(scope="module")
def one_run():
    """Predictions of one variant, protocol and seed, with a class that no test image has."""
    run = make_predictions(sources=20, variants=["blend"], protocols=["source"], seeds=[0])
    return run.query("label != 'monocyte'")


def test_every_figure_of_scores_names_its_data_set_and_units(predictions, metrics, published):
    _check(figures.confusion_matrices(predictions, dataset="demo"), "· demo", "predicted")
    _check(figures.reliability_diagram(predictions, dataset="demo"), "· demo", "ECE 0.")
    _check(figures.loss_by_outcome(predictions, dataset="demo"), "· demo", "nats per image")
    _check(figures.score_intervals(metrics, published, dataset="demo"), "· demo", "published")
    _check(figures.gallery({"original": _images(5)}, CLASSES, dataset="demo"), "· demo", "basophil")


def test_every_figure_of_runs_names_its_data_set_and_units(
    *, metrics, manifest, history, paths, runs
):
    _check(figures.samples_per_class(manifest, dataset="demo"), "· demo", "images", "unknown")
    _check(figures.training_curves(history, dataset="demo"), "· demo", "epoch", "loss (nats)")
    _check(figures.parameter_paths(paths, dataset="demo"), "· demo", "alpha", "optimiser step")
    _check(figures.canny_instability(paths, dataset="demo"), "· demo", "pixels", "changes sign")
    _check(figures.inference_time(metrics, runs, dataset="demo"), "· demo", "ms per image")


def test_one_run_with_a_missing_class_is_drawn(one_run, history, runs):
    metrics = score_predictions(one_run, resamples=10)
    first_epoch = history.query("variant == 'blend' and protocol == 'source' and epoch == 0")
    _check(figures.confusion_matrices(one_run), "monocyte")
    _check(figures.reliability_diagram(one_run), "source: ECE")
    _check(figures.loss_by_outcome(one_run))
    _check(figures.score_intervals(metrics, {"normal": {"accuracy": 0.9}}))
    _check(figures.training_curves(first_epoch))
    _check(figures.inference_time(metrics.drop(columns="inference_ms"), runs.head(1)), "seconds")
    _check(figures.gallery({"original": _images(1)}))


def test_what_was_not_tracked_is_said_in_the_figures_place(paths, history, metrics, manifest):
    _check(figures.parameter_paths(paths.head(0)), "no parameters tracked")
    _check(figures.parameter_paths(paths, ["beta"]), "no parameters tracked")
    _check(figures.canny_instability(paths.query("name == 'alpha'")), "no Canny parameters tracked")
    _check(figures.training_curves(history.head(0)), "no epochs tracked")
    _check(figures.inference_time(metrics.drop(columns="inference_ms")), "no times tracked")
    _check(figures.samples_per_class(manifest.head(0)), "no images accepted")
    _check(figures.gallery({}), "no images chosen")


def test_a_variant_keeps_its_colour_whatever_else_is_drawn(paths):
    figure = figures.parameter_paths(paths, ["alpha"], variants=VARIANTS)
    assert to_hex(figure.axes[0].lines[0].get_color()).upper() == figures.PALETTE[1]


def test_figures_ignore_degraded_conditions(predictions):
    noisy = predictions.assign(condition="noise-3", variant="noisy")
    both = figures.loss_by_outcome(pd.concat([predictions, noisy]))
    labels = [label.get_text() for label in both.axes[0].get_yticklabels()]
    assert not any("noisy" in label for label in labels)


def test_nothing_is_left_open_in_pyplot(metrics):
    import matplotlib.pyplot as plt

    figures.score_intervals(metrics)
    assert plt.get_fignums() == []


def test_every_matplotlib_figure_has_a_caption():
    drawn = {
        name
        for name, function in vars(figures).items()
        if hasattr(function, "__wrapped__") and not name.startswith("_")
    }
    assert drawn == figures.CAPTIONS.keys()


def test_plotly_figures_hold_every_run(metrics, history):
    scores = figures.plotly_scores(metrics, dataset="demo")
    assert [trace.name for trace in scores.data] == ["random", "source"]
    assert "demo" in scores.layout.title.text
    assert len(figures.plotly_curves(history, dataset="demo").data) == 2 * 5 * 2 * 2
