import numpy as np
import pandas as pd
from figure_texts import check, rows_of, texts_of, tiles_of

from wbc_pipeline.evaluation.audit.ceiling import ALL_CLASSES
from wbc_pipeline.evaluation.figures import suspects as figures


def make_cells(count, suspects):
    return pd.DataFrame(
        {
            "suspect": np.arange(count) < suspects,
            "label": "neutrophil",
            "suggested": "eosinophil",
            "p_suggested": 0.93,
            "networks": 2,
            "denying": 2,
            "says_extra_trees": "eosinophil",
            "says_residual_cnn": "monocyte",
            "conflict": ["monocyte", *[""] * (count - 1)],
            "image_id": [f"TRAIN/{i}.png" for i in range(count)],
        }
    )


def read(image_ids):
    return [np.full((40, 30, 3), 200, np.uint8) for _ in image_ids]


def test_suspects_alone_are_shown_with_what_each_network_says():
    figure = figures.suspect_sheet(make_cells(20, suspects=3), read, dataset="demo")
    assert tiles_of(figure) == ["neutrophil →\neosinophil 93%"] * 3
    check(figure, "· demo", "also labelled monocyte", "denied by 2 of 2", "TRAIN/2.png")
    check(figure, "extra_trees: eosinophil", "residual_cnn: monocyte")


def test_of_many_suspects_the_worst_are_shown_and_all_are_counted():
    figure = figures.suspect_sheet(make_cells(80, suspects=60), read)
    check(figure, "Suspect labels (48 of 60)")
    assert len(tiles_of(figure)) == 48
    assert not any("TRAIN/48.png" in text for text in texts_of(figure))


def test_no_suspects_are_said():
    check(figures.suspect_sheet(make_cells(5, suspects=0), read), "no suspect labels found")


def test_errors_on_suspect_labels_are_drawn_by_network():
    table = pd.DataFrame(
        {
            "variant": ["extra_trees", "extra_trees", "perceptron"],
            "label": ["monocyte", ALL_CLASSES, ALL_CLASSES],
            "wrong": [4, 10, 0],
            "on_suspects": [1, 3, 0],
            "explained": [0.25, 0.3, np.nan],
            "explained_low": [0.05, 0.11, np.nan],
            "explained_high": [0.7, 0.6, np.nan],
            "by_chance": 0.02,
        }
    )
    figure = figures.explained_errors(table)
    assert rows_of(figure) == ["extra_trees"]  # the other made no error
    check(figure, "3 of 10")
    check(figures.explained_errors(table[2:]), "no errors")


def test_a_learning_curve_needs_two_shares():
    curve = pd.DataFrame(
        {
            "variant": ["perceptron"] * 2,
            "percent": [50, 100],
            "training_cells": [400.0, 800.0],
            "accuracy": [0.8, 0.9],
            "accuracy_low": [0.75, 0.86],
            "accuracy_high": [0.84, 0.93],
        }
    )
    check(figures.learning_curves(curve), "400", "800", "perceptron", "cells trained on")
    check(figures.learning_curves(curve[1:]), "trained on all cells alone")


def test_what_every_network_misses_is_shown_with_their_answers():
    cells = make_cells(3, suspects=3).assign(answers="eosinophil 30, monocyte 12")
    figure = figures.missed_sheet(cells, read, dataset="demo")
    assert tiles_of(figure) == ["neutrophil →\neosinophil 93%"] * 3
    check(figure, "Missed by every network · demo", "eosinophil 30", "TRAIN/2.png")
    check(figures.missed_sheet(cells[:0], read), "each cell is recognised")


def test_rows_of_a_sheet_stand_no_further_apart_than_their_texts():
    cells = make_cells(20, suspects=20).assign(answers="eosinophil 30")
    figure = figures.missed_sheet(cells, read)
    figure.draw_without_rendering()
    first, second = (figure.axes[place] for place in (0, figures.COLUMNS))
    above = second.title.get_window_extent()
    below = first.xaxis.label.get_window_extent()
    assert 0 < (below.y0 - above.y1) / figure.dpi < 0.3  # inches
