import numpy as np
import pandas as pd
import pytest
from fine_tables import CLASSES, make_answers

from wbc_pipeline.evaluation.figures.maturation import chain_matrices
from wbc_pipeline.evaluation.scores.maturation import OTHER, chain_confusion, chain_errors

CHAIN = CLASSES[:5]
ANSWERS = [
    *[("PMY", "PMY"), ("PMY", "MY"), ("MY", "MMY"), ("MMY", "MMY"), ("BNE", "SNE")],
    *[("BNE", "PMY"), ("SNE", "SNE"), ("SNE", "LY"), ("LY", "BNE")],
]


def test_mistakes_are_of_neighbours_of_others_of_the_chain_or_outside_it():
    (row,) = chain_errors(make_answers(*ANSWERS), CHAIN, ["PMY", "BNE"]).to_dict("records")
    assert (row["images"], row["errors"]) == (8, 5)  # an error on LY is none of the chain
    assert (row["neighbour"], row["further"], row[OTHER]) == (0.6, 0.2, 0.2)
    assert row["neighbour_low"] < 0.6 < row["neighbour_high"]
    assert row["taken_for_younger"] == 0.25  # one of four within the chain
    assert row["precursor_recall"] == 0.25  # of PMY a half, of BNE none
    assert row["precursor_recall_low"] <= 0.25 <= row["precursor_recall_high"]


def test_a_chain_without_errors_has_no_shares_and_one_without_precursors_no_recall():
    (row,) = chain_errors(make_answers(("SNE", "SNE"), ("LY", "LY")), CHAIN, ["MY"]).to_dict(
        "records"
    )
    assert row["errors"] == 0
    assert np.isnan([row["neighbour"], row["precursor_recall"]]).all()


def test_nothing_is_said_of_a_chain_that_was_not_tested():
    predictions = make_answers(("LY", "LY"), ("LY", "SNE"))
    assert chain_errors(predictions, CHAIN, ["MY"]).empty
    counts = chain_confusion(predictions, CHAIN)
    assert counts.empty
    assert "no class of the chain" in "".join(
        text.get_text() for text in chain_matrices(counts).texts
    )


def test_seeds_and_variants_are_counted_apart_and_together():
    tables = [make_answers(*ANSWERS, seed=seed) for seed in (0, 1)]
    tables.append(make_answers(*ANSWERS, variant="other"))
    table = chain_errors(pd.concat(tables), CHAIN, ["PMY"]).set_index("variant")
    assert table["images"].to_dict() == {"plain": 16, "other": 8}
    assert table["sources"].to_dict() == {"plain": 8, "other": 8}  # a cell counts once


def test_the_confusion_has_a_cell_for_each_class_of_the_chain_and_the_rest():
    counts = chain_confusion(make_answers(*ANSWERS), CHAIN)
    cells = counts.set_index(["label", "answer"])["images"]
    assert len(cells) == 5 * 6 and cells.sum() == 8
    assert (cells["BNE", "PMY"], cells["SNE", OTHER], cells["SNE", "SNE"]) == (1, 1, 1)


@pytest.mark.parametrize("variants", [1, 4])
def test_a_panel_is_drawn_for_each_variant(variants):
    tables = [make_answers(*ANSWERS, variant=f"v{number}") for number in range(variants)]
    figure = chain_matrices(chain_confusion(pd.concat(tables), CHAIN), dataset="made")
    titles = [axes.get_title(loc="left") for axes in figure.axes if axes.images]
    assert titles == [f"v{number} · source" for number in range(variants)]
    first = figure.axes[0]
    assert [label.get_text() for label in first.get_xticklabels()] == [*CHAIN, OTHER]
    assert len(first.patches) == 8  # neighbours of five classes, the ends have one
