import numpy as np
import pandas as pd
import pytest
from figure_texts import check, rows_of
from joint_tables import make_overlaps

from wbc_pipeline.evaluation.figures.attention import (
    CAM_COLOUR,
    COLOURS,
    SALIENCY_COLOUR,
    Attention,
    attention_sheet,
)
from wbc_pipeline.evaluation.figures.sheets import TRUE_COLOUR, rgb
from wbc_pipeline.evaluation.scores.examples import first_runs, pick_answers

SIZE = 64


@pytest.fixture(scope="module")
def answers() -> pd.DataFrame:
    return pick_answers(first_runs(make_overlaps(variants=["normal"])), 4)


def square(shape, low, high, value) -> np.ndarray:
    found = np.zeros(shape, type(value))
    found[low:high, low:high] = value
    return found


def attention(saliency=0.8, cam=1.0, **known) -> Attention:
    return Attention(
        np.full((SIZE, SIZE, 3), 200, np.uint8),
        square((SIZE, SIZE), 16, 48, np.uint8(255)),
        square((16, 16), 4, 8, np.float32(saliency)),
        square((SIZE, SIZE), 32, 60, np.float32(cam)),
        **known,
    )


def page_of(figure) -> np.ndarray:
    return figure.axes[0].images[0].get_array()


def shows(page, colour) -> bool:
    return (page == rgb(colour)).all(axis=2).any()


def test_failures_come_first_and_say_what_they_were_taken_for(answers):
    mixed = answers.iloc[::-1]
    looked = []

    def look(row):
        looked.append(row["label"] == row["predicted"])
        return attention(cam_inside=0.25)

    figure = attention_sheet(mixed, look, variant="full", dataset="demo")
    assert looked == [False, False, True, True]
    check(figure, "Where full looks · demo", "25% inside", "S and Grad-CAM")
    first = mixed[mixed["label"] != mixed["predicted"]].iloc[0]
    assert rows_of(figure)[0].startswith(f"{first['label']}\ntaken for\n{first['predicted']}")
    assert "\nright\n" in rows_of(figure)[-1]


def test_maps_share_one_scale(answers):
    row = answers.head(1)
    page = page_of(attention_sheet(row, lambda _: attention(saliency=0.8, cam=0.4)))
    for value in (0.0, 0.8, 0.4):
        colour = np.round(255 * np.array(COLOURS(round(255 * value))[:3]))
        assert (page == colour).all(axis=2).sum() > 100
    assert shows(page, SALIENCY_COLOUR)
    assert not shows(page, CAM_COLOUR)  # nowhere at least 0.5
    assert shows(page, TRUE_COLOUR)


def test_a_network_without_maps_leaves_their_places_empty(answers):
    pixels, nowhere = np.full((SIZE, 48, 3), 200, np.uint8), np.zeros((SIZE, 48), np.uint8)
    row = answers.head(1).assign(saliency_inside=np.nan)
    figure = attention_sheet(row, lambda _: Attention(pixels, nowhere, None, None))
    assert not any("inside" in text.get_text() for text in figure.axes[0].texts)
    assert not any(shows(page_of(figure), c) for c in (TRUE_COLOUR, SALIENCY_COLOUR, CAM_COLOUR))


def test_without_an_answer_the_figure_says_so(answers):
    check(attention_sheet(answers.head(0), attention), "no labelled test image")
