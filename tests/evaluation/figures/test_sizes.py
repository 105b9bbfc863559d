from figure_texts import check
from paper_tables import make_predictions

from wbc_pipeline.evaluation.figures.sizes import draw_sizes
from wbc_pipeline.evaluation.scores.sizes import scores_by_size

NETWORKS = {  # the tables' variants stand for two networks
    "normal": ("plain", 48),
    "blend": ("plain", 32),
    "soft_mask": ("soft", 48),
    "adaptive_blend": ("soft", 32),
}


def test_sizes_are_drawn_with_their_unit_and_a_line_for_each_network():
    predictions = make_predictions(variants=[*NETWORKS], sources=20)
    figure = draw_sizes(scores_by_size(predictions, NETWORKS, resamples=20), dataset="demo")
    check(figure, "· demo", "pixels", "log loss (nats)", "protocol: source")
    assert figure.axes[0].get_xticks().tolist() == [32, 48]
    assert len(figure.axes[0].containers) == 2
    assert {text.get_text() for text in figure.legends[0].get_texts()} == {"plain", "soft"}
