import pandas as pd
import pytest
from fine_tables import make_answers

from wbc_pipeline.evaluation.figures.maturation import family_recalls
from wbc_pipeline.evaluation.scores.fine_classes import labels_of, recalls_with_support

DEMO = ("lymphocyte", "seg_neutrophil")


def test_codes_find_the_labels_of_any_data_set():
    assert labels_of(["SNE", "LY", "PLY"], DEMO) == ["seg_neutrophil", "lymphocyte"]
    assert labels_of(["MY", "SNE"], ["SNE", "MY"]) == ["MY", "SNE"]
    assert labels_of(["basophil"], ["basophil"]) == ["basophil"]  # a name of the set itself


def test_recalls_stand_beside_the_printed_ones_with_their_support():
    predictions = make_answers(
        *[("LY", "LY")] * 3, ("LY", "SNE"), ("SNE", "SNE"), classes=("LY", "SNE", "BNE")
    )
    printed = {"plain": {"LY": "0.9567", "PLY": "0"}, "not_run": {"LY": "0.9"}}
    table = recalls_with_support(predictions, printed).set_index("label")
    assert table.loc["LY", ["printed", "source", "source_support"]].tolist() == ["0.9567", 0.75, 4]
    assert table.loc["LY", "source_low"] < 0.75 < table.loc["LY", "source_high"]
    assert pd.isna(table.loc["BNE", "source"]) and table.loc["BNE", "source_support"] == 0
    assert table.loc["PLY", "printed"] == "0" and pd.isna(table.loc["PLY", "source"])
    assert set(table["variant"]) == {"plain"}


def test_support_counts_the_cells_behind_images_of_several_seeds():
    tables = [make_answers(("LY", "LY"), ("LY", "LY"), seed=seed) for seed in range(3)]
    table = recalls_with_support(pd.concat(tables), {}).set_index("label")
    assert table.loc["LY", ["source_support", "source_sources"]].tolist() == [6, 2]


def test_families_are_drawn_with_the_rarest_class_above():
    answers = [("LY", "LY")] * 3 + [("SNE", "LY")]
    tables = [make_answers(*answers, variant=name) for name in ("cnn", "attention")]
    recalls = recalls_with_support(pd.concat(tables), {})
    best = {"convolutions": "cnn", "transformers": "attention"}
    figure = family_recalls(recalls, best, protocol="source")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["SNE (1)", "LY (3)"]
    (legend,) = figure.legends
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["convolutions: cnn", "transformers: attention"]


@pytest.mark.parametrize("best", [{}, {"convolutions": "not_run"}])
def test_families_that_were_not_run_leave_an_empty_figure(best):
    recalls = recalls_with_support(make_answers(("LY", "LY")), {})
    assert not family_recalls(recalls, best, protocol="source").axes
