import numpy as np
import pandas as pd
import pytest
from figure_texts import check, texts_of

from wbc_pipeline.evaluation.figures.robustness import degraded_sheet, robustness_curves

LEVELS = {"noise": (0, 0.05, 0.15, 0.35), "blur": (0, 2, 5)}


def make_scores(variants=("normal", "blend", "soft_mask"), curves=("noise", "blur")):
    """Scores as ``robustness_scores`` returns them: each amount costs the same."""
    rows = [
        {"variant": variant, "protocol": protocol, "curve": curve, "amount": float(amount)}
        | {"accuracy": 0.9 - 0.1 * place}
        for variant in variants
        for protocol in ("random", "source")
        for curve in curves
        for place, amount in enumerate(LEVELS[curve])
    ]
    scores = pd.DataFrame(rows)
    ends = {"accuracy_low": scores["accuracy"] - 0.02, "accuracy_high": scores["accuracy"] + 0.02}
    return scores.assign(**ends)


@pytest.fixture
def scores() -> pd.DataFrame:
    return make_scores()


def test_curves_over_the_same_amounts_share_a_panel_as_long_as_they_can_be_told_apart(scores):
    noise = scores[scores["curve"] == "noise"]
    scores = pd.concat([scores, noise.assign(curve="median")])
    panels = robustness_curves(scores).axes
    assert len(panels) == 2 * 2  # noise and median, blur; two protocols
    many = pd.concat([scores, scores.assign(variant=scores["variant"] + " again")])
    assert len(robustness_curves(many).axes) == 3 * 2


def test_every_point_is_drawn_beside_what_the_paper_prints(scores):
    printed = {"blend": {"noise": {0.05: "0.81", 0.35: [0.51]}}, "vgg": {"noise": {0.1: 0.5}}}
    scales = {"noise": "gaussian noise, amount"}
    figure = robustness_curves(scores, printed, scales=scales, dataset="demo")
    check(figure, "· demo", "noise (gaussian noise, amount)", "blur", "printed in the paper")
    drawn = [tuple(point) for line in figure.axes[0].lines for point in line.get_xydata()]
    points = scores.query("protocol == 'random' and curve == 'noise'")[["amount", "accuracy"]]
    assert sorted(drawn) == sorted(points.itertuples(index=False, name=None))
    stars = [artist.get_offsets()[0].tolist() for artist in figure.axes[0].collections[3:]]
    assert stars == [[0.05, 0.81], [0.35, 0.51]]
    assert "printed in the paper" not in texts_of(robustness_curves(scores))


def test_no_two_of_ten_variants_look_alike():
    ten = make_scores([f"network {number}" for number in range(10)], ["noise"])
    figure = robustness_curves(ten)
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 10


def test_a_sheet_has_a_row_for_each_curve_and_view():
    image = np.full((8, 8, 3), 99, np.uint8)
    pictures = {
        ("noise", "image"): {"clean": image, "0.05": image, "0.35": image},
        ("jpeg_restored", "image"): {"clean": image, "5": image},
    }
    figure = degraded_sheet(pictures, label="monocyte", dataset="demo")
    check(figure, "one monocyte · demo", "noise, image", "jpeg restored,\nimage", "0.35", "clean")
    assert sum(bool(axes.images) for axes in figure.axes) == 5


@pytest.mark.filterwarnings("error")
def test_of_dozens_of_variants_the_first_and_the_best_are_shown_and_all_are_counted():
    many = make_scores([f"preprocessing_augmentation_{number}" for number in range(40)])
    many.loc[many["variant"].str.endswith("_0"), "accuracy"] -= 0.05
    many.loc[many["variant"].str.endswith("_33"), "accuracy"] += 0.05
    figure = robustness_curves(many, dataset="demo")
    check(figure, "and the 7 best of 39 others)", "preprocessing_augmentation_33")
    check(figure, "preprocessing_augmentation_0")
    assert len(figure.legends[0].get_texts()) == 8
